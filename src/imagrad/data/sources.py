"""A source of raw images, and the data set cut from it: in [0, 1], float32, (n, channels, height, width)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imagrad.data.fitting import Fit, fit_image
from imagrad.errors import ImageError
from imagrad.registry import Registry

Raw = NDArray[np.generic]
"""One image as it is stored, (channels, height, width): uint8, uint16, bool or float."""

_BLOCK = 1024  # images read at a time, so that a large file is never in memory as a whole
_FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "bool": 1.0}


@dataclass(frozen=True)
class Source:
    """Images somewhere, read by index."""

    count: int
    read: Callable[[NDArray[np.intp]], Iterable[Any]]
    """Indices to images: one array (k, channels, height, width), or k arrays that may differ in size."""
    labels: NDArray[np.intp] | None = None
    label_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """What each image is called, where it has a name, such as that of its file."""
    notes: tuple[str, ...] = ()
    """What a user should know of how the images were found, one sentence each."""


Loader = Callable[[str, str | None], Source]
"""A data set known by name: (split, folder to look in or None) -> source."""

DATASETS: Registry[Loader] = Registry("dataset")


@dataclass(frozen=True)
class Dataset:
    """The selected images of a source, fitted if asked."""

    name: str
    source: Source
    indices: NDArray[np.intp]
    fit: Fit = field(default_factory=Fit)

    def __len__(self) -> int:
        """Count the selected images."""
        return len(self.indices)

    @cached_property
    def labels(self) -> torch.Tensor | None:
        """The label of each image, an index into `label_names`; None when there are none."""
        return None if self.source.labels is None else torch.from_numpy(self.source.labels[self.indices])

    @property
    def names(self) -> list[str]:
        """What each selected image is called: its file's name, or its number in the source."""
        return [self.source.names[index] if self.source.names else str(index) for index in self.indices]

    @property
    def titles(self) -> list[str]:
        """What to write above each image in a figure: its label, or else its name."""
        if self.labels is None:
            return self.names
        return [f"label {self.label_names[label]}" for label in self.labels.tolist()]

    @property
    def label_names(self) -> tuple[str, ...]:
        """What the labels are called."""
        return self.source.label_names

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        channels, height, width = self.images(0, 1).shape[1:]
        return channels, height, width

    def images(self, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Read images `start` to `stop`: float32 in [0, 1], (n, channels, height, width).

        Raises `ImageError` for images of several shapes and for values that are not in [0, 1] or not finite.
        """
        chosen = self.indices[start:stop]
        raw = self.source.read(chosen)
        if isinstance(raw, np.ndarray) and not self.fit.changes_images:
            return in_unit_range(raw, self.name, chosen)
        images = [
            fit_image(in_unit_range(one[None], self.name, chosen[k : k + 1])[0], self.fit) for k, one in enumerate(raw)
        ]
        for index, image in zip(chosen, images, strict=True):
            if image.shape != images[0].shape:
                raise ImageError(
                    f"the images of a batch must have one shape; image {chosen[0]} of {self.name} is "
                    f"{shape_text(images[0].shape)}, image {index} is {shape_text(image.shape)}. "
                    "Bring them to one size first, or let --fit resize, pad or crop do it where a network gives one."
                )
        return torch.stack(images)

    def batches(self, size: int = _BLOCK) -> Iterator[torch.Tensor]:
        """Read all images, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.images(start, start + size)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of shapes, labels and pixel values, as the network sees them, in their order."""
        return self._digest(self.batches())

    def fingerprint_of(self, images: torch.Tensor) -> str:
        """Return the fingerprint from all the images, already read, without reading them again."""
        return self._digest(images.cpu().split(_BLOCK))

    def _digest(self, batches: Iterable[torch.Tensor]) -> str:
        digest = hashlib.sha256()
        for batch in batches:
            digest.update(f"{tuple(batch.shape[1:])}\n".encode())
            digest.update(batch.numpy().tobytes())
        if self.labels is not None:
            digest.update(self.labels.to(torch.int64).numpy().tobytes())
        return digest.hexdigest()


def in_unit_range(raw: Raw, name: str, numbers: NDArray[np.intp]) -> torch.Tensor:
    """Turn stored images (n, ...) into float32 in [0, 1]: divide integers by their full scale, only check floats.

    Raises `ImageError` for NaN, infinity, values outside [0, 1] and other types; `name` and `numbers` say which image.
    """
    scale = _FULL_SCALE.get(raw.dtype.name)
    if scale is not None:
        return torch.from_numpy(raw.astype(np.float32) / np.float32(scale))
    if not np.issubdtype(raw.dtype, np.floating):
        raise ImageError(
            f"pixels must be uint8, uint16, bool or float in [0, 1]; {name} has {raw.dtype}. "
            "Convert it, so that 0 is the darkest and 1 (or the full scale) the brightest value."
        )
    native = np.ascontiguousarray(raw, dtype=raw.dtype.newbyteorder("="))
    check_unit_range(torch.from_numpy(native), name, numbers)
    return torch.from_numpy(native.astype(np.float32))


def check_unit_range(images: torch.Tensor, name: str, numbers: Sequence[int] | NDArray[np.intp] | None = None) -> None:
    """Raise `ImageError` unless all values of `images` (n, ...) are finite and in [0, 1].

    `name` says where they are from, `numbers` how each is counted there.
    """

    def first(bad: torch.Tensor) -> str:
        position = int(bad.flatten(1).any(dim=1).nonzero()[0])
        return f"image {position if numbers is None else numbers[position]} of {name}"

    infinite = ~torch.isfinite(images)
    if infinite.any():
        raise ImageError(f"pixels must be finite; {first(infinite)} has NaN or infinity. Repair it or leave it out.")
    outside = (images < 0) | (images > 1)
    if outside.any():
        raise ImageError(
            f"pixels must lie in [0, 1]; {first(outside)} has {float(images[outside][0]):g}. "
            "Divide by the full scale (255 for 8 bits), or rescale; nothing is clipped for you."
        )


def shape_text(shape: Sequence[int]) -> str:
    """Write an image shape as people say it: "grey 28 x 28", "colour 64 x 48"."""
    kind = {1: "grey", 3: "colour"}.get(shape[0], f"{shape[0]}-channel")
    return f"{kind} {shape[1]} x {shape[2]}"
