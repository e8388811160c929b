"""The dense and convolutional networks of the benchmarks, layer by layer in JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

_COMPILED: dict[int, tuple[nn.Module, Callable[[Any], Any]]] = {}


def maps_of(net: nn.Module, images: torch.Tensor, size: int) -> torch.Tensor:
    """Return the column norms of each image's Jacobian, so many images at a time."""
    if id(net) not in _COMPILED:
        encode = _written(net)

        def norms(image: Any) -> Any:
            rows = jax.jacrev(encode)(image)
            return jnp.sqrt((rows * rows).sum(0))

        _COMPILED[id(net)] = net, jax.jit(jax.vmap(norms))
    run = _COMPILED[id(net)][1]
    points = images.numpy()
    parts = [np.asarray(run(points[begin : begin + size])) for begin in range(0, len(points), size)]
    return torch.from_numpy(np.concatenate(parts))


def _written(net: nn.Module) -> Callable[[Any], Any]:
    """Write a chain of layers; raise `NotImplementedError` for one that is not known here."""
    layers = [_layer(layer) for layer in net]  # pyright: ignore[reportGeneralTypeIssues]

    def encode(image: Any) -> Any:
        for layer in layers:
            image = layer(image)
        return image

    return encode


def _layer(layer: nn.Module) -> Callable[[Any], Any]:
    values = {name: jnp.asarray(value.detach().numpy()) for name, value in layer.state_dict().items()}
    if isinstance(layer, nn.Flatten):
        return jnp.ravel
    if isinstance(layer, nn.ReLU):
        return lambda x: jnp.maximum(x, 0)
    if isinstance(layer, nn.Linear):
        return lambda x: values["weight"] @ x + values["bias"]
    if isinstance(layer, nn.Conv2d):
        return lambda x: (
            jax.lax.conv_general_dilated(x[None], values["weight"], (1, 1), "SAME")[0] + values["bias"][:, None, None]
        )
    if isinstance(layer, nn.BatchNorm2d):
        scale = values["weight"] / jnp.sqrt(values["running_var"] + layer.eps)
        shift = values["bias"] - scale * values["running_mean"]
        return lambda x: scale[:, None, None] * x + shift[:, None, None]
    if isinstance(layer, nn.MaxPool2d):
        return lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2), (1, 2, 2), "VALID")
    raise NotImplementedError(f"{type(layer).__name__} has no twin in JAX here")
