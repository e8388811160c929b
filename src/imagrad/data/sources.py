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
from imagrad.errors import DataError, ImageError
from imagrad.registry import Registry

Raw = NDArray[np.generic]
"""One image as it is stored, (channels, height, width): uint8, uint16, bool or float."""

_BLOCK = 1024  # images read at a time, so that a large file is never in memory as a whole
_TRIES = 100  # images looked at for one that can be read; more in a row is no accident
_SAMPLE = 8  # images whose pixels are part of the identity
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
    file_sizes: Callable[[NDArray[np.intp]], Iterable[int | None]] | None = None
    """Indices to the size in bytes of each image's own file, None where it is gone; where each has one."""


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

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image: what they are fitted to, or that of the first one that can be read.

        So one damaged image does not hide what the others are, even where it is the first. Reads one image.
        Raises the error of the first image when none of the first 100 can be read.
        """
        if self.fit.how is not None and self.fit.shape is not None:
            return self.fit.shape
        channels, height, width = self._first_readable[1]
        return channels, height, width

    def images(self, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Read images `start` to `stop`: float32 in [0, 1], (n, channels, height, width).

        Raises `DataError` for an image that is damaged or has vanished, `ImageError` for one of another shape than
        `image_shape` and for values that are not in [0, 1] or not finite; `images(k, k + 1)` raises for image k alone.
        """
        chosen = self.indices[start:stop]
        images = self._read(chosen)
        if isinstance(images, torch.Tensor):
            return images
        self._check_shapes(images, chosen)
        return torch.stack(images) if images else torch.empty((0, *self.image_shape))

    def _read(self, chosen: NDArray[np.intp]) -> torch.Tensor | list[torch.Tensor]:
        """Read and fit the images of these numbers: one tensor where the source has one shape, or else one each."""
        if self.fit.changes_images:  # one by one: pictures may be far larger than what they are fitted to
            return [self._fitted(self.source.read(chosen[k : k + 1]), chosen[k : k + 1]) for k in range(len(chosen))]
        raw = self.source.read(chosen)
        if isinstance(raw, np.ndarray):
            return in_unit_range(raw, self.name, chosen)
        return [in_unit_range(one[None], self.name, chosen[k : k + 1])[0] for k, one in enumerate(raw)]

    def _fitted(self, raw: Iterable[Any], number: NDArray[np.intp]) -> torch.Tensor:
        """Fit the one image that was read."""
        (one,) = raw
        return fit_image(in_unit_range(one[None], self.name, number)[0], self.fit)

    @cached_property
    def _first_readable(self) -> tuple[int, torch.Size]:
        """The number and the shape of the first image that can be read."""
        first_error: DataError | ImageError | None = None
        tried = min(len(self), _TRIES)
        for k in range(tried):
            try:
                return int(self.indices[k]), self._read(self.indices[k : k + 1])[0].shape
            except (DataError, ImageError) as error:
                first_error = first_error or error
        assert first_error is not None  # a selection is never empty
        more = f" Nor can the {tried - 1} images after it be read." if tried > 1 else ""
        raise type(first_error)(f"{first_error}{more}") from first_error

    def _check_shapes(self, images: list[torch.Tensor], chosen: NDArray[np.intp]) -> None:
        for index, image in zip(chosen, images, strict=True):
            if tuple(image.shape) != self.image_shape:
                first, shape = self._first_readable
                raise ImageError(
                    f"the images of a batch must have one shape; image {first} of {self.name} is "
                    f"{shape_text(shape)}, image {index} is {shape_text(image.shape)}. "
                    "Bring them to one size first, or let --fit resize, pad or crop do it where a network gives one."
                )

    def batches(self, size: int = _BLOCK) -> Iterator[torch.Tensor]:
        """Read all images, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.images(start, start + size)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of shapes, labels and pixel values, as the network sees them, in their order."""
        return self._digest(self.batches())

    @cached_property
    def identity(self) -> str:
        """A SHA-256 that tells this data set from others without reading it all: `dataset.identity`, a property, str.

        Over the number of images, their names (or their numbers in the source), labels and label names, the fit, the
        sizes of their files where each has one, and the pixels as stored of 8 images spread over the set. It is the
        same wherever the data lie and does not see a change of other pixels: `fingerprint` does, and reads everything.
        """
        facts = [len(self), self.label_names, self.fit.shape, self.fit.how, self.fit.invert]
        digest = hashlib.sha256(repr(facts).encode())
        digest.update("\0".join(self.names).encode("utf-8", "surrogateescape"))
        if self.labels is not None:
            digest.update(self.labels.to(torch.int64).numpy().tobytes())
        if self.source.file_sizes is not None:
            digest.update(repr(list(self.source.file_sizes(self.indices))).encode())
        for k in np.linspace(0, len(self) - 1, min(_SAMPLE, len(self))).astype(np.intp):
            digest.update(self._raw_bytes(self.indices[k : k + 1]))
        return digest.hexdigest()

    def _raw_bytes(self, chosen: NDArray[np.intp]) -> bytes:
        """One image as stored; that it cannot be read is a fact of the data set as well."""
        try:
            (image,) = self.source.read(chosen)
        except (DataError, ImageError):
            return b"cannot be read"
        return f"{image.dtype.str} {image.shape}".encode() + image.tobytes()

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
    native = np.require(raw, raw.dtype.newbyteorder("="), ["C", "W"])  # torch wants both
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
