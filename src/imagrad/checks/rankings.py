"""From a picture of importance to pixels: ranked, chosen by percentage, and flipped as the paper does it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from imagrad.checks.similarity import Picture
from imagrad.errors import InputError

_THRESHOLD = 100 / 255  # the paper's grey level: brighter pixels become black, others white


def ranking(picture: Picture, seed: int) -> NDArray[np.intp]:
    """Order the pixels of a picture (height, width), the most important first: indices into the flattened picture.

    Equal pixels come in a random order that depends on `seed` and on the size alone: the same for all pictures, and
    without the bias that an order by index has, which takes rows from the top.
    """
    shuffled = np.random.default_rng(seed).permutation(picture.size)
    return shuffled[np.argsort(-picture.ravel()[shuffled], kind="stable")]


def pixels_of(order: NDArray[np.intp], percentage: float, side: str) -> NDArray[np.intp]:
    """Take a percentage of the pixels from the "most" or the "least" important end, rounded to whole pixels."""
    if not 0 <= percentage <= 100:
        raise InputError(f"a percentage of pixels must be from 0 to 100; got {percentage}.")
    count = round(percentage / 100 * len(order))
    return order[:count] if side == "most" else order[len(order) - count :]


def flipped(images: torch.Tensor, pixels: NDArray[np.intp]) -> torch.Tensor:
    """Flip pixels in a copy of images (n, c, height, width) in [0, 1]: grey levels above 100 to 0, others to 255."""
    corrupted = images.flatten(-2).clone()
    chosen = torch.from_numpy(pixels).to(images.device)
    corrupted[..., chosen] = (corrupted[..., chosen] <= _THRESHOLD).to(images)
    return corrupted.view(images.shape)


def erased(images: torch.Tensor, pixels: NDArray[np.intp]) -> torch.Tensor:
    """Set pixels of a copy of images to 0: strokes vanish, and nothing white appears."""
    corrupted = images.flatten(-2).clone()
    corrupted[..., torch.from_numpy(pixels).to(images.device)] = 0
    return corrupted.view(images.shape)


def removed(images: torch.Tensor, pixels: NDArray[np.intp]) -> torch.Tensor:
    """Remove pixels from a copy of images: each gets its mean over the images, so that it tells nothing."""
    corrupted = images.flatten(-2).clone()
    chosen = torch.from_numpy(pixels).to(images.device)
    corrupted[..., chosen] = corrupted[..., chosen].mean(dim=0, keepdim=True)
    return corrupted.view(images.shape)
