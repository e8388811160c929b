"""Estimators of scikit-learn that are networks, rebuilt as modules of torch; one function for each kind."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from imagrad.errors import CorruptDataError, InputError
from imagrad.models.formats.class_paths import UNPICKLING, importable_from_here
from imagrad.models.formats.contract import NetworkSource, Opened, existing, has_suffix, hash_file, register_format
from imagrad.registry import Registry

ESTIMATORS: Registry[Callable[[Any], nn.Module]] = Registry("estimator", listed=False)
"""By the name of their class: a fitted estimator -> the module that does what its predict or transform does."""

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(dim=1),
}  # fmt: skip


@register_format(
    "scikit-learn", has_suffix(".joblib", ".pkl"),
    runs_code=UNPICKLING,
)  # fmt: skip
def open_estimator(source: NetworkSource) -> Opened:
    """Open a fitted perceptron, PCA, scaler or pipeline of these in a .joblib or .pkl file (needs --trust)."""
    import joblib

    path = existing(source)
    try:
        with importable_from_here():
            estimator = joblib.load(path)
    except Exception as error:  # unpickling raises whatever the pickled code raises
        raise CorruptDataError(f"cannot read {path}: {type(error).__name__}: {error}") from error
    note = "its weights were rounded from float64 to float32, the type of the images"
    module = module_of(estimator)
    return Opened(module, hash_file(path), (int(estimator.n_features_in_),), notes=(note,))


def module_of(estimator: Any) -> nn.Module:
    """Rebuild a fitted estimator as a float32 module: (n, features) to what its predict or transform returns.

    Of a classifier, that is the probabilities. The layers of a perceptron are called hidden_0, activation_0, hidden_1,
    ..., so that `latent="activation_1"` is the code of an autoencoder with three hidden layers.
    Raises `InputError` for an estimator of another kind, or one that is not fitted.
    """
    name = type(estimator).__name__
    if name not in ESTIMATORS:
        raise InputError(
            f"of scikit-learn, {', '.join(ESTIMATORS)} can be explained; got {name}. "
            "skl2onnx exports many more to ONNX."
        )
    if not hasattr(estimator, "n_features_in_"):
        raise InputError(f"the {name} must be fitted before it is explained; call its fit.")
    return ESTIMATORS[name](estimator).float().eval().requires_grad_(False)


@ESTIMATORS.register("MLPClassifier")
@ESTIMATORS.register("MLPRegressor")
def perceptron(estimator: Any) -> nn.Module:
    """Stack its layers."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    last = len(estimator.coefs_) - 1
    for k, (weight, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        layers[f"hidden_{k}" if k < last else "output"] = _linear(weight.T, bias)
        activation = estimator.activation if k < last else estimator.out_activation_
        layers[f"activation_{k}" if k < last else "answer"] = _ACTIVATIONS[activation]()
    return nn.Sequential(layers)


@ESTIMATORS.register("PCA")
def principal_components(estimator: Any) -> nn.Module:
    """Project on the components."""
    scale = np.sqrt(estimator.explained_variance_)[:, None] if estimator.whiten else 1.0
    weight = estimator.components_ / scale
    return _linear(weight, -weight @ estimator.mean_)


@ESTIMATORS.register("StandardScaler")
def standard_scaler(estimator: Any) -> nn.Module:
    """Subtract the mean, divide by the scale, where it does these."""
    count = estimator.n_features_in_
    scale = np.ones(count) if estimator.scale_ is None else estimator.scale_
    mean = np.zeros(count) if estimator.mean_ is None else estimator.mean_
    return _Affine(1 / scale, -mean / scale)


@ESTIMATORS.register("MinMaxScaler")
def range_scaler(estimator: Any) -> nn.Module:
    """Bring each feature to its range; raise `InputError` where it clips."""
    if estimator.clip:
        raise InputError("a MinMaxScaler with clip=True is not supported. Fit one without.")
    return _Affine(estimator.scale_, estimator.min_)


@ESTIMATORS.register("Pipeline")
def pipeline(estimator: Any) -> nn.Module:
    """Put its steps one behind the other, by their names."""
    steps = [(name, step) for name, step in estimator.steps if step not in (None, "passthrough")]
    return nn.Sequential(OrderedDict((name, module_of(step)) for name, step in steps))


class _Affine(nn.Module):
    """Multiply each feature by a number and add another."""

    def __init__(self, scale: Any, shift: Any) -> None:
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(np.asarray(scale, dtype=np.float64)))
        self.register_buffer("shift", torch.as_tensor(np.asarray(shift, dtype=np.float64)))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.scale + self.shift  # type: ignore[operator]  # buffers


def _linear(weight: Any, bias: Any) -> nn.Linear:
    """Make a layer of a matrix (outputs, inputs) and a vector."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(np.array(weight)))
        layer.bias.copy_(torch.as_tensor(np.array(bias)))
    return layer
