"""Keras 3 models, on its torch backend."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from imagrad.errors import CorruptDataError, InputError, MissingExtraError
from imagrad.models.formats.contract import (
    Layer,
    NetworkSource,
    Opened,
    existing,
    has_suffix,
    hash_file,
    register_format,
)

_BACKEND = "KERAS_BACKEND"


def layers_of_keras(source: NetworkSource) -> tuple[Layer, ...]:
    """List the layers of a Keras model that give one tensor."""
    keras = _keras()
    return tuple(
        Layer(layer.name, type(layer).__name__, tuple(layer.output.shape[1:]))
        for layer in _model(keras, source).layers
        if isinstance(getattr(layer, "output", None), keras.KerasTensor)
    )


@register_format(
    "keras", has_suffix(".keras", ".h5"), layers=layers_of_keras,
    runs_code="Keras rebuilds classes and functions that the file names, and its safe mode has been got round before",
)  # fmt: skip
def open_keras(source: NetworkSource) -> Opened:
    """Open a .keras or .h5 file of Keras 3, on its torch backend (needs --trust, and keras installed)."""
    keras = _keras()
    model = _model(keras, source)
    if source.latent is not None:
        known = [layer.name for layer in layers_of_keras(source)]
        if source.latent not in known:
            raise InputError(f"`latent` {source.latent!r} is no layer of this Keras model; it has {', '.join(known)}.")
        model = keras.Model(model.inputs, model.get_layer(source.latent).output)
    shape = tuple(model.inputs[0].shape[1:])
    return Opened(KerasNetwork(model).eval(), hash_file(existing(source)), shape, is_cut=True)


class KerasNetwork(nn.Module):
    """A Keras model as a module of torch that takes one tensor, laid out as Keras wants it."""

    def __init__(self, model: Any) -> None:
        """Wrap a model of the torch backend; raise `InputError` for one of several inputs."""
        super().__init__()
        if len(model.inputs) != 1:
            names = ", ".join(value.name for value in model.inputs)
            raise InputError(f"a network of one input can be explained; this Keras model has {names}.")
        self.model = model

    def forward(self, images: torch.Tensor) -> Any:
        """Call it as for prediction."""
        return self.model(images, training=False)


def _model(keras: Any, source: NetworkSource) -> Any:
    path = existing(source)
    try:
        return keras.models.load_model(path, safe_mode=True, compile=False)
    except Exception as error:  # Keras raises much
        raise CorruptDataError(f"Keras cannot read {path}: {error}") from error


def _keras() -> Any:
    """Import Keras with the torch backend; raise `MissingExtraError` without it, `InputError` for another backend."""
    os.environ.setdefault(_BACKEND, "torch")
    try:
        import keras  # pyright: ignore[reportMissingImports]  # not one of imagrad's own dependencies
    except ImportError as error:
        raise MissingExtraError(
            "a .keras file is read by Keras 3, which is not installed. pip install keras; or export the model to ONNX "
            'where it was made: model.export("encoder.onnx", format="onnx").'
        ) from error
    backend = keras.config.backend()
    if backend != "torch":
        raise InputError(
            f"Keras must run on its torch backend; it runs on {backend}. Set {_BACKEND}=torch before Keras is imported."
        )
    return keras
