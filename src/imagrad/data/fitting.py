"""Bring a picture of any size to the shape that a network takes, when asked to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import interpolate, pad

from imagrad.errors import ImageError
from imagrad.registry import Registry

FITS: Registry[Callable[[torch.Tensor, int, int], torch.Tensor]] = Registry("fit")
"""How a picture (channels, height, width) becomes one of another height and width."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's conversion to grey


@dataclass(frozen=True)
class Fit:
    """What to do to each image: nothing, or bring it to `shape` by the fit `how` and turn dark into bright."""

    shape: tuple[int, int, int] | None = None
    how: str | None = None
    invert: bool = False

    @property
    def changes_images(self) -> bool:
        """Whether there is anything to do."""
        return self.invert or (self.how is not None and self.shape is not None)


def fit_image(image: torch.Tensor, fit: Fit) -> torch.Tensor:
    """Apply `fit` to one image, (channels, height, width) in [0, 1]; the result is in [0, 1] as well."""
    if fit.how is not None and fit.shape is not None and tuple(image.shape) != fit.shape:
        channels, height, width = fit.shape
        image = FITS[fit.how](_with_channels(image, channels), height, width)
    return 1 - image if fit.invert else image


@FITS.register("resize")
def resize(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Stretch the picture to the size; a picture of other proportions is distorted."""
    batch = interpolate(image[None], (height, width), mode="bilinear", antialias=True, align_corners=False)
    return batch[0].clamp(0, 1)  # weights sum to 1, but only to rounding


@FITS.register("pad")
def pad_to(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Shrink or enlarge the whole picture into the size; fill what is left with the median of its border."""
    channels, old_height, old_width = image.shape
    scale = min(height / old_height, width / old_width)
    inner = resize(image, max(1, round(old_height * scale)), max(1, round(old_width * scale)))
    top, left = (height - inner.shape[1]) // 2, (width - inner.shape[2]) // 2
    sides = (left, width - inner.shape[2] - left, top, height - inner.shape[1] - top)
    border = torch.cat([image[:, 0], image[:, -1], image[:, :, 0], image[:, :, -1]], dim=1).median(dim=1).values
    return torch.cat([pad(inner[c : c + 1], sides, value=float(border[c])) for c in range(channels)])


@FITS.register("crop")
def crop(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Shrink or enlarge the picture until it covers the size; cut off what stands out, evenly."""
    scale = max(height / image.shape[1], width / image.shape[2])
    outer = resize(image, max(height, round(image.shape[1] * scale)), max(width, round(image.shape[2] * scale)))
    top, left = (outer.shape[1] - height) // 2, (outer.shape[2] - width) // 2
    return outer[:, top : top + height, left : left + width]


def _with_channels(image: torch.Tensor, channels: int) -> torch.Tensor:
    """Turn colour into grey or grey into equal channels."""
    if image.shape[0] == channels:
        return image
    if image.shape[0] == 3 and channels == 1:
        return (torch.tensor(_LUMA)[:, None, None] * image).sum(dim=0, keepdim=True).clamp(0, 1)
    if image.shape[0] == 1:
        return image.expand(channels, -1, -1)
    raise ImageError(
        f"a picture with {image.shape[0]} channels cannot be fitted to {channels}: only colour to grey and grey to any "
        "number are known. Convert it first."
    )
