"""Taking parts of a tensor."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch

from imagrad.models.onnx.table import RefusedError, operation
from imagrad.models.onnx.values import Context, Known, Sizes, Tensor, Value, as_tensor


@operation("Slice")
def _slice(x: Tensor, starts: Sizes, ends: Sizes, axes: Sizes | None = None, steps: Sizes | None = None) -> Tensor:
    """Cut each axis from a start to an end, by steps."""
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step > 0:
            part: list[Any] = [slice(None)] * x.ndim
            part[axis] = slice(start, end, step)
            x = x[tuple(part)]
        else:
            places = list(range(x.shape[axis]))[start:end:step]
            x = x.index_select(axis, torch.tensor(places, dtype=torch.int64, device=x.device))
    return x


@operation("Gather")
def _gather(x: Tensor, indices: Value, *, axis: int = 0, context: Context) -> Tensor:
    """Take entries of an axis at given places."""
    if isinstance(indices, np.ndarray) and indices.ndim == 0:
        return x.select(axis, indices.item())
    places = _from_front(as_tensor(indices, context), x.shape[axis])
    axis = axis % x.ndim
    found = x.index_select(axis, places.reshape(-1))
    return found.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


@operation("GatherElements")
def _gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    """For each place of the result, an entry along an axis."""
    return torch.gather(x, axis, _from_front(indices, x.shape[axis]))


@operation("GatherND")
def _gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """Take entries at places that are given by all their coordinates."""
    if batch_dims:
        raise RefusedError(f"batch_dims {batch_dims} is not covered")
    return x[tuple(indices.unbind(-1))]


def _from_front(places: torch.Tensor, length: int) -> torch.Tensor:
    """Count from the front also what is counted from the end."""
    return torch.where(places < 0, places + length, places)


@operation("Split", has_several=True)
def _split(
    x: Tensor, split: Sizes | None = None, *, axis: int = 0, num_outputs: int | None = None, context: Context
) -> tuple[torch.Tensor, ...]:
    """Parts of given lengths along an axis, or of equal ones."""
    if split is None:
        return tuple(torch.split(x, -(-x.shape[axis] // (num_outputs or context.outputs)), axis))
    return tuple(torch.split(x, split, axis))


@operation("TopK", has_several=True)
def _top_k(
    x: Tensor, k: Sizes, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pick the largest or smallest along an axis, and where they are."""
    (count,) = k
    found = torch.topk(x, count, axis, bool(largest), sorted=True)
    return found.values, found.indices


def parts_of(x: Known, lengths: list[int], axis: int) -> tuple[Any, ...]:
    """Cut known numbers into parts of given lengths."""
    bounds = np.cumsum([0, *lengths]).tolist()
    return tuple(np.take(x, range(start, end), axis) for start, end in pairwise(bounds))
