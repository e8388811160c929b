"""From images (n, channels, height, width) to the layout that a network wants, where its file says which."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from imagrad.errors import EncoderError, ImageError

Shape = tuple[int | None, ...]
"""Of one image; None where any size will do."""

_CHANNELS = (1, 3, 4)


class Arranged(nn.Module):
    """A network behind a change of layout, so that it takes images (n, channels, height, width)."""

    def __init__(self, network: nn.Module, arrange: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Put `arrange` in front of `network`."""
        super().__init__()
        self.network = network
        self.training = network.training  # the network keeps its mode
        self._arrange = arrange

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Arrange the images and call the network."""
        return self.network(self._arrange(images))


class OfOneSize(nn.Module):
    """A network that takes batches of one size only, as programs do that were exported without dynamic shapes."""

    def __init__(self, network: nn.Module, size: int) -> None:
        """Wrap a network."""
        super().__init__()
        self.network = network
        self.training = network.training  # the network keeps its mode
        self._size = size

    def forward(self, images: torch.Tensor) -> Any:
        """Call it, image by image where it takes one; raise `ImageError` for another number of images."""
        if len(images) == self._size:
            return self.network(images)
        if self._size == 1:
            return torch.vmap(lambda image: tree_map(lambda value: value[0], self.network(image[None])))(images)
        raise ImageError(
            f"the network was exported for batches of {self._size} images; got {len(images)}. Export it for any "
            'number: dynamic_shapes=({0: torch.export.Dim("n")},).'
        )


def arranged(network: nn.Module, shape: Shape | None) -> tuple[nn.Module, tuple[int, int, int] | None, str | None]:
    """Return a network that takes images, their (channels, height, width) where known, and a note on what was done.

    `shape` is that of one image as the network wants it. Raises `EncoderError` for one that cannot be an image's.
    """
    if shape is None:
        return network, None, None
    if len(shape) == 1:
        count = shape[0]
        note = f"the network takes rows of {count or 'any number of'} numbers: images are flattened, row by row"
        return Arranged(network, lambda images: _flattened(images, count)), None, note
    if len(shape) == 2:
        note = "the network takes images without an axis of channels: grey ones are given so"
        whole = _known((1, *shape))
        return Arranged(network, lambda images: images.squeeze(1)), whole, note
    if len(shape) != 3:
        raise EncoderError(
            f"the network takes inputs of shape (n, {', '.join(str(size or '?') for size in shape)}), which are no "
            "images (n, channels, height, width). From Python, imagrad.saliency takes inputs of any shape."
        )
    first, height, last = shape
    if last in _CHANNELS and first not in _CHANNELS:
        note = "the network takes channels last: images are turned round for it"
        return Arranged(network, lambda images: images.movedim(1, -1)), _known((last, first, height)), note
    return network, _known(shape), None


def _flattened(images: torch.Tensor, count: int | None) -> torch.Tensor:
    """Flatten; raise `ImageError` for another number of pixels than `count`."""
    if count is not None and prod(images.shape[1:]) != count:
        raise ImageError(
            f"the network takes {count} numbers an image; images of shape {tuple(images.shape[1:])} have "
            f"{prod(images.shape[1:])}. Give images of that many pixels, or let --fit bring them to a --shape that has."
        )
    return images.flatten(1)


def _known(shape: Shape) -> tuple[int, int, int] | None:
    """Return the shape where all of it is known."""
    channels, height, width = shape
    if channels is None or height is None or width is None:
        return None
    return channels, height, width
