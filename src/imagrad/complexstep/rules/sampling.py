"""Rules of grid sampling: images read off between their pixels, at places that may depend on the input."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import torch

from imagrad.complexstep.number import Lifted, lifted_among, real_part
from imagrad.complexstep.rules.products import plus, times
from imagrad.complexstep.rules.table import RULES, refuse_lifted, rule

aten = torch.ops.aten

_NEAREST, _BORDER = 1, 1  # torch's numbers of the interpolation and of the padding


def _grid_sampler(operation: Any, axes: int) -> None:
    def apply(images: Any, grid: Any, interpolation: int, padding: int, align: bool) -> Lifted:
        some = lifted_among((images, grid))[0]
        how = (interpolation, padding, align)
        if isinstance(grid, Lifted) and interpolation == 0 and padding <= _BORDER:
            result = _sampled(images, grid, padding, align)
            return some.of(operation(real_part(images), grid.re, *how), result.im)
        if interpolation != _NEAREST:
            refuse_lifted(f"{operation}, with this interpolation and padding,", grid)
        places = real_part(grid)
        re = operation(real_part(images), places, *how)
        im = operation(images.im, places, *how) if isinstance(images, Lifted) else torch.zeros_like(re)
        return some.of(re, im)

    def gap(images: torch.Tensor, grid: torch.Tensor, interpolation: int, padding: int, align: bool) -> torch.Tensor:
        sizes = torch.tensor(images.shape[: -axes - 1 : -1], dtype=grid.dtype, device=grid.device)
        place = ((grid + 1) * (sizes - 1) if align else (grid + 1) * sizes - 1) / 2
        place = place + 0.5 if interpolation == _NEAREST else place
        return (place - place.round()).abs()

    apply.__doc__ = "Sample images: linear in the images, and along a grid by its linear interpolation."
    rule(operation, gap=gap)(apply)


_grid_sampler(aten.grid_sampler_2d.default, 2)
_grid_sampler(aten.grid_sampler_3d.default, 3)


def _sampled(images: Any, grid: Lifted, padding: int, align: bool) -> Lifted:
    """Sum the pixels around each place (n, *out, axes), each with its share, to (n, channels, *out)."""
    axes = grid.re.shape[-1]
    sizes = list(real_part(images).shape[-axes:])
    below: list[torch.Tensor] = []
    shares: list[tuple[Lifted, Any]] = []  # of the pixel below and of the one above, along each axis
    for k, size in enumerate(sizes):
        place = _unnormalised(RULES["aten.select.int"].apply(grid, -1, axes - 1 - k), size, padding, align)
        below.append(_floor(place))
        above = plus(place, -below[-1])
        shares.append((plus(times(above, -1.0), torch.ones_like(below[-1])), above))
    terms = [_corner(images, below, shares, corner, sizes) for corner in product((0, 1), repeat=axes)]
    total = terms[0]
    for term in terms[1:]:
        total = plus(total, term)
    return total


def _floor(place: Lifted) -> torch.Tensor:
    """Round down; seen from one side, what stands on a pixel and moves down belongs to the pixel below."""
    floor = place.re.floor()
    return floor - ((floor == place.re) & (place.im < 0)).to(floor) if place.arithmetic.is_one_sided else floor


def _unnormalised(place: Lifted, size: int, padding: int, align: bool) -> Lifted:
    """Turn coordinates from -1 to 1 into those of pixels."""
    scale = (size - 1) / 2 if align else size / 2
    place = plus(times(place, scale), torch.full_like(place.re, (size - 1) / 2))
    return RULES["aten.clamp.default"].apply(place, 0, size - 1) if padding == _BORDER else place


def _corner(images: Any, below: Any, shares: Any, corner: tuple[int, ...], sizes: list[int]) -> Any:
    """Take one of the pixels around each place, 0 outside the image, times its share."""
    share = shares[0][corner[0]]
    for pair, upper in zip(shares[1:], corner[1:], strict=True):
        share = times(share, pair[upper])
    indices = [floor + upper for floor, upper in zip(below, corner, strict=True)]
    inside = torch.ones_like(below[0], dtype=torch.bool)
    flat = torch.zeros_like(below[0], dtype=torch.long)
    for index, size in zip(indices, sizes, strict=True):
        inside = inside & (index >= 0) & (index < size)
        flat = flat * size + index.clamp(0, size - 1).long()

    def picked(part: torch.Tensor) -> torch.Tensor:
        n, channels = part.shape[:2]
        rows = flat.reshape(n, 1, -1).expand(n, channels, -1)
        found = part.reshape(n, channels, prod(sizes)).gather(-1, rows).view(n, channels, *below[0].shape[1:])
        return found.masked_fill(~inside.unsqueeze(1), 0)

    pixels = images.of(picked(images.re), picked(images.im)) if isinstance(images, Lifted) else picked(images)
    return times(pixels, RULES["aten.unsqueeze.default"].apply(share, 1))
