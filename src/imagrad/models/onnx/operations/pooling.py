"""Pools: the largest or the mean of each window."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, prod

import torch
from torch.nn import functional

from imagrad.models.onnx.operations.windows import Ints, windows_on
from imagrad.models.onnx.table import RefusedError, operation
from imagrad.models.onnx.values import Tensor

_LARGEST: dict[int, Callable[..., torch.Tensor]] = {
    3: functional.max_pool1d, 4: functional.max_pool2d, 5: functional.max_pool3d
}  # fmt: skip
_MEAN: dict[int, Callable[..., torch.Tensor]] = {
    3: functional.avg_pool1d, 4: functional.avg_pool2d, 5: functional.avg_pool3d
}  # fmt: skip


@operation("MaxPool")
def _max_pool(
    x: Tensor, *, kernel_shape: list[int], auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Ints = None,
    pads: Ints = None, storage_order: int = 0, strides: Ints = None,
) -> Tensor:  # fmt: skip
    """Largest number of each window; the places where it was are not made."""
    _check_rank(x)
    windows = windows_on(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad)
    pool = _LARGEST[x.ndim]
    fits = all(2 * pad <= size for pad, size in zip(windows.before, windows.sizes, strict=True))
    if windows.is_even and fits and not ceil_mode:
        return pool(x, windows.sizes, windows.strides, windows.before, windows.dilations)
    padded = functional.pad(x, windows.paddings(bool(ceil_mode)), value=-inf)
    return pool(padded, windows.sizes, windows.strides, 0, windows.dilations)


@operation("AveragePool")
def _average_pool(
    x: Tensor, *, kernel_shape: list[int], auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
    dilations: Ints = None, pads: Ints = None, strides: Ints = None,
) -> Tensor:  # fmt: skip
    """Mean of each window; with `count_include_pad`, padding counts as zeros."""
    _check_rank(x)
    windows = windows_on(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad)
    if any(dilation != 1 for dilation in windows.dilations):
        raise RefusedError(f"dilations {list(windows.dilations)} are not covered: give [1, ...]")
    pool, paddings = _MEAN[x.ndim], windows.paddings(bool(ceil_mode))
    means = pool(functional.pad(x, paddings), windows.sizes, windows.strides)
    if not any(end > 0 for end in paddings):
        return means
    inside = _inside(x, windows.before, windows.after, paddings, bool(count_include_pad))
    counted = pool(inside, windows.sizes, windows.strides)
    return means / counted


def _inside(
    x: torch.Tensor, before: tuple[int, ...], after: tuple[int, ...], paddings: list[int], with_pads: bool
) -> torch.Tensor:
    """Return ones where numbers count, zeros where not: (1, 1, *spatial), padded."""
    rank = x.ndim - 2
    if not with_pads:
        return functional.pad(x.new_ones(1, 1, *x.shape[2:]), paddings)
    lengths = [sum(sizes) for sizes in zip(before, x.shape[2:], after, strict=True)]
    rest = [(0, paddings[2 * (rank - 1 - k) + 1] - after[k]) for k in range(rank)]  # beyond what was asked for
    return functional.pad(x.new_ones(1, 1, *lengths), [end for pair in reversed(rest) for end in pair])


@operation("GlobalAveragePool")
def _global_average_pool(x: Tensor) -> Tensor:
    """Mean over all spatial axes."""
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


@operation("GlobalMaxPool")
def _global_max_pool(x: Tensor) -> Tensor:
    """Largest number over all spatial axes; where several are, the first."""
    found = x.flatten(2).max(dim=2).values
    return found.reshape(*found.shape, *[1] * (x.ndim - 2))


@operation("GlobalLpPool")
def _global_lp_pool(x: Tensor, *, p: int = 2) -> Tensor:
    """Norm over all spatial axes."""
    return torch.linalg.vector_norm(x, p, tuple(range(2, x.ndim)), keepdim=True)


def _check_rank(x: torch.Tensor) -> None:
    if x.ndim not in _LARGEST:
        raise RefusedError(f"it has {x.ndim - 2} spatial axes, and only one to three are covered")
    if prod(x.shape[2:]) == 0:
        raise RefusedError(f"it pools over a spatial axis of length 0: {tuple(x.shape[2:])}")
