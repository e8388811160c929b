"""Normalisations, in the mode of inference."""

from __future__ import annotations

import torch
from torch.nn import functional

from imagrad.models.onnx.table import RefusedError, operation
from imagrad.models.onnx.values import Scalar, Tensor


@operation("BatchNormalization")
def _batch_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *,
    epsilon: float = 1e-5, momentum: float = 0.9, training_mode: int = 0,
) -> Tensor:  # fmt: skip
    """By the mean and variance that were kept in training."""
    if training_mode:
        raise RefusedError("training_mode 1 mixes the images of a batch: export the network in eval mode")
    return functional.batch_norm(x, mean, variance, scale, bias, eps=epsilon)


@operation("InstanceNormalization")
def _instance_normalization(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """By the mean and variance of each channel of each image."""
    return torch.group_norm(x, x.shape[1], scale, bias, epsilon)


@operation("GroupNormalization")
def _group_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    """By the mean and variance of each group of channels; scale by channel, or as before version 21 by group."""
    channels = x.shape[1]
    if len(scale) == num_groups != channels:
        scale, bias = (v[:, None].expand(-1, channels // num_groups).reshape(channels) for v in (scale, bias))
    return torch.group_norm(x, num_groups, scale, bias, epsilon)


@operation("LayerNormalization")
def _layer_normalization(
    x: Tensor, scale: Tensor, bias: Tensor | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    """By the mean and variance along an axis and all that follow."""
    shape = x.shape[axis:]
    if scale.shape == shape and (bias is None or bias.shape == shape):
        return functional.layer_norm(x, shape, scale, bias, epsilon)
    found = functional.layer_norm(x, shape, None, None, epsilon) * scale
    return found if bias is None else found + bias


@operation("RMSNormalization")
def _rms_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    """By the mean square along an axis and all that follow."""
    axes = tuple(range(axis + x.ndim if axis < 0 else axis, x.ndim))
    return x * torch.rsqrt((x * x).mean(axes, keepdim=True) + epsilon) * scale


@operation("LpNormalization")
def _lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """By the norm along an axis; what has the norm 0 stays 0."""
    norm = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    return x / torch.where(norm == 0, torch.ones_like(norm), norm)


@operation("LRN")
def _local_response(x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Tensor:
    """By the sum of squares of the channels near each."""
    before = (size - 1) // 2
    spatial = [0, 0] * (x.ndim - 2)
    squares = functional.pad(x * x, [*spatial, before, size - 1 - before])
    total = torch.stack([squares.narrow(1, k, x.shape[1]) for k in range(size)]).sum(0)
    return x / (bias + alpha / size * total) ** beta


@operation("Dropout")
def _dropout(x: Tensor, ratio: Scalar | None = None, training_mode: Scalar | None = None, *, seed: int = 0) -> Tensor:
    """Nothing: dropout is for training."""
    if isinstance(training_mode, torch.Tensor) or training_mode:
        raise RefusedError("training_mode draws random numbers: export the network in eval mode")
    return x
