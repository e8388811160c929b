"""Rules of functions made of pieces, number by number: the piece is chosen by the real part, as in Eq. 6.

At a kink the slope is the one that autograd takes; asked for one side, the rule looks from that side.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from imagrad.complexstep.number import Lifted, lifted_among, real_part
from imagrad.complexstep.rules.table import RULES, constant, pointwise, rule
from imagrad.errors import EncoderError

aten = torch.ops.aten


def _step(condition: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return condition.to(like.dtype)


def _nearest(x: torch.Tensor, *places: float | None) -> torch.Tensor:
    """Distance to the nearest of the places, None being nowhere."""
    gaps = [(x - place).abs() for place in places if place is not None and math.isfinite(place)]
    result = torch.full_like(x, torch.inf)
    for gap in gaps:
        result = torch.minimum(result, gap)
    return result


# --- one bend ---
pointwise(aten.relu.default, lambda y, x: _step(x > 0, x), gap=lambda x: x.abs())
pointwise(aten.abs.default, lambda y, x: torch.sign(x), gap=lambda x: x.abs())
pointwise(
    aten.leaky_relu.default,
    lambda y, x, slope=0.01: torch.ones_like(x).where(x > 0, slope),
    gap=lambda x, slope=0.01: x.abs(),
)
pointwise(
    aten.threshold.default,
    lambda y, x, threshold, value: _step(x > threshold, x),
    gap=lambda x, threshold, value: _nearest(x, threshold),
)
pointwise(
    aten._prelu_kernel.default,
    lambda y, x, weight: torch.where(x > 0, torch.ones_like(y), weight),
    lambda y, x, weight: torch.where(x > 0, torch.zeros_like(y), x),
    gap=lambda x, weight: x.abs() + torch.zeros_like(weight),
)


def _elu_slope(_: Any, x: torch.Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> torch.Tensor:
    falling = alpha * scale * input_scale * torch.exp(torch.clamp(x, max=0) * input_scale)
    return torch.where(x > 0, torch.full_like(x, scale), falling)


pointwise(aten.elu.default, _elu_slope, gap=lambda x, *_, **__: x.abs())
pointwise(
    aten.celu.default, lambda y, x, alpha=1: _elu_slope(y, x, alpha, 1, 1 / alpha), gap=lambda x, alpha=1: x.abs()
)


@rule(aten.rrelu_with_noise_functional.default, gap=lambda x, *_, **__: x.abs())
def randomised_relu(
    value: Lifted,
    noise: torch.Tensor,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    _: Any = None,
) -> tuple[Lifted, Any]:
    """Bend as a leaky ReLU of the mean slope; in train mode, where it draws its slope, it is refused."""
    if training:
        raise EncoderError("an encoder must not draw random numbers; rrelu does in train mode. Call .eval().")
    return RULES["aten.leaky_relu.default"].apply(value, (lower + upper) / 2), noise


# --- two bends ---
pointwise(
    aten.hardtanh.default,
    lambda y, x, low=-1, high=1: _step((x > low) & (x < high), x),
    gap=lambda x, low=-1, high=1: _nearest(x, low, high),
)
pointwise(
    aten.hardsigmoid.default,
    lambda y, x: _step((x > -3) & (x < 3), x) / 6,
    gap=lambda x: _nearest(x, -3, 3),
)
pointwise(
    aten.hardswish.default,
    lambda y, x: torch.where(x <= -3, torch.zeros_like(x), torch.where(x < 3, x / 3 + 0.5, torch.ones_like(x))),
    gap=lambda x: _nearest(x, -3, 3),
)
pointwise(
    aten.hardshrink.default,
    lambda y, x, bound=0.5: _step(x.abs() > bound, x),
    gap=lambda x, bound=0.5: _nearest(x, bound, -bound),
)
pointwise(
    aten.softshrink.default,
    lambda y, x, bound=0.5: _step(x.abs() > bound, x),
    gap=lambda x, bound=0.5: _nearest(x, bound, -bound),
)
pointwise(
    aten.clamp.default,
    lambda y, x, low=None, high=None: _inside(x, low, high),
    gap=lambda x, low=None, high=None: _nearest(x, low, high),
)
pointwise(aten.clamp_min.default, lambda y, x, low: _inside(x, low, None), gap=lambda x, low: _nearest(x, low))
pointwise(aten.clamp_max.default, lambda y, x, high: _inside(x, None, high), gap=lambda x, high: _nearest(x, high))


def _inside(x: torch.Tensor, low: Any, high: Any) -> torch.Tensor:
    """Slope of a clamp by numbers or tensors: 1 between the bounds and, as autograd has it, on them."""
    inside = torch.ones_like(x, dtype=torch.bool)
    inside = inside if low is None else inside & (x >= low)
    return _step(inside if high is None else inside & (x <= high), x)


def _no_number(x: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.full_like(x, torch.inf)


pointwise(aten.nan_to_num.default, lambda y, x, *_: _step(x.isfinite(), x), gap=_no_number)


# --- the larger and the smaller of two: half each where they meet ---
def _meeting(a: Any, b: Any) -> torch.Tensor:
    return (a - b).abs()


def _share(chosen: Any) -> tuple[Any, Any]:
    """Slopes of a choice between two, where `chosen(a, b)` is positive for the first."""

    def half(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.heaviside(x, torch.full((), 0.5, dtype=y.dtype, device=y.device))

    return lambda y, a, b: half(chosen(a, b), y), lambda y, a, b: half(-chosen(a, b), y)


pointwise(aten.maximum.default, *_share(lambda a, b: a - b), gap=_meeting)
pointwise(aten.minimum.default, *_share(lambda a, b: b - a), gap=_meeting)
pointwise(
    aten.fmax.default, lambda y, a, b: _step(a >= b, y), lambda y, a, b: _step(a < b, y), gap=_meeting
)  # autograd gives all of it to the first
pointwise(aten.fmin.default, lambda y, a, b: _step(a <= b, y), lambda y, a, b: _step(a > b, y), gap=_meeting)


def _larger(a: Any, b: Any) -> Any:
    return RULES["aten.maximum.default"].apply(a, b) if lifted_among((a, b)) else torch.maximum(a, b)


def _smaller(a: Any, b: Any) -> Any:
    return RULES["aten.minimum.default"].apply(a, b) if lifted_among((a, b)) else torch.minimum(a, b)


def _clamp_gap(x: torch.Tensor, low: Any = None, high: Any = None) -> torch.Tensor:
    gaps = [(x - bound).abs() for bound in (low, high) if bound is not None]
    return torch.minimum(gaps[0], gaps[-1])


@rule(aten.clamp.Tensor, gap=_clamp_gap)
def clamp_between(value: Any, low: Any = None, high: Any = None) -> Lifted:
    """Clamp by tensors: slope 1 also on a bound, which then has none; from one side, the larger, then the smaller."""
    some = lifted_among((value, low, high))[0]
    if some.arithmetic.is_one_sided:
        raised = value if low is None else _larger(value, low)
        return raised if high is None else _smaller(raised, high)
    x, floor, ceiling = real_part(value), real_part(low), real_part(high)
    re = aten.clamp.Tensor(x, floor, ceiling)
    inside = _inside(x, floor, ceiling)
    im = inside * value.im if isinstance(value, Lifted) else torch.zeros_like(some.im)
    if isinstance(low, Lifted):
        im = im + _step((x < floor) & (True if ceiling is None else floor < ceiling), re) * low.im
    if isinstance(high, Lifted):
        im = im + _step((x > ceiling) | (False if floor is None else floor >= ceiling), re) * high.im
    return some.of(re, im)


# --- remainders: slope 1 in the first argument, minus the number of times the second fits in ---
def _remainder_gap(a: Any, b: Any) -> torch.Tensor:
    rest = torch.remainder(a, b).abs()
    return torch.minimum(rest, (torch.as_tensor(b).abs() - rest).abs())


def _ones(y: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.ones_like(y)


pointwise(aten.fmod.Scalar, _ones, gap=_remainder_gap)
pointwise(aten.remainder.Scalar, _ones, gap=_remainder_gap)
pointwise(aten.fmod.Tensor, _ones, lambda y, a, b: -torch.div(a, b, rounding_mode="trunc"), gap=_remainder_gap)
pointwise(aten.remainder.Tensor, _ones, lambda y, a, b: -torch.div(a, b, rounding_mode="floor"), gap=_remainder_gap)
pointwise(aten.frac.default, _ones, gap=lambda x: (x - torch.round(x)).abs())
pointwise(
    aten.copysign.Tensor,
    lambda y, a, b: torch.sign(a) * torch.copysign(torch.ones_like(y), torch.as_tensor(b, dtype=y.dtype)),
    lambda y, a, b: torch.zeros_like(y),
    gap=lambda a, b: torch.as_tensor(a).abs(),
)
pointwise(
    aten.copysign.Scalar,
    lambda y, a, b: torch.sign(a) * math.copysign(1.0, b),
    gap=lambda a, b: a.abs(),
)


# --- steps: the derivative is 0 but where they jump ---
def _whole(x: torch.Tensor) -> torch.Tensor:
    """Distance to the nearest whole number."""
    return (x - torch.round(x)).abs()


def _quotient_gap(a: Any, b: Any, **_: Any) -> torch.Tensor:
    quotient = torch.as_tensor(a / b)
    return _whole(quotient) * torch.as_tensor(b).abs() / quotient.abs().clamp(min=1)


constant(aten.floor.default, aten.ceil.default, aten.trunc.default, gap=_whole)
constant(aten.round.default, aten.round.decimals, gap=lambda x, *_, decimals=0: _whole(x * 10**decimals - 0.5))
constant(aten.sign.default, aten.sgn.default, gap=lambda x: x.abs())
constant(aten.heaviside.default, gap=lambda x, _: torch.as_tensor(x).abs())
constant(aten.floor_divide.default, gap=_quotient_gap)
constant(aten.angle.default, gap=lambda x: x.abs())
constant(aten.isnan.default, aten.isinf.default, aten.isfinite.default, aten.isposinf.default, aten.isneginf.default)
constant(aten.signbit.default, gap=lambda x: x.abs())
constant(aten.argmax.default, aten.argmin.default, aten.any.default, aten.any.dim, aten.all.default, aten.all.dim)
constant(aten.logical_not.default, aten.logical_and.default, aten.logical_or.default, aten.logical_xor.default)
constant(aten.bucketize.Tensor, aten.searchsorted.Tensor, aten.argsort.default, aten.argsort.stable)


@rule(aten.div.Tensor_mode, aten.div.Scalar_mode, gap=_quotient_gap)
def divide_and_round(left: Any, right: Any, *, rounding_mode: str | None = None) -> Any:
    """Divide; rounded, the derivative is 0."""
    if rounding_mode is None:
        return RULES["aten.div.Tensor"].apply(left, right)
    return aten.div.Tensor_mode(real_part(left), real_part(right), rounding_mode=rounding_mode)


# --- comparisons: plain truth values; seen from one side, equal numbers are told apart by their imaginary parts ---
def _difference_gap(left: Any, right: Any) -> torch.Tensor:
    return torch.as_tensor(left - right).abs().nan_to_num(torch.inf, torch.inf)


def _comparison(*operations: Any) -> None:
    for operation in operations:

        def compare(left: Any, right: Any, _operation: Any = operation) -> torch.Tensor:
            a, b = real_part(left), real_part(right)
            truth = _operation(a, b)
            some = lifted_among((left, right))[0]
            if not some.arithmetic.is_one_sided:
                return truth
            difference = (left.im if isinstance(left, Lifted) else 0) - (right.im if isinstance(right, Lifted) else 0)
            by_sign = getattr(aten, str(_operation).split(".")[1]).Scalar
            return torch.where(a == b, by_sign(difference, 0), truth)

        compare.__doc__ = "Compare: by the real parts; seen from one side, equal ones by the imaginary parts."
        rule(operation, gap=_difference_gap)(compare)


_comparison(aten.gt.Tensor, aten.gt.Scalar, aten.ge.Tensor, aten.ge.Scalar)
_comparison(aten.lt.Tensor, aten.lt.Scalar, aten.le.Tensor, aten.le.Scalar)
_comparison(aten.eq.Tensor, aten.eq.Scalar, aten.ne.Tensor, aten.ne.Scalar)
