"""Rankings of pixels that need no network: what an attribution method must beat to be worth its cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from imagrad.checks.similarity import Picture, pictures
from imagrad.registry import Registry

Control = Callable[[torch.Tensor, int], Picture]
"""(images (n, channels, height, width), seed) -> one picture (height, width), larger where more important."""

CONTROLS: Registry[Control] = Registry("control")


@CONTROLS.register("random")
def random(images: torch.Tensor, seed: int) -> Picture:
    """Every pixel a random number."""
    return np.random.default_rng(seed).random(tuple(images.shape[-2:]))


@CONTROLS.register("pixel variance")
def pixel_variance(images: torch.Tensor, seed: int) -> Picture:
    """How much a pixel varies over the images: its variance, summed over channels."""
    return images.detach().cpu().double().var(dim=0, correction=0).sum(dim=0).numpy()


@CONTROLS.register("mean intensity")
def mean_intensity(images: torch.Tensor, seed: int) -> Picture:
    """How bright a pixel is on average."""
    return pictures(images.detach().double().mean(dim=0, keepdim=True))[0]


@CONTROLS.register("centre distance")
def centre_distance(images: torch.Tensor, seed: int) -> Picture:
    """How near a pixel is to the centre of the image."""
    height, width = images.shape[-2:]
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2)
    return np.asarray(distance.max() - distance, dtype=np.float64)
