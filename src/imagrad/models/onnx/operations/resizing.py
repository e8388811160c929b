"""Resizing by interpolation along one axis after the other: each is a weighted sum of entries at given places.

The places and weights follow the formulas of ONNX's own definition of Resize; they are computed in float64.
"""

from __future__ import annotations

from math import floor

import numpy as np
import torch
from numpy.typing import NDArray

from imagrad.models.onnx.table import RefusedError, operation
from imagrad.models.onnx.values import Context, Factors, Sizes, Tensor

_Floats = NDArray[np.float64]


@operation("Resize")
def _resize(
    x: Tensor, roi: Factors | None = None, scales: Factors | None = None, sizes: Sizes | None = None, *,
    antialias: int = 0, axes: list[int] | None = None, coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75, exclude_outside: int = 0, extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch", mode: str = "nearest", nearest_mode: str = "round_prefer_floor",
    context: Context,
) -> Tensor:  # fmt: skip
    """Interpolation by the nearest, linearly, or by cubic pieces."""
    if context.version < 11:  # the second input was the factors
        return _upsample(x, roi or [], mode=mode)
    if antialias:
        raise RefusedError("antialias 1 is not covered")
    if keep_aspect_ratio_policy != "stretch":
        raise RefusedError(f"keep_aspect_ratio_policy {keep_aspect_ratio_policy!r} is not covered")
    if exclude_outside and mode == "cubic":
        raise RefusedError("exclude_outside 1 is not covered")
    which = [axis % x.ndim for axis in axes] if axes is not None else list(range(x.ndim))
    for k, axis in enumerate(which):
        length = x.shape[axis]
        new = sizes[k] if sizes else _scaled(length, (scales or [])[k])
        if new == length and not (scales and scales[k] != 1):
            continue
        factor = scales[k] if scales else new / length
        places = _positions(length, new, factor, coordinate_transformation_mode)
        x = _interpolated(x, axis, places, mode, nearest_mode, cubic_coeff_a)
    return x


@operation("Upsample")
def _upsample(x: Tensor, scales: Factors, *, mode: str = "nearest") -> Tensor:
    """Resize as it was before version 10: places are old places times a factor."""
    for axis, factor in enumerate(scales):
        if factor != 1:
            places = _positions(x.shape[axis], _scaled(x.shape[axis], factor), factor, "asymmetric")
            x = _interpolated(x, axis, places, mode, "floor", -0.75)
    return x


def _scaled(length: int, factor: float) -> int:
    return length if factor == 1 else floor(length * factor)


def _positions(length: int, new: int, scale: float, mode: str) -> _Floats:
    """Return where among the old entries each new one lies."""
    k = np.arange(new, dtype=np.float64)
    if mode == "asymmetric":
        return k / scale
    if mode == "align_corners":
        return k * ((length - 1) / (new - 1)) if new > 1 else np.zeros(new)
    if mode == "tf_half_pixel_for_nn":
        return (k + 0.5) / scale
    half = (k + 0.5) / scale - 0.5
    if mode == "half_pixel":
        return half
    if mode == "pytorch_half_pixel":
        return half if new > 1 else np.zeros(new)
    if mode == "half_pixel_symmetric":
        adjustment = new / (scale * length)
        return length / 2 * (1 - adjustment) + half
    raise RefusedError(f"coordinate_transformation_mode {mode!r} is not covered")


def _interpolated(
    x: torch.Tensor, axis: int, places: _Floats, mode: str, nearest_mode: str, cubic: float
) -> torch.Tensor:
    """Add up entries at places near each, with their weights."""
    if mode == "nearest":
        return _taken(x, axis, _nearest(places, nearest_mode))
    below = np.floor(places)
    beyond = places - below
    if mode == "linear":
        return sum(  # pyright: ignore[reportReturnType]  # two tensors
            _weighted(x, axis, below + k, weight) for k, weight in enumerate((1 - beyond, beyond))
        )
    if mode == "cubic":
        return sum(  # pyright: ignore[reportReturnType]  # four tensors
            _weighted(x, axis, below + k, _cubic(np.abs(beyond - k), cubic)) for k in (-1, 0, 1, 2)
        )
    raise RefusedError(f"mode {mode!r} is not covered")


def _nearest(places: _Floats, mode: str) -> _Floats:
    rounding = {
        "round_prefer_floor": lambda p: np.ceil(p - 0.5),
        "round_prefer_ceil": lambda p: np.floor(p + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    if mode not in rounding:
        raise RefusedError(f"nearest_mode {mode!r} is not covered")
    return rounding[mode](places)


def _cubic(distance: _Floats, a: float) -> _Floats:
    """Weigh by distance: Keys' piecewise cubic, of reach 2."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _weighted(x: torch.Tensor, axis: int, places: _Floats, weights: _Floats) -> torch.Tensor:
    factors = torch.tensor(weights, device=x.device).to(x.dtype)
    return _taken(x, axis, places) * factors.reshape(-1, *[1] * (x.ndim - axis - 1))


def _taken(x: torch.Tensor, axis: int, places: _Floats) -> torch.Tensor:
    """Take entries of an axis; outside of it, the outermost."""
    inside = np.clip(places, 0, x.shape[axis] - 1).astype(np.int64)
    return x.index_select(axis, torch.tensor(inside, device=x.device))
