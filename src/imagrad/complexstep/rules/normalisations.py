"""Rules of softmax, of means and variances, of normalisation layers, and of norms and distances."""

from __future__ import annotations

import math
from typing import Any

import torch

from imagrad.complexstep.number import Lifted, Poison, lifted_among
from imagrad.complexstep.rules.products import plus, times
from imagrad.complexstep.rules.table import RULES, rule

aten = torch.ops.aten

_MEAN_OF_BATCH = Poison("the mean that a normalisation returns beside its result")


def apply(name: str, *arguments: Any, **options: Any) -> Any:
    """Apply a rule by the operation's short name."""
    return RULES[f"aten.{name}"].apply(*arguments, **options)


# --- softmax: exp(x) over its sum, with the largest real part taken off first ---
def _shifted_exponential(value: Lifted, axis: int) -> torch.Tensor:
    return torch.exp(value.as_complex() - value.re.amax(axis, keepdim=True))


@rule(aten._softmax.default, aten.softmax.int)
def softmax(value: Lifted, axis: int, *_: Any, **__: Any) -> Lifted:
    """Softmax y: its derivative is y (v - <y, v>)."""
    y = torch.softmax(value.re, axis)
    if value.re.ndim == 0:
        return value.of(y, torch.zeros_like(value.im))
    if value.arithmetic.is_complex:
        large = _shifted_exponential(value, axis)
        return value.of_complex(large / large.sum(axis, keepdim=True))
    weighted = y * value.im
    return value.of(y, weighted - y * weighted.sum(axis, keepdim=True))


@rule(aten._safe_softmax.default)
def safe_softmax(value: Lifted, axis: int, *_: Any, **__: Any) -> Lifted:
    """Softmax that is 0 where all is masked by -inf."""
    masked = value.re == -torch.inf
    masked = masked if value.re.ndim == 0 else masked.all(axis, keepdim=True)
    result = softmax(value.of(value.re.masked_fill(masked, 0), value.im), axis)
    return value.of(result.re.masked_fill(masked, 0), result.im.masked_fill(masked, 0))


@rule(aten._log_softmax.default, aten.log_softmax.int)
def log_softmax(value: Lifted, axis: int, *_: Any, **__: Any) -> Lifted:
    """Logarithm of softmax y: its derivative is v - <y, v>."""
    if value.re.ndim == 0:
        return value.of(torch.zeros_like(value.re), torch.zeros_like(value.im))
    if value.arithmetic.is_complex:
        z = value.as_complex() - value.re.amax(axis, keepdim=True)
        return value.of_complex(z - torch.log(torch.exp(z).sum(axis, keepdim=True)))
    y = torch.softmax(value.re, axis)
    return value.of(torch.log_softmax(value.re, axis), value.im - (y * value.im).sum(axis, keepdim=True))


@rule(aten.logsumexp.default)
def logsumexp(value: Lifted, axes: Any, keepdim: bool = False) -> Lifted:
    """Logarithm of the sum of exponentials: its derivative is <softmax, v>."""
    axes = [axes] if isinstance(axes, int) else list(axes)
    if value.re.ndim == 0:
        return value
    re = torch.logsumexp(value.re, axes, keepdim=True)
    if value.arithmetic.is_complex:
        largest = value.re.amax(axes, keepdim=True)
        z = torch.log(torch.exp(value.as_complex() - largest).sum(axes, keepdim=True)) + largest
        result = value.of_complex(z)
    else:
        result = value.of(re, (torch.exp(value.re - re) * value.im).sum(axes, keepdim=True))
    return result if keepdim else value.of(result.re.squeeze(axes), result.im.squeeze(axes))


@rule(aten.logcumsumexp.default, is_formula=True)
def logcumsumexp(value: Lifted, axis: int) -> Lifted:
    """Logarithm of running sums of exponentials: each number's share in each sum times its derivative."""
    re = torch.logcumsumexp(value.re, axis)
    if value.re.ndim == 0:
        return value.of(re, value.im)
    shares = torch.exp(value.re.movedim(axis, -1).unsqueeze(-2) - re.movedim(axis, -1).unsqueeze(-1)).tril()
    return value.of(re, (shares * value.im.movedim(axis, -1).unsqueeze(-2)).sum(-1).movedim(-1, axis))


# --- mean and variance, as polynomials: no conjugate, no modulus ---
def centred(value: Lifted, axes: list[int]) -> Lifted:
    """Take the mean over the axes off."""
    return value.of(value.re - value.re.mean(axes, keepdim=True), value.im - value.im.mean(axes, keepdim=True))


def _axes(axes: Any, value: Lifted) -> list[int]:
    axes = [axes] if isinstance(axes, int) else list(axes or [])
    return axes or list(range(value.re.ndim))


def _count(value: Lifted, axes: list[int]) -> int:
    count = 1
    for axis in axes:
        count *= value.re.shape[axis] if value.re.ndim else 1
    return count


@rule(aten.var.correction)
def variance(value: Lifted, dim: Any = None, *, correction: Any = 1, keepdim: bool = False) -> Lifted:
    """Sum of squared deviations over their number."""
    axes = _axes(dim, value)
    off = centred(value, axes) if value.re.ndim else value.of(value.re - value.re, value.im - value.im)
    freedom = max(0, _count(value, axes) - (1 if correction is None else correction))
    squares = apply("sum.dim_IntList", times(off, off), axes, keepdim)
    return value.of(squares.re / freedom, squares.im / freedom)


@rule(aten.std.correction)
def deviation(value: Lifted, dim: Any = None, *, correction: Any = 1, keepdim: bool = False) -> Lifted:
    """Root of the variance."""
    return apply("sqrt.default", variance(value, dim, correction=correction, keepdim=keepdim))


@rule(aten.var_mean.correction)
def variance_and_mean(value: Lifted, dim: Any = None, *, correction: Any = 1, keepdim: bool = False) -> Any:
    """Variance and mean at once."""
    mean = apply("mean.dim", value, _axes(dim, value), keepdim)
    return variance(value, dim, correction=correction, keepdim=keepdim), mean


@rule(aten.std_mean.correction)
def deviation_and_mean(value: Lifted, dim: Any = None, *, correction: Any = 1, keepdim: bool = False) -> Any:
    """Take the standard deviation and the mean at once."""
    mean = apply("mean.dim", value, _axes(dim, value), keepdim)
    return deviation(value, dim, correction=correction, keepdim=keepdim), mean


# --- normalisation layers ---
def normalised(value: Lifted, axes: list[int], eps: float) -> Lifted:
    """(x - mean) / sqrt(variance + eps) =: y; its derivative is (v - mean(v) - y mean(y v)) / sqrt(variance + eps)."""
    off = centred(value, axes)
    if value.arithmetic.is_complex:
        z = off.as_complex()
        return value.of_complex(z * torch.rsqrt((z * z).mean(axes, keepdim=True) + eps))
    scale = torch.rsqrt((off.re * off.re).mean(axes, keepdim=True) + eps)
    y = off.re * scale
    return value.of(y, scale * (off.im - y * (y * off.im).mean(axes, keepdim=True)))


def _lifted(value: Any, *others: Any) -> Lifted:
    """Return the value, a plain one with the imaginary part 0."""
    return value if isinstance(value, Lifted) else lifted_among(others)[0].of(value, torch.zeros_like(value))


def _scaled_and_shifted(value: Lifted, weight: Any, bias: Any) -> Lifted:
    value = value if weight is None else times(value, weight)
    return value if bias is None else plus(value, bias)


@rule(aten.native_layer_norm.default)
def layer_norm(value: Any, shape: Any, weight: Any, bias: Any, eps: float) -> Any:
    """Normalise over the last axes."""
    result = normalised(_lifted(value, weight, bias), list(range(-len(shape), 0)), eps)
    return _scaled_and_shifted(result, weight, bias), _MEAN_OF_BATCH, _MEAN_OF_BATCH


@rule(aten.native_group_norm.default)
def group_norm(value: Any, weight: Any, bias: Any, *sizes: Any) -> Any:
    """Normalise over groups of channels."""
    value = _lifted(value, weight, bias)
    images, _, _, groups, eps = sizes
    shape = value.re.shape
    grouped = value.of(value.re.reshape(images, groups, -1), value.im.reshape(images, groups, -1))
    result = normalised(grouped, [2], eps)
    result = value.of(result.re.reshape(shape), result.im.reshape(shape))
    weight, bias = (_per_channel(x, len(shape)) for x in (weight, bias))
    return _scaled_and_shifted(result, weight, bias), _MEAN_OF_BATCH, _MEAN_OF_BATCH


def _per_channel(value: Any, axes: int) -> Any:
    """Bring one number a channel into the shape of (n, channels, ...)."""
    if value is None:
        return None
    return apply("view.default", value, [1, -1, *[1] * (axes - 2)]) if isinstance(value, Lifted) else (
        value.view(1, -1, *[1] * (axes - 2))
    )  # fmt: skip


@rule(aten._native_batch_norm_legit_no_training.default)
def batch_norm(value: Any, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float) -> Any:
    """Normalise by the statistics of the training."""
    if isinstance(value, Lifted) and not lifted_among((weight, bias, mean, var)):  # as it nearly always is: linear
        operation = aten._native_batch_norm_legit_no_training.default
        scale = torch.rsqrt(var + eps) if weight is None else weight * torch.rsqrt(var + eps)
        re = operation(value.re, weight, bias, mean, var, momentum, eps)[0]
        return value.of(re, value.im * _per_channel(scale, re.ndim)), _MEAN_OF_BATCH, _MEAN_OF_BATCH
    value = _lifted(value, weight, bias, mean, var)
    mean, var, weight, bias = (_per_channel(x, value.re.ndim) for x in (mean, var, weight, bias))
    scale = apply("rsqrt.default", plus(var, eps)) if isinstance(var, Lifted) else torch.rsqrt(var + eps)
    scale = scale if weight is None else times(weight, scale)
    result = times(plus(value, times(mean, -1.0)), scale)
    return (result if bias is None else plus(result, bias)), _MEAN_OF_BATCH, _MEAN_OF_BATCH


@rule(aten._native_batch_norm_legit.no_stats)
def norm_by_own_statistics(value: Any, weight: Any, bias: Any, training: bool, momentum: float, eps: float) -> Any:
    """Normalise each channel by its own statistics, over all images given: instance norm is made of it."""
    value = _lifted(value, weight, bias)
    result = normalised(value, [0, *range(2, value.re.ndim)], eps)
    weight, bias = (_per_channel(x, value.re.ndim) for x in (weight, bias))
    return _scaled_and_shifted(result, weight, bias), _MEAN_OF_BATCH, _MEAN_OF_BATCH


# --- norms and distances: by squares, not by moduli; 0 at the point where they have no derivative, as autograd ---
def _kept(values: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    return values if keepdim or not values.ndim else values.squeeze(axes)


def _norm_gap(value: torch.Tensor, order: float = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> torch.Tensor:
    """Distance to a kink: the norm itself above 1, each magnitude up to 1, the lead of the largest at infinity."""
    if 1 < order < math.inf:
        return aten.linalg_vector_norm.default(value, order, dim, keepdim)
    magnitude = value.abs()
    if abs(order) != math.inf or value.ndim == 0:
        return magnitude
    lead = RULES["aten.amax.default" if order > 0 else "aten.amin.default"].gap
    assert lead is not None, "a maximum has kinks"
    return torch.minimum(lead(magnitude, dim or [], True), magnitude.amin())


@rule(aten.linalg_vector_norm.default, gap=_norm_gap, is_formula=True)
def vector_norm(
    value: Lifted, order: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Lifted:
    """Norm over axes: <x, v> / norm for order 2, the sum of |x|^(p-1) sign(x) v / norm^(p-1) in general."""
    axes = _axes(dim, value)
    magnitude = apply("abs.default", value)
    if abs(order) == math.inf:
        return apply("amax.default" if order > 0 else "amin.default", magnitude, axes, keepdim)
    if order == 0:
        counted = aten.linalg_vector_norm.default(value.re, 0, dim, keepdim)
        return value.of(counted, torch.zeros_like(counted))
    if order == 1:
        return apply("sum.dim_IntList", magnitude, axes, keepdim)
    re = aten.linalg_vector_norm.default(value.re, order, axes, True)
    is_zero = re == 0
    unit = magnitude.re / re.masked_fill(is_zero, 1)
    slope = torch.sign(value.re) * unit.masked_fill(unit == 0, 1) ** (order - 1)
    im = (slope.masked_fill(unit == 0, 0) * value.im).sum(axes, keepdim=True)
    if value.arithmetic.is_one_sided:
        im = torch.where(is_zero, aten.linalg_vector_norm.default(value.im, order, axes, True), im)
    return value.of(_kept(re, axes, keepdim), _kept(im, axes, keepdim))


@rule(aten._cdist_forward.default, aten._euclidean_dist.default)
def distances(left: Any, right: Any, order: float = 2, mode: Any = None) -> Lifted:
    """Distances between the rows of two matrices."""
    rows = apply("unsqueeze.default", left, -2) if isinstance(left, Lifted) else left.unsqueeze(-2)
    columns = apply("unsqueeze.default", right, -3) if isinstance(right, Lifted) else right.unsqueeze(-3)
    return vector_norm(plus(rows, times(columns, -1.0)), order, [-1])


@rule(aten._pdist_forward.default)
def own_distances(value: Lifted, order: float = 2) -> Lifted:
    """Distances between the rows of one matrix, each pair once."""
    first, second = torch.triu_indices(value.re.shape[0], value.re.shape[0], 1, device=value.re.device).unbind()
    off = value.of(value.re[first] - value.re[second], value.im[first] - value.im[second])
    return vector_norm(off, order, [-1])


# --- RMS norm in one operation ---
@rule(aten._fused_rms_norm.default)
def rms_norm(value: Any, shape: Any, weight: Any, eps: float | None) -> Any:
    """Divide by the root of the mean of squares over the last axes."""
    value = _lifted(value, weight)
    axes = list(range(-len(shape), 0))
    eps = torch.finfo(value.re.dtype).eps if eps is None else eps
    squares = plus(apply("mean.dim", times(value, value), axes, True), eps)
    return _scaled_and_shifted(times(value, apply("rsqrt.default", squares)), weight, None), _MEAN_OF_BATCH
