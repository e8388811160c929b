"""How alike two pictures are: Pearson, Spearman, SSIM. 1 is alike, 0 unrelated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from skimage.metrics import structural_similarity

from imagrad.errors import ImageError
from imagrad.registry import Registry

Picture = NDArray[np.float64]
"""One (height, width), or several (n, height, width)."""

_WINDOW = 7  # pixels: the side of what SSIM looks at, in pictures that are as large as that

SIMILARITIES: Registry[Callable[[Picture, Picture], float]] = Registry("similarity", listed=False)


def pictures(maps: torch.Tensor) -> Picture:
    """Turn maps (n, height, width) or (n, channels, height, width) into pictures: the norm over the channels.

    Raises `ImageError` for maps of another shape, or with NaN or infinity in them.
    """
    values = maps.detach().cpu().double()
    if values.ndim not in (3, 4):
        raise ImageError(
            "`maps` must have shape (n, height, width) or (n, channels, height, width); "
            f"got {tuple(values.shape)}. Checks are for maps of images."
        )
    if not torch.isfinite(values).all():
        raise ImageError("`maps` must be finite to be compared; some have NaN or infinity. Explain all features.")
    return (values if values.ndim == 3 else values.norm(dim=1)).numpy()


@SIMILARITIES.register("pearson")
def pearson(first: Picture, second: Picture) -> float:
    """Correlate the values; 0 when one of the pictures is constant, and so is unrelated to anything."""
    a, b = (picture.ravel() - picture.mean() for picture in (first, second))
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    if is_constant(first) or is_constant(second):
        return 0.0
    return float(a @ b) / scale


@SIMILARITIES.register("spearman")
def spearman(first: Picture, second: Picture) -> float:
    """Correlate the ranks of the values, ties sharing theirs; 0 when one of the pictures is constant."""
    return pearson(*(np.asarray(stats.rankdata(picture), dtype=np.float64) for picture in (first, second)))


@SIMILARITIES.register("ssim")
def ssim(first: Picture, second: Picture) -> float:
    """Compare the structure (Wang et al. 2004) of both pictures, each brought to the range from 0 to 1."""
    side = min(_WINDOW, *first.shape)
    window = side if side % 2 else side - 1
    found: Any = structural_similarity(unit_range(first), unit_range(second), win_size=window, data_range=1.0)
    return float(found)


def unit_range(picture: Picture) -> Picture:
    """Bring a picture to the range from 0 to 1; a constant one to 0."""
    return np.zeros_like(picture) if is_constant(picture) else (picture - picture.min()) / np.ptp(picture)


def is_constant(picture: Picture) -> bool:
    """Say whether all values are the same, but for rounding."""
    return bool(np.ptp(picture) <= 1e-12 * np.abs(picture).max())
