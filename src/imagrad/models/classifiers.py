"""The classifier of the third sanity check: a small convolutional network (Table 3 of the paper)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from imagrad.errors import ImageError, InputError

_CHANNELS = (32, 64, 64)
_HIDDEN = 128
_SMALLEST = 2 ** len(_CHANNELS)  # pixels; each layer halves the image


@dataclass(frozen=True)
class ClassifierShape:
    """What it takes to build the classifier: the size of the images, and the classes by name."""

    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        if min(self.image_shape[1:]) < _SMALLEST:
            raise InputError(
                f"the classifier of Table 3 halves an image {len(_CHANNELS)} times: images must be at least "
                f"{_SMALLEST} x {_SMALLEST}; got {self.image_shape[1]} x {self.image_shape[2]}."
            )
        if len(self.classes) < 2:
            raise InputError(f"a classifier needs images of at least 2 classes; got {len(self.classes)}.")

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {name: list(value) for name, value in asdict(self).items()}


class Classifier(nn.Module):
    """Three times convolution 3 x 3 (32, 64, 64 channels), ReLU and max pooling, then 128 hidden units (Table 3).

    The convolutions keep the size of the image (28, 14, 7), so that pooling ends at 3 x 3 x 64 = 576 for 28 x 28.
    Returns logits; the softmax of the table is in the loss and does not change which class is largest.
    """

    def __init__(self, shape: ClassifierShape) -> None:
        """Build the network with weights from torch's global generator."""
        super().__init__()
        self.shape = shape
        channels, height, width = shape.image_shape
        layers: list[nn.Module] = []
        for before, after in zip((channels, *_CHANNELS), _CHANNELS, strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        features = _CHANNELS[-1] * (height // _SMALLEST) * (width // _SMALLEST)
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(features, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, len(shape.classes))
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images (n, channels, height, width) to logits (n, classes); raise `ImageError` for another shape."""
        if tuple(images.shape[1:]) != self.shape.image_shape:
            raise ImageError(
                f"the classifier takes images of shape {self.shape.image_shape}; got {tuple(images.shape[1:])}. "
                "Train one on images of this size: `imagrad check corruption` does, unless it is given one."
            )
        return self.layers(images)


def build_classifier(shape: ClassifierShape, seed: int) -> Classifier:
    """Build the classifier; its weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(shape)
