"""The images of a block: found by name, read a few at a time, and those that cannot be read told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imagrad.data.fitting import fit_image
from imagrad.data.selections import parse_selection
from imagrad.data.sources import Dataset, in_unit_range, shape_text
from imagrad.errors import DataError, ImageError, MissingDataError
from imagrad.store.job import DataSource, Shape

_FEW = 8  # pictures in memory at once that are to be brought to another size: they may be far larger
_MANY = 64
_LOOKED_AT = 16  # images; when none of so many is of the network's size, something is wrong with all


@dataclass(frozen=True)
class Images:
    """A data set that has been opened, with the names of its images."""

    dataset: Dataset
    base: Path | None
    """The folder or file that they are in, where there is one."""

    @cached_property
    def names(self) -> list[str] | NDArray[np.int64]:
        """What the images are called; those that have no names, by their numbers in the source."""
        if self.dataset.source.names:
            return self.dataset.names
        return self.dataset.indices.astype(np.int64)

    @cached_property
    def positions(self) -> dict[Any, int]:
        """Where each image is, by name."""
        return {name: position for position, name in enumerate(_plain(self.names))}

    def place_of(self, name: str) -> int | None:
        """Return where the image is that a store calls so; None where it is not there any more."""
        return self.positions.get(name if self.dataset.source.names else int(name))

    def find(self, names: Sequence[str] | NDArray[np.int64], start: int) -> list[int | None]:
        """Return where the images are that a store counts from `start`; None for one that is not there any more."""
        stop = start + len(names)
        if _plain(self.names[start:stop]) == _plain(names):
            return list(range(start, stop))
        return [self.positions.get(name) for name in _plain(names)]


def open_images(source: DataSource, shape: Shape | None) -> Images:
    """Open images, for a network that takes `shape`; raises what `load_dataset` raises."""
    dataset = source.open(shape)
    base = Path(parse_selection(source.selection).base.partition("*")[0])  # of a pattern, what is before it
    return Images(dataset, base.absolute() if base.exists() else None)


@dataclass(frozen=True)
class Read:
    """What could be read of a block."""

    rows: list[int]
    """Which rows of the block."""
    images: torch.Tensor
    missing: dict[str, str]
    """Why the others could not be read, by name."""

    @property
    def sha256(self) -> str:
        """Of their pixels."""
        return hashlib.sha256(self.images.numpy().tobytes()).hexdigest()


def read_images(found: Images, names: Sequence[str] | NDArray[np.int64], start: int, shape: Shape) -> Read:
    """Read the images that a store counts from `start`, all of one shape.

    Raises `MissingDataError` when an image cannot be read because the folder or file of all of them is gone.
    """
    positions, told = found.find(names, start), [str(name) for name in _plain(names)]
    rows, images, missing = list[int](), list[torch.Tensor](), dict[str, str]()
    step = _FEW if found.dataset.fit.changes_images else _MANY
    for first in range(0, len(positions), step):
        some = positions[first : first + step]
        for row, image in enumerate(_read_some(found.dataset, some, shape), first):
            if isinstance(image, str):
                missing[told[row]] = image
            else:
                rows.append(row)
                images.append(image)
    if missing:
        _check_there(found.base)
    return Read(rows, torch.stack(images) if images else torch.empty(0, *shape), missing)


def _read_some(dataset: Dataset, positions: list[int | None], shape: Shape) -> list[torch.Tensor | str]:
    """Return each image, or why it cannot be read; all at once where nothing is wrong."""
    first, last = positions[0], positions[-1]
    if first is not None and positions == list(range(first, first + len(positions))) and last is not None:
        try:
            images = dataset.images(first, last + 1)
            if tuple(images.shape[1:]) == shape:
                return list(images)
        except (DataError, ImageError):
            pass  # one by one, to see which
    return [_read_one(dataset, position, shape) for position in positions]


def _read_one(dataset: Dataset, position: int | None, shape: Shape) -> torch.Tensor | str:
    if position is None:
        return "it is not there any more"
    try:
        image = alone(dataset, position)
    except (DataError, ImageError) as error:
        return str(error)
    if tuple(image.shape) != shape:
        return f"it is {shape_text(image.shape)}; the network takes {shape_text(shape)}"
    return image


def _check_there(base: Path | None) -> None:
    if base is not None and not base.exists():
        raise MissingDataError(
            f"{base} is not there any more, so that its images cannot be read. Bring it back (mount the disk?), and "
            "run the same command again: it goes on where it stopped."
        )


def example(dataset: Dataset, shape: Shape | None) -> torch.Tensor:
    """Return the first image that can be read and that the network takes, (1, channels, height, width).

    Raises `ImageError` when something is wrong with all images, not with one.
    """
    problem, others = "", 0
    for position in range(len(dataset)):
        try:
            image = alone(dataset, position)
        except (DataError, ImageError) as error:
            problem = problem or str(error)
            continue
        if shape is None or tuple(image.shape) == shape:
            return image[None]
        others += 1
        problem = (
            f"the network takes images that are {shape_text(shape)}; {dataset.name} has {shape_text(image.shape)}. "
            "Give `fit` (--fit): resize, pad or crop."
        )
        if others == _LOOKED_AT:
            break
    raise ImageError(f"no image of {dataset.name} can be explained: {problem}")


def alone(dataset: Dataset, position: int) -> torch.Tensor:
    """Read one image, whatever its size; raises what `Dataset.images` raises of an image."""
    number = dataset.indices[position : position + 1]
    (raw,) = dataset.source.read(number)
    return fit_image(in_unit_range(raw[None], dataset.name, number)[0], dataset.fit)


def _plain(names: Sequence[str] | NDArray[Any]) -> list[Any]:
    return names.tolist() if isinstance(names, np.ndarray) else list(names)
