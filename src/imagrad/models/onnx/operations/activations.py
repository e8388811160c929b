"""Activation functions."""

from __future__ import annotations

import torch
from torch.nn import functional

from imagrad.models.onnx.table import elementwise, operation
from imagrad.models.onnx.values import Context, Tensor

_LINEAR_FROM = 40.0  # from here on log(1 + e^x) is x in float64 too; torch's own bound, 20, is for float32

elementwise("Relu", functional.relu, "max(x, 0)")
elementwise("Sigmoid", torch.sigmoid, "1 / (1 + e^-x)")
elementwise("HardSwish", functional.hardswish, "x clip(x / 6 + 1/2, 0, 1)")
elementwise("Softsign", functional.softsign, "x / (1 + |x|)")
elementwise("Mish", functional.mish, "x tanh(softplus(x))")


@operation("Softplus")
def _softplus(x: Tensor) -> Tensor:
    """log(1 + e^x)."""  # a formula
    return functional.softplus(x, threshold=_LINEAR_FROM)


@operation("LeakyRelu")
def _leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """x where it is positive, else alpha x."""  # noqa: D403
    return functional.leaky_relu(x, alpha)


@operation("PRelu")
def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    """x where it is positive, else slope x, with a slope for each channel."""  # noqa: D403
    return torch.where(x > 0, x, slope * x)


@operation("Elu")
def _elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x where it is positive, else alpha (e^x - 1)."""  # noqa: D403
    return functional.elu(x, alpha)


@operation("Selu")
def _selu(x: Tensor, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Tensor:
    """gamma x where it is positive, else gamma alpha (e^x - 1)."""  # noqa: D403
    return gamma * functional.elu(x, alpha)


@operation("Celu")
def _celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x where it is positive, else alpha (e^(x / alpha) - 1)."""  # noqa: D403
    return functional.celu(x, alpha)


@operation("HardSigmoid")
def _hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """clip(alpha x + beta, 0, 1)."""
    return torch.clamp(alpha * x + beta, 0.0, 1.0)


@operation("ThresholdedRelu")
def _thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x where it is above alpha, else 0."""  # noqa: D403
    return functional.threshold(x, alpha, 0.0)


@operation("Shrink")
def _shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """x moved by bias towards 0 where it is further off than lambd, else 0."""  # noqa: D403
    none = torch.zeros_like(x)
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, none))


@operation("Gelu")
def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """x times the normal distribution function, or its approximation by tanh."""  # noqa: D403
    return functional.gelu(x, approximate=approximate)


@operation("Swish")
def _swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """x / (1 + e^(-alpha x))."""  # noqa: D403
    return functional.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


@operation("Softmax")
def _softmax(x: Tensor, *, axis: int | None = None, context: Context) -> Tensor:
    """Exponentials, normalised to the sum 1 along an axis (before version 13: along it and all that follow)."""
    if context.version >= 13:
        return torch.softmax(x, -1 if axis is None else axis)
    return torch.softmax(_flat(x, axis), -1).reshape(x.shape)


@operation("LogSoftmax")
def _log_softmax(x: Tensor, *, axis: int | None = None, context: Context) -> Tensor:
    """Logarithm of Softmax."""
    if context.version >= 13:
        return torch.log_softmax(x, -1 if axis is None else axis)
    return torch.log_softmax(_flat(x, axis), -1).reshape(x.shape)


def _flat(x: torch.Tensor, axis: int | None) -> torch.Tensor:
    """Join the axes from `axis` on, which is 1 where nothing is said."""
    first = 1 if axis is None else axis
    return x.flatten(first) if -x.ndim <= first < x.ndim else x.unsqueeze(-1)
