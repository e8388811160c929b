"""Rules of operations that pick some of their numbers by size: maxima, sorting; the real part decides.

At a tie the derivative is the one that autograd takes: evenly shared by reductions, that of the picked element where
an index is returned. Asked for one side, the element that the perturbation makes the largest is picked.
"""

from __future__ import annotations

from typing import Any

import torch

from imagrad.complexstep.number import Lifted, imaginary_part, lifted_among, real_part
from imagrad.complexstep.rules.table import RULES, rule
from imagrad.errors import UnsupportedOperationError

aten = torch.ops.aten


def lexicographic_max(re: torch.Tensor, im: torch.Tensor, axis: int, keepdim: bool = False) -> torch.Tensor:
    """Imaginary part of the maximum over an axis, among equal real parts the largest one."""
    largest = re.amax(axis, keepdim=True)
    return im.masked_fill(re != largest, -torch.inf).amax(axis, keepdim=keepdim)


def runner_up_gap(re: torch.Tensor, axis: int) -> torch.Tensor:
    """How far the second largest is below the largest."""
    if re.ndim == 0 or re.shape[axis] < 2:
        return torch.full_like(re, torch.inf)
    first, second = re.topk(2, dim=axis).values.unbind(axis)
    return first - second


def neighbour_gap(re: torch.Tensor, axis: int) -> torch.Tensor:
    """How far apart neighbours in sorted order are."""
    if re.ndim == 0 or re.shape[axis] < 2:
        return torch.full_like(re, torch.inf)
    return re.sort(dim=axis).values.diff(dim=axis)


# --- the largest, the smallest: values and their places ---
def _with_place(operation: Any, sign: int) -> None:
    def apply(value: Lifted, axis: int, keepdim: bool = False) -> tuple[Lifted, torch.Tensor]:
        re, place = operation(value.re, axis, keepdim)
        if value.re.ndim == 0:
            return value.of(re, value.im), place
        if value.arithmetic.is_one_sided:
            return value.of(re, sign * lexicographic_max(sign * value.re, sign * value.im, axis, keepdim)), place
        at = place if keepdim else place.unsqueeze(axis)
        im = value.im.gather(axis, at)
        return value.of(re, im if keepdim else im.squeeze(axis)), place

    apply.__doc__ = "Pick along an axis: the derivative of the picked element."
    rule(operation, gap=lambda x, axis, keepdim=False: runner_up_gap(sign * x, axis))(apply)


_with_place(aten.max.dim, 1)
_with_place(aten.min.dim, -1)


# --- reductions: ties share ---
def _shared(operation: Any, sign: int) -> None:
    def apply(value: Lifted, axes: Any = (), keepdim: bool = False) -> Lifted:
        axes = [axes] if isinstance(axes, int) else list(axes) or list(range(value.re.ndim))
        re = sign * (sign * value.re).amax(axes, keepdim=True)
        hit = value.re == re
        if value.arithmetic.is_one_sided:
            im = sign * (sign * value.im).masked_fill(~hit, -torch.inf).amax(axes, keepdim=True)
        else:
            im = (hit / hit.sum(axes, keepdim=True) * value.im).sum(axes, keepdim=True)
        return value.of(re, im) if keepdim else value.of(_squeezed(re, axes), _squeezed(im, axes))

    def gap(x: torch.Tensor, axes: Any = (), keepdim: bool = False) -> torch.Tensor:
        axes = [axes] if isinstance(axes, int) else list(axes) or list(range(x.ndim))
        last = torch.movedim(sign * x, axes, list(range(-len(axes), 0))) if axes else x
        return runner_up_gap(last.flatten(-len(axes)) if len(axes) > 1 else last, -1)

    apply.__doc__ = "Largest or smallest over axes: where several are, each gets its share."
    rule(operation, gap=gap)(apply)


def _squeezed(value: torch.Tensor, axes: list[int]) -> torch.Tensor:
    return value.squeeze(axes) if axes and value.ndim else value


_shared(aten.amax.default, 1)
_shared(aten.amin.default, -1)
_shared(aten.max.default, 1)
_shared(aten.min.default, -1)


@rule(aten.aminmax.default)
def smallest_and_largest(value: Lifted, *, dim: int | None = None, keepdim: bool = False) -> tuple[Lifted, Lifted]:
    """Smallest and largest at once."""
    axes = [] if dim is None else [dim]
    return RULES["aten.amin.default"].apply(value, axes, keepdim), RULES["aten.amax.default"].apply(
        value, axes, keepdim
    )


# --- order ---
def lexicographic_order(value: Lifted, axis: int, descending: bool) -> torch.Tensor:
    """Order by real part, equal ones by imaginary part."""
    by_im = value.im.argsort(dim=axis, descending=descending, stable=True)
    by_re = value.re.expand(by_im.shape).gather(axis, by_im).argsort(dim=axis, descending=descending, stable=True)
    return by_im.gather(axis, by_re)


def _picked(value: Lifted, place: torch.Tensor, axis: int) -> Lifted:
    if value.re.ndim == 0:
        return value
    return value.of(value.re.gather(axis, place), value.im.gather(axis, place))


def _ordered(value: Lifted, place: torch.Tensor, axis: int, descending: bool) -> tuple[Lifted, torch.Tensor]:
    """Pick what stands at `place`; seen from one side, what stands there in lexicographic order."""
    if value.arithmetic.is_one_sided and value.re.ndim:
        place = lexicographic_order(value, axis, descending).narrow(axis, 0, place.shape[axis])
    return _picked(value, place, axis), place


@rule(aten.sort.default, gap=lambda x, axis=-1, *_: neighbour_gap(x, axis))
def sort(value: Lifted, dim: int = -1, descending: bool = False) -> Any:
    """Sort: each number takes its derivative along."""
    return _ordered(value, aten.sort.default(value.re, dim, descending)[1], dim, descending)


@rule(aten.sort.stable, gap=lambda x, stable=None, dim=-1, descending=False: neighbour_gap(x, dim))
def stable_sort(value: Lifted, *, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    """Sort: each number takes its derivative along."""
    place = aten.sort.stable(value.re, stable=stable, dim=dim, descending=descending)[1]
    return _ordered(value, place, dim, descending)


@rule(aten.topk.default, gap=lambda x, k, axis=-1, *_: neighbour_gap(x, axis))
def topk(value: Lifted, k: int, dim: int = -1, largest: bool = True, ordered: bool = True) -> Any:
    """Pick the k largest: each takes its derivative along."""
    return _ordered(value, aten.topk.default(value.re, k, dim, largest, ordered)[1], dim, largest)


@rule(aten.kthvalue.default, gap=lambda x, k, axis=-1, keepdim=False: neighbour_gap(x, axis))
def kth_value(value: Lifted, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """Pick the k-th smallest."""
    if value.re.ndim == 0:
        return value, aten.kthvalue.default(value.re, k, dim, keepdim)[1]
    return _kth(value, k, dim, keepdim, aten.kthvalue.default(value.re, k, dim, True)[1])


def _kth(value: Lifted, k: int, dim: int, keepdim: bool, place: torch.Tensor) -> Any:
    if value.arithmetic.is_one_sided:
        place = lexicographic_order(value, dim, False).narrow(dim, k - 1, 1)
    chosen = _picked(value, place, dim)
    return (
        (chosen, place) if keepdim else (value.of(chosen.re.squeeze(dim), chosen.im.squeeze(dim)), place.squeeze(dim))
    )


@rule(aten.median.dim, gap=lambda x, axis=-1, keepdim=False: neighbour_gap(x, axis))
def median_along(value: Lifted, dim: int = -1, keepdim: bool = False) -> Any:
    """Pick the median, of an even number the lower one."""
    if value.re.ndim == 0:
        return value, aten.median.dim(value.re, dim, keepdim)[1]
    return _kth(value, (value.re.shape[dim] + 1) // 2, dim, keepdim, aten.median.dim(value.re, dim, True)[1])


@rule(aten.median.default, gap=lambda x: neighbour_gap(x.reshape(-1), 0))
def median(value: Lifted) -> Lifted:
    """Pick the median of all; ties share as autograd has it, evenly."""
    re = aten.median.default(value.re)
    flat = value.of(value.re.reshape(-1), value.im.reshape(-1))
    if value.arithmetic.is_one_sided:
        return _kth(flat, (flat.re.shape[0] + 1) // 2, 0, False, flat.re.argmax(0, keepdim=True))[0]
    hit = flat.re == re
    return value.of(re, (hit / hit.sum() * flat.im).sum())


def _cumulative(operation: Any, sign: int) -> None:
    def apply(value: Lifted, axis: int) -> tuple[Lifted, torch.Tensor]:
        re, place = operation(value.re, axis)
        if value.re.ndim == 0 or not value.arithmetic.is_one_sided:
            return _picked(value, place, axis), place
        so_far = [value.im.select(axis, 0)]
        for k in range(1, re.shape[axis]):
            before, now = so_far[-1], value.im.select(axis, k)
            rise = sign * (value.re.select(axis, k) - re.select(axis, k - 1))
            equal = sign * torch.maximum(sign * before, sign * now)
            so_far.append(torch.where(rise == 0, equal, torch.where(rise > 0, now, before)))
        return value.of(re, torch.stack(so_far, axis)), place

    apply.__doc__ = "Largest or smallest so far: the derivative of the picked element."
    rule(operation, gap=lambda x, axis: neighbour_gap(x, axis))(apply)


_cumulative(aten.cummax.default, 1)
_cumulative(aten.cummin.default, -1)


# --- scattered: several numbers meet in one place ---
def _scattered(value: Any, axis: int, places: torch.Tensor, source: Any, reduce: str, include_self: bool) -> Any:
    """Reduce real numbers by torch's own kernel."""
    return aten.scatter_reduce.two(value, axis, places, source, reduce, include_self=include_self)


def _scatter_gap(
    value: torch.Tensor, axis: int, places: torch.Tensor, source: torch.Tensor, reduce: str, include_self: bool = True
) -> torch.Tensor:
    """Distance of each number put in from the extreme of its place, but for the extreme itself."""
    if reduce not in ("amax", "amin") or value.ndim == 0:
        return torch.full_like(value, torch.inf)
    re = _scattered(value, axis, places, source, reduce, include_self)
    used = source[tuple(slice(0, n) for n in places.shape)]
    hits = (used == re.gather(axis, places)).to(re.dtype)
    own = (value == re).to(re.dtype) * include_self
    several = own.scatter_add(axis, places, hits) > 1
    return torch.where(several, torch.zeros_like(re), torch.full_like(re, torch.inf))


@rule(aten.scatter_reduce.two, gap=_scatter_gap)
def scatter_reduce(
    value: Any, axis: int, places: torch.Tensor, source: Any, reduce: str, *, include_self: bool = True
) -> Lifted:
    """Put numbers into places and take the sum, mean or extreme there; extremes that are equal share."""
    some = lifted_among((value, source))[0]
    base, added = real_part(value), real_part(source)
    re = _scattered(base, axis, places, added, reduce, include_self)
    base_im, added_im = (imaginary_part(x) if isinstance(x, Lifted) else torch.zeros_like(x) for x in (value, source))
    if reduce in ("sum", "mean"):
        return some.of(re, _scattered_sum(base_im, axis, places, added_im, reduce == "mean", include_self))
    if reduce == "prod" or base.ndim == 0:
        raise UnsupportedOperationError(
            f'the complex-step rule of aten.scatter_reduce.two does not cover this use of it: reduce="{reduce}" of '
            f"{base.ndim} axes. Explain a part of the network without it."
        )
    added, added_im = (x[tuple(slice(0, n) for n in places.shape)] for x in (added, added_im))
    hit, own = added == re.gather(axis, places), (base == re) & include_self
    own = own | (torch.zeros_like(re).scatter_add(axis, places, torch.ones_like(added)) == 0)
    if some.arithmetic.is_one_sided:
        sign = 1 if reduce == "amax" else -1
        base_im, added_im = (
            (sign * im).masked_fill(~picked, -torch.inf) for im, picked in ((base_im, own), (added_im, hit))
        )
        return some.of(re, sign * _scattered(base_im, axis, places, added_im, "amax", True))
    total = own.to(re.dtype).scatter_add(axis, places, hit.to(re.dtype))
    return some.of(re, (own * base_im).scatter_add(axis, places, hit * added_im) / total)


def _scattered_sum(
    base: torch.Tensor, axis: int, places: torch.Tensor, source: torch.Tensor, is_mean: bool, include_self: bool
) -> torch.Tensor:
    """Reduce imaginary parts, by sums that torch can transpose."""
    ones = torch.ones_like(places, dtype=base.dtype)
    count = torch.zeros_like(base).scatter_add(axis, places, ones)
    kept = base if include_self else base.masked_fill(count > 0, 0)
    total = kept.scatter_add(axis, places, source)
    return total / torch.where(count > 0, count + include_self, torch.ones_like(count)) if is_mean else total
