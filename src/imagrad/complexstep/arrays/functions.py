"""NumPy's functions with a rule of their own for lifted arrays: order, products, moments, linear algebra.

Most are written in NumPy, so that the tables differentiate them; the others return `Parts`. An argument that a rule
does not take is refused. Conventions at kinks: elements that tie for the maximum share it evenly, a sorted array keeps
the order of ties, norm and standard deviation have derivative 0 at 0, as `abs` has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from imagrad.complexstep.arrays.tables import Function, Parts, real, tangent

RULES: dict[Function, Function] = {}
"""Functions with a rule of their own; most are written in NumPy, so that the tables differentiate them."""


def _rule(*functions: Function) -> Callable[[Function], Function]:
    def file(rule: Function) -> Function:
        for function in functions:
            assert RULES.get(function, rule) is rule, f"two rules for {function}"
            RULES[function] = rule
        return rule

    return file


# --- new arrays, steps ---


def _like(function: Function) -> Function:
    """Return a rule for `zeros_like` and others: lifted, so that lifted values can be written into it."""

    def rule(x: Any, dtype: Any = None, **options: Any) -> Any:
        new = function(real(x), dtype=dtype, **options)
        return Parts(new, np.zeros_like(new)) if new.dtype == np.float64 else new

    return rule


for _function in (np.zeros_like, np.ones_like, np.empty_like):
    _rule(_function)(_like(_function))


@_rule(np.full_like)
def _full_like(x: Any, fill_value: Any) -> Parts:
    return Parts(np.full_like(real(x), real(fill_value)), np.full_like(real(x), tangent(fill_value)))


@_rule(np.round, np.around)
def _round(x: Any, decimals: int = 0) -> Parts:
    return Parts(np.round(real(x), decimals), np.zeros(np.shape(x)))


@_rule(np.fix)
def _fix(x: Any) -> Any:
    return np.trunc(x)


@_rule(np.imag)
def _imag(x: Any) -> Any:
    return np.zeros_like(x)


@_rule(np.copyto)
def _copyto(dst: Any, src: Any, *, where: Any = True) -> None:
    np.copyto(dst.re, real(src), where=where)  # AttributeError for a real `dst`, which cannot hold a derivative
    np.copyto(dst.im, tangent(src), where=where)


@_rule(np.pad)
def _pad(x: Any, pad_width: Any, mode: str = "constant", *, constant_values: Any = 0) -> Parts:
    if mode not in ("constant", "edge", "wrap", "reflect", "symmetric", "mean") or hasattr(constant_values, "re"):
        raise TypeError(f"mode={mode!r} with these values")
    options: dict[str, Any] = {"constant_values": constant_values} if mode == "constant" else {}
    padded: Any = np.pad
    return Parts(padded(real(x), pad_width, mode, **options), padded(tangent(x), pad_width, mode))


# --- order ---


def _extreme(function: Function) -> Function:
    """Return the rule of `max` or `min`: where several elements tie, the derivative is their mean."""

    def rule(x: Any, axis: Any = None, *, keepdims: bool = False) -> Parts:
        chosen = x.re == function(x.re, axis=axis, keepdims=True)
        im = np.sum(np.where(chosen, x.im, 0.0), axis, keepdims=keepdims) / np.sum(chosen, axis, keepdims=keepdims)
        return Parts(function(x.re, axis=axis, keepdims=keepdims), im)

    return rule


_rule(np.max, np.amax)(_extreme(np.max))
_rule(np.min, np.amin)(_extreme(np.min))


@_rule(np.ptp)
def _ptp(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    return np.max(x, axis, keepdims=keepdims) - np.min(x, axis, keepdims=keepdims)


@_rule(np.select)
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Parts:
    value = np.select(condlist, real(choicelist), real(default))
    return Parts(value, np.select(condlist, tangent(choicelist), tangent(default)))


@_rule(np.clip)
def _clip(x: Any, a_min: Any = None, a_max: Any = None) -> Any:
    raised = x if a_min is None else np.maximum(x, a_min)
    return raised if a_max is None else np.minimum(raised, a_max)


@_rule(np.sort)
def _sort(x: Any, axis: int | None = -1, kind: Any = None) -> Any:
    if axis is None:
        x, axis = np.ravel(x), 0
    return np.take_along_axis(x, np.argsort(x.re, axis=axis, kind="stable"), axis=axis)


@_rule(np.quantile)
def _quantile(x: Any, q: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    along = 0 if axis is None else axis
    ordered = np.moveaxis(np.sort(np.ravel(x) if axis is None else x, axis=along), along, 0)
    place = np.asarray(q, np.float64) * (len(ordered) - 1)
    lower = np.floor(place).astype(int)
    weight = (place - lower).reshape(place.shape + (1,) * (ordered.ndim - 1))
    upper = np.minimum(lower + 1, len(ordered) - 1)
    result = ordered[lower] + weight * (ordered[upper] - ordered[lower])
    if not keepdims:
        return result
    kept = [1] * x.ndim if axis is None else [1 if k == axis % x.ndim else size for k, size in enumerate(x.shape)]
    return np.reshape(result, place.shape + tuple(kept))


@_rule(np.percentile)
def _percentile(x: Any, q: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    return np.quantile(x, np.asarray(q) / 100, axis, keepdims=keepdims)


@_rule(np.median)
def _median(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    return np.quantile(x, 0.5, axis, keepdims=keepdims)


@_rule(np.interp)
def _interp(x: Any, xp: Any, fp: Any) -> Parts:
    if hasattr(xp, "re"):
        raise TypeError("sample points that depend on the input")
    at, samples = real(x), np.asarray(xp)
    right = np.clip(np.searchsorted(samples, at, side="right"), 1, len(samples) - 1)
    slope = (np.diff(real(fp)) / np.diff(samples))[right - 1]
    inside = (at >= samples[0]) & (at < samples[-1])  # at a sample point: the slope to its right
    return Parts(np.interp(at, xp, real(fp)), np.where(inside, slope, 0) * tangent(x) + np.interp(at, xp, tangent(fp)))


# --- products and moments ---


@_rule(np.prod)
def _prod(x: Any, axis: Any = None, *, keepdims: bool = False) -> Parts:
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis) % x.ndim)
    rows: Any = np.moveaxis(x, axes, range(-len(axes), 0))
    rows = np.reshape(rows, (*rows.shape[: x.ndim - len(axes)], prod(x.shape[k] for k in axes)))
    one = np.ones((*rows.shape[:-1], 1))
    before = np.cumprod(np.concatenate([one, rows.re[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([one, rows.re[..., :0:-1]], -1), -1)[..., ::-1]
    value = np.prod(x.re, axis=axis, keepdims=keepdims)
    return Parts(value, np.reshape(np.sum(before * after * rows.im, -1), value.shape))  # right where factors are 0


@_rule(np.cumprod)
def _cumprod(x: Any, axis: int | None = None) -> Any:
    rows = np.ravel(x) if axis is None else np.moveaxis(x, axis, 0)
    products = [rows[0]]
    for row in rows[1:]:
        products.append(products[-1] * row)
    return np.moveaxis(np.stack(products), 0, axis or 0)


@_rule(np.average)
def _average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    if weights is None:
        return np.mean(x, axis)
    if np.ndim(weights) == 1 and axis is not None:
        weights = np.moveaxis(np.reshape(weights, (-1,) + (1,) * (x.ndim - 1)), 0, axis)
    return np.sum(x * weights, axis) / np.sum(weights * np.ones(x.shape), axis)


def _centred(x: Any, axis: Any) -> tuple[Any, int]:
    centred = x - np.mean(x, axis, keepdims=True)
    return centred, x.size // max(1, np.mean(x.re, axis).size)


@_rule(np.var)
def _var(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    centred, count = _centred(x, axis)
    return np.sum(centred * centred, axis, keepdims=keepdims) / (count - ddof)


@_rule(np.std)
def _std(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False) -> Parts:
    centred, count = _centred(x, axis)
    length, root = _length(centred, axis, keepdims), np.sqrt(count - ddof)
    return Parts(length.re / root, length.im / root)


@_rule(np.cov)
def _cov(m: Any, *, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Any:
    rows = np.atleast_2d(m if rowvar or m.ndim < 2 else m.T)
    centred = rows - np.mean(rows, 1, keepdims=True)
    freedom = (0 if bias else 1) if ddof is None else ddof
    return np.squeeze(centred @ centred.T / (rows.shape[1] - freedom))


@_rule(np.corrcoef)
def _corrcoef(x: Any, *, rowvar: bool = True) -> Any:
    covariance = np.cov(x, rowvar=rowvar)
    deviation = np.sqrt(np.diagonal(covariance))
    return covariance / np.outer(deviation, deviation)


@_rule(np.polyval)
def _polyval(p: Any, x: Any) -> Any:
    return reduce(lambda value, coefficient: value * x + coefficient, p, np.zeros_like(x))


# --- linear algebra ---


def _length(x: Any, axis: Any, keepdims: bool) -> Parts:
    """Return the Euclidean norm, with derivative 0 at its kink."""
    length = np.linalg.norm(x.re.ravel() if axis is None else x.re, axis=axis, keepdims=True)
    unit = np.where(length == 0, 0.0, x.re / length)
    value = np.sqrt(np.sum(x.re * x.re, axis=axis, keepdims=keepdims))
    return Parts(value, np.sum(unit * x.im, axis=axis, keepdims=keepdims))


@_rule(np.linalg.norm)
def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    is_matrix = (isinstance(axis, tuple) and len(axis) == 2) or (axis is None and x.ndim == 2)
    if ord in (None, "fro") if is_matrix else ord in (None, 2):
        return _length(x, axis, keepdims)
    if ord is None:  # of an array with more axes: as of one vector
        return _length(x, axis, keepdims)
    if is_matrix or ord not in (1, np.inf, -np.inf):
        raise TypeError(f"ord={ord!r}")
    across = {1: np.sum, np.inf: np.max, -np.inf: np.min}[ord]
    return across(np.abs(x), axis=axis, keepdims=keepdims)


@_rule(np.linalg.solve)
def _solve(a: Any, b: Any) -> Parts:
    y = np.linalg.solve(real(a), real(b))
    return Parts(y, np.linalg.solve(real(a), tangent(b) - np.matmul(tangent(a), y)))


@_rule(np.linalg.inv)
def _inv(a: Any) -> Parts:
    inverse = np.linalg.inv(a.re)
    return Parts(inverse, -inverse @ a.im @ inverse)


@_rule(np.linalg.det)
def _det(a: Any) -> Parts:
    value = np.linalg.det(a.re)
    return Parts(value, value * np.trace(np.linalg.solve(a.re, a.im), axis1=-2, axis2=-1))


@_rule(np.linalg.slogdet)
def _slogdet(a: Any) -> Any:
    sign, logarithm = np.linalg.slogdet(a.re)
    slope = np.trace(np.linalg.solve(a.re, a.im), axis1=-2, axis2=-1)
    return type(np.linalg.slogdet(np.eye(1)))(sign, Parts(logarithm, slope))  # pyright: ignore[reportArgumentType]


@_rule(np.linalg.cholesky)
def _cholesky(a: Any) -> Parts:
    lower = np.linalg.cholesky(a.re)
    change = np.tril(a.im) + np.swapaxes(np.tril(a.im, -1), -1, -2)  # NumPy reads the lower triangle alone
    inner = np.linalg.solve(lower, np.swapaxes(np.linalg.solve(lower, change), -1, -2))
    return Parts(lower, lower @ (np.tril(inner) * (1 - 0.5 * np.eye(a.shape[-1]))))


@_rule(np.linalg.multi_dot)
def _multi_dot(arrays: Any) -> Any:
    return reduce(np.dot, arrays)


@_rule(np.linalg.matrix_power)
def _matrix_power(a: Any, n: int) -> Any:
    factors = [a] * n if n >= 0 else [np.linalg.inv(a)] * -n
    return reduce(np.matmul, factors, np.zeros_like(a) + np.eye(a.shape[-1]))
