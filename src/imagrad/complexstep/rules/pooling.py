"""Rules of max pooling: the largest real part of a window decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch.nn import functional as F

from imagrad.complexstep.number import Lifted, imaginary_part, lifted_among, real_part
from imagrad.complexstep.rules.picking import gathered, picked
from imagrad.complexstep.rules.selections import lexicographic_max, runner_up_gap
from imagrad.complexstep.rules.table import rule

aten = torch.ops.aten


def for_each_axis(setting: Any, count: int) -> list[int]:
    """One number for each axis, however they were given."""
    return (
        list(setting) * (count if len(setting) == 1 else 1) if isinstance(setting, list | tuple) else [setting] * count
    )


@dataclass(frozen=True)
class _Windows:
    """Where the windows of a max pooling lie."""

    kernel: list[int]
    stride: list[int]
    padding: list[int]
    dilation: list[int]

    def pixels(self, values: torch.Tensor, shape: torch.Size) -> Iterator[torch.Tensor]:
        """Yield the first pixel of all windows, then the second, and so on, each of the result's `shape`.

        Outside the image stands -inf.
        """
        axes = len(self.kernel)
        extents = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        sizes: list[int] = []
        for k in reversed(range(axes)):
            reach = (shape[k - axes] - 1) * self.stride[k] + extents[k]
            sizes += [self.padding[k], max(0, reach - values.shape[k - axes] - self.padding[k])]
        padded = F.pad(values, sizes, value=-torch.inf) if any(sizes) else values
        for place in product(*map(range, self.kernel)):
            found = padded
            for k, offset in enumerate(place):
                begin, count = offset * self.dilation[k], shape[k - axes]
                axis = found.ndim - axes + k
                found = found.narrow(axis, begin, (count - 1) * self.stride[k] + 1)
                found = found[(slice(None),) * axis + (slice(None, None, self.stride[k]),)]
            yield found

    def spread(self, values: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """Lay the windows out over a new last axis."""
        return torch.stack(list(self.pixels(values, shape)), -1)


def _windows(axes: int, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, *_: Any) -> _Windows:
    """Read the settings of a max pooling over so many axes."""
    kernel = for_each_axis(kernel, axes)
    return _Windows(
        kernel,
        for_each_axis(stride, axes) if stride else kernel,
        for_each_axis(padding, axes),
        for_each_axis(dilation, axes),
    )


def _picked(
    values: torch.Tensor, place: torch.Tensor, axes: int, kernel: Any, stride: Any = (), padding: Any = 0,
    dilation: Any = 1, ceil_mode: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Pick what a max pooling has picked."""
    windows = (kernel, stride, padding, dilation, ceil_mode)
    return picked(values, place, windows) if axes == 2 else gathered(values, place, axes)


def _max_pool(operation: Any, axes: int) -> None:
    def apply(value: Lifted, kernel: Any, *how: Any) -> tuple[Lifted, torch.Tensor]:
        re, place = operation(value.re, kernel, *how)
        if not value.arithmetic.is_one_sided:
            return value.of(re, _picked(value.im, place, axes, kernel, *how)), place
        spread = _windows(axes, kernel, *how).spread
        return value.of(re, lexicographic_max(spread(value.re, re.shape), spread(value.im, re.shape), -1)), place

    def gap(values: torch.Tensor, kernel: Any, *how: Any) -> torch.Tensor:
        largest = operation(values, kernel, *how)[0]
        second = torch.full_like(largest, -torch.inf)
        first = second
        for pixels in _windows(axes, kernel, *how).pixels(values, largest.shape):  # faster than to sort each window
            second = torch.maximum(second, torch.minimum(first, pixels))
            first = torch.maximum(first, pixels)
        return first - second

    apply.__doc__ = "Max pooling: the derivative of the picked pixel, at a tie the first."
    rule(operation, gap=gap)(apply)


_max_pool(aten.max_pool2d_with_indices.default, 2)
_max_pool(aten.max_pool3d_with_indices.default, 3)


@rule(aten.max_pool2d_with_indices_backward.default)
def back_through_max_pool(cotangents: Any, images: Any, *how: Any) -> Lifted:
    """Put cotangents to the places of the pixels that were picked; of the images only the size counts."""
    back, size = aten.max_pool2d_with_indices_backward.default, real_part(images)
    re, im = (back(part, size, *how) for part in (real_part(cotangents), imaginary_part(cotangents)))
    return lifted_among((cotangents, images))[0].of(re, im)


# --- adaptive: windows of unequal sizes ---
def _cells(size: int, count: int) -> list[tuple[int, int]]:
    """First and last + 1 of `count` windows over `size` pixels."""
    return [(k * size // count, -(-(k + 1) * size // count)) for k in range(count)]


def _over_cells(values: torch.Tensor, shape: list[int], reduce: Any) -> torch.Tensor:
    """Reduce each window, flattened, over its last axis."""
    axes = len(shape)
    grid: list[torch.Tensor] = []
    cells = [_cells(values.shape[k - axes], shape[k]) for k in range(axes)]
    for place in torch.cartesian_prod(*(torch.arange(count) for count in shape)).view(-1, axes).tolist():
        window = values
        for k, index in enumerate(place):
            first, last = cells[k][index]
            window = window.narrow(k - axes, first, last - first)
        grid.append(reduce(window.flatten(-axes)))
    return torch.stack(grid, -1).unflatten(-1, shape)


def _adaptive_max_pool(operation: Any, axes: int) -> None:
    def apply(value: Lifted, shape: list[int]) -> tuple[Lifted, torch.Tensor]:
        re, place = operation(value.re, shape)
        if not value.arithmetic.is_one_sided:
            return value.of(re, gathered(value.im, place, axes)), place
        both = torch.stack([value.re, value.im])
        return value.of(re, _over_cells(both, shape, lambda w: lexicographic_max(w[0], w[1], -1))), place

    apply.__doc__ = "Adaptive max pooling: the derivative of the picked pixel, at a tie the first."
    rule(operation, gap=lambda values, shape: _over_cells(values, shape, lambda w: runner_up_gap(w, -1)))(apply)


_adaptive_max_pool(aten.adaptive_max_pool2d.default, 2)
_adaptive_max_pool(aten.adaptive_max_pool3d.default, 3)
