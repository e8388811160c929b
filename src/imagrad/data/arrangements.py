"""Where the pixels of an image are put before anything else is done with it: on a larger canvas, or shuffled.

What the second and the fourth sanity check train their networks on (section 7 of the paper, Sanity Check-2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from imagrad.errors import InputError

AS_THEY_ARE = "as they are"
CENTRE = "centre"
CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")
_SHUFFLED = "shuffled"
EXAMPLES = f'"{AS_THEY_ARE}", "top-left:42", "centre:42", "shuffled:0"'


@dataclass(frozen=True)
class Arrangement:
    """A way to put pixels: `place` on a black square canvas of `size` pixels, or all in an order drawn from `seed`."""

    place: str = AS_THEY_ARE
    size: int = 0
    """Height and width of the canvas."""
    seed: int = 0
    """Of the one permutation that all images are shuffled by."""

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Arrange images (..., height, width); raise `InputError` when they are larger than the canvas."""
        if self.place == AS_THEY_ARE:
            return images
        if self.place == _SHUFFLED:
            return _reordered(images, self._order(images))
        height, width = images.shape[-2:]
        top, left = self.offset(height, width)
        return pad(images, (left, self.size - width - left, top, self.size - height - top))

    def undo(self, images: torch.Tensor) -> torch.Tensor:
        """Put shuffled pixels back, of images or of maps; raise `InputError` for a canvas, whose border is no image."""
        if self.place == AS_THEY_ARE:
            return images
        if self.place != _SHUFFLED:
            raise InputError(f"only shuffled pixels can be put back; these were put {self.place} on a canvas.")
        return _reordered(images, self._order(images).argsort())

    def offset(self, height: int, width: int) -> tuple[int, int]:
        """Return the row and the column at which the first pixel of an image comes to lie; `InputError` as `apply`."""
        down, across = self.size - height, self.size - width
        if down < 0 or across < 0:
            raise InputError(
                f"the canvas must be at least as large as the images; got {self.size} x {self.size} for images of "
                f"{height} x {width}. Give a larger size: {self.place}:{max(height, width) * 3 // 2}."
            )
        if self.place == CENTRE:
            return down // 2, across // 2
        return (0 if "top" in self.place else down), (0 if "left" in self.place else across)

    def _order(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.shape[-2] * images.shape[-1]
        return torch.randperm(pixels, generator=torch.Generator().manual_seed(self.seed)).to(images.device)


def parse_arrangement(text: str) -> Arrangement:
    """Read "top-left:42" and the like; raise `InputError`, with examples, for anything else.

    >>> parse_arrangement("top-left:42")
    Arrangement(place='top-left', size=42, seed=0)
    """
    place, _, number = text.partition(":")
    if text == AS_THEY_ARE:
        return Arrangement()
    if place in (*CORNERS, CENTRE) and number.isdigit() and int(number) > 0:
        return Arrangement(place, size=int(number))
    if place == _SHUFFLED and number.isdigit():
        return Arrangement(place, seed=int(number))
    raise InputError(f"cannot read the arrangement {text!r}; expected something like {EXAMPLES}.")


def _reordered(images: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return images.flatten(-2)[..., order].unflatten(-1, images.shape[-2:])
