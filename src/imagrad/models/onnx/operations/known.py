"""The same operations on known numbers: sizes, and what graphs compute from them to make further sizes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from imagrad.models.onnx.operations.selections import parts_of
from imagrad.models.onnx.table import RefusedError, on_all_known, on_known, operation
from imagrad.models.onnx.values import Context, Known, axes_of, known

_FLOATING = (1, 10, 11, 16)  # numbers of onnx.TensorProto.DataType
_BOOL = 9


def _each(name: str, function: Callable[..., Any], arity: int) -> None:
    """File a function of plain numbers, applied one by one."""
    apply = np.frompyfunc(function, arity, 1)
    on_all_known(name, lambda *x: known(np.asarray(apply(*x), dtype=object)), arity)


def _quotient(x: Any, y: Any) -> Any:
    if isinstance(x, float | torch.SymFloat) or isinstance(y, float | torch.SymFloat):
        return x / y
    if isinstance(x, int) and isinstance(y, int):
        return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
    return x // y  # sizes, which are no negative numbers


def _truth(x: Any) -> bool:
    return bool(x)


_each("Add", lambda x, y: x + y, 2)
_each("Sub", lambda x, y: x - y, 2)
_each("Mul", lambda x, y: x * y, 2)
_each("Div", _quotient, 2)
_each("Pow", lambda x, y: x**y, 2)
_each("Neg", lambda x: -x, 1)
_each("Abs", abs, 1)
_each("Sqrt", lambda x: torch.sym_sqrt(x) if isinstance(x, torch.SymFloat) else math.sqrt(x), 1)  # pyright: ignore[reportAttributeAccessIssue]
_each("Reciprocal", lambda x: 1.0 / x, 1)
_each("Floor", lambda x: float(math.floor(x)), 1)
_each("Ceil", lambda x: float(math.ceil(x)), 1)
_each("Equal", lambda x, y: _truth(x == y), 2)
_each("Greater", lambda x, y: _truth(x > y), 2)
_each("GreaterOrEqual", lambda x, y: _truth(x >= y), 2)
_each("Less", lambda x, y: _truth(x < y), 2)
_each("LessOrEqual", lambda x, y: _truth(x <= y), 2)
_each("And", lambda x, y: x and y, 2)
_each("Or", lambda x, y: x or y, 2)
_each("Not", lambda x: not x, 1)
_each("Where", lambda x, y, z: y if x else z, 3)

on_all_known("Identity", lambda x: x)
on_all_known("Size", lambda x: known(x.size))
on_all_known("Expand", lambda x, y: known(x * np.ones(y.tolist(), dtype=x.dtype)), 2)
on_all_known("Tile", lambda x, y: np.tile(x, y.tolist()), 2)


@on_known("Mod")
def _mod(x: Known, y: Known, *, fmod: int = 0) -> Known:
    apply = np.frompyfunc(math.fmod if fmod else (lambda a, b: a % b), 2, 1)
    return known(np.asarray(apply(x, y), dtype=object))


@on_known("Max")
def _max(*x: Known) -> Known:
    return known(functools.reduce(np.frompyfunc(lambda a, b: a if a >= b else b, 2, 1), x))


@on_known("Min")
def _min(*x: Known) -> Known:
    return known(functools.reduce(np.frompyfunc(lambda a, b: a if a <= b else b, 2, 1), x))


@on_known("Shape")
def _shape(x: Known, *, start: int = 0, end: int | None = None) -> Known:
    return known(list(x.shape)[start:end])


@on_known("Reshape")
def _reshape(x: Known, shape: Known, *, allowzero: int = 0) -> Known:
    return x.reshape([x.shape[k] if size == 0 and not allowzero else size for k, size in enumerate(shape.tolist())])


@on_known("Transpose")
def _transpose(x: Known, *, perm: list[int] | None = None) -> Known:
    return x.transpose(perm)


@on_known("Squeeze")
def _squeeze(x: Known, axes: Known | None = None) -> Known:
    return x.squeeze(None if axes is None else tuple(axes.reshape(-1).tolist()))


@on_known("Unsqueeze")
def _unsqueeze(x: Known, axes: Known) -> Known:
    axes = axes.reshape(-1)
    for axis in axes_of(axes.tolist(), x.ndim + len(axes)):
        x = np.expand_dims(x, axis)
    return x


@on_known("Concat")
def _concat(*x: Known, axis: int) -> Known:
    return known(np.concatenate(x, axis))


@on_known("Slice")
def _slice(x: Known, starts: Known, ends: Known, axes: Known | None = None, steps: Known | None = None) -> Known:
    where = range(len(starts)) if axes is None else axes.tolist()
    by = [1] * len(starts) if steps is None else steps.tolist()
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), where, by, strict=True):
        part: list[Any] = [slice(None)] * x.ndim
        part[axis] = slice(start, end, step)
        x = x[tuple(part)]
    return known(x)


@on_known("Gather")
def _gather(x: Known, indices: Known, *, axis: int = 0) -> Known:
    return known(np.asarray(np.take(x, indices.astype(np.int64), axis), dtype=x.dtype))


@on_known("Split", has_several=True)
def _split(
    x: Known, split: Known | None = None, *, axis: int = 0, num_outputs: int | None = None, context: Context
) -> tuple[Known, ...]:
    if split is not None:
        return parts_of(x, split.tolist(), axis)
    count = num_outputs or context.outputs
    length, whole = -(-x.shape[axis] // count), x.shape[axis]
    return parts_of(x, [min(length, whole - k * length) for k in range(count)], axis)


@on_known("Cast")
def _cast(x: Known, *, to: int, saturate: int = 1, round_mode: str = "up") -> Known:
    if to in _FLOATING:
        return known(_as_type(x, lambda v: torch.sym_float(v) if isinstance(v, torch.SymInt) else float(v)))
    if to == _BOOL:
        return known(_as_type(x, bool))
    return known(_as_type(x, lambda v: v if isinstance(v, torch.SymInt) else torch.sym_int(v)))


@on_known("CastLike")
def _cast_like(x: Known, other: Known, *, saturate: int = 1, round_mode: str = "up") -> Known:
    kind = "i" if other.dtype == object else other.dtype.kind
    return _cast(x, to={"f": 1, "b": _BOOL}.get(kind, 7))


def _as_type(x: Known, function: Callable[[Any], Any]) -> Known:
    return np.asarray(np.frompyfunc(function, 1, 1)(x), dtype=object)


@operation("Range")
@on_known("Range")
def _range(start: Known, limit: Known, delta: Known) -> Known:
    """Numbers at equal distances, which must be known."""
    bounds = [start.item(), limit.item(), delta.item()]
    if any(isinstance(bound, torch.SymInt) for bound in bounds):
        raise RefusedError("it counts up to the number of images, and must not depend on that")
    return np.arange(*bounds)


def _reduction(name: str, reduce: Callable[..., Any]) -> None:
    def run(x: Known, axes: Known | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Known:
        if (axes is None or axes.size == 0) and noop_with_empty_axes:
            return x
        along = tuple(axes.reshape(-1).tolist()) if axes is not None and axes.size else tuple(range(x.ndim))
        return known(np.asarray(reduce(x, axis=along, keepdims=bool(keepdims)), dtype=x.dtype))

    on_known(name)(run)


_reduction("ReduceProd", np.prod)
_reduction("ReduceSum", np.sum)
_reduction("ReduceMax", np.max)
_reduction("ReduceMin", np.min)
