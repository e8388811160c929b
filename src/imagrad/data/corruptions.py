"""Noise put on images before they are encoded (section 3 of the paper): pure functions of images, level, generator.

Each takes images in [0, 1] and returns images in [0, 1] of the same shape; level 0 changes nothing, a level that cannot
be raises `InputError`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from imagrad.errors import InputError
from imagrad.registry import Registry

Corruption = Callable[[torch.Tensor, float, torch.Generator], torch.Tensor]

CORRUPTIONS: Registry[Corruption] = Registry("corruption")


def check_level(name: str, level: float) -> None:
    """Raise `InputError` for a level that the corruption `name` cannot have, `UnknownNameError` for its name."""
    most = 1.0 if CORRUPTIONS[name] is salt_and_pepper else math.inf
    if not 0 <= level <= most or math.isinf(level):
        wanted = "between 0 and 1, a share of the pixels" if most == 1 else "0 (no noise) or a positive number"
        raise InputError(f"the level of {name} noise (`kappa`) must be {wanted}; got {level:g}.")


@CORRUPTIONS.register("gaussian")
def gaussian(images: torch.Tensor, level: float, generator: torch.Generator) -> torch.Tensor:
    """Add normal noise of standard deviation kappa, then clip: Eq. 9, x~ = q(x + kappa N)."""
    check_level("gaussian", level)
    return (images + level * _normal(images, generator)).clamp(0, 1)


@CORRUPTIONS.register("salt-and-pepper")
def salt_and_pepper(images: torch.Tensor, level: float, generator: torch.Generator) -> torch.Tensor:
    """Set the share `level` of the pixels to white or black, each as often."""
    check_level("salt-and-pepper", level)
    draw = torch.rand(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    pepper, salt = draw < level / 2, (draw >= level / 2) & (draw < level)
    return images.masked_fill(pepper, 0).masked_fill(salt, 1)


@CORRUPTIONS.register("poisson")
def poisson(images: torch.Tensor, level: float, generator: torch.Generator) -> torch.Tensor:
    """Count photons: a white pixel expects 1 / level**2 of them, so that `level` is its standard deviation; clipped."""
    check_level("poisson", level)
    if level == 0:
        return images.clone()
    photons = 1 / level**2
    return (torch.poisson(images * photons, generator=generator) / photons).clamp(0, 1)


@CORRUPTIONS.register("speckle")
def speckle(images: torch.Tensor, level: float, generator: torch.Generator) -> torch.Tensor:
    """Multiply by 1 plus normal noise of standard deviation `level`, then clip."""
    check_level("speckle", level)
    return (images + level * images * _normal(images, generator)).clamp(0, 1)


def _normal(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
