"""A store that is there: what it holds, finished or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from imagrad.store.job import Job, stored_job
from imagrad.store.layout import DONE, MISSING, RECORD, array_of, open_group
from imagrad.store.records import Record, summary_of


@dataclass(frozen=True)
class Store:
    """Maps of a data set on disk. Arrays are read as they are indexed: `store.maps[10:20]`."""

    path: Path
    group: zarr.Group

    @property
    def attributes(self) -> dict[str, Any]:
        """What was explained and how: model, data, settings, versions; of a finished store, a summary."""
        return dict(self.group.attrs)

    @property
    def is_complete(self) -> bool:
        """Whether all blocks are there, and nothing will be changed."""
        return bool(self.group.attrs.get("complete"))

    @cached_property
    def job(self) -> Job:
        """What decided the numbers."""
        return stored_job(self.attributes)

    def array(self, name: str) -> zarr.Array[Any]:
        """Return an array by name; raises `CorruptDataError` where there is none."""
        return array_of(self.group, name)

    @property
    def maps(self) -> zarr.Array[Any]:
        """Saliency maps, (images, channels, height, width); NaN where an image is missing or not done."""
        return self.array("maps")

    @cached_property
    def names(self) -> list[str]:
        """What the images are called: the names of their files, or their numbers in the source."""
        return [str(name) for name in np.asarray(self.array("image")[:]).tolist()]

    @cached_property
    def status(self) -> NDArray[np.uint8]:
        """What of each image is there: `NOT_DONE`, `DONE` or `MISSING`; of blocks without a record, nothing is."""
        whole = np.asarray(self.array("status")[:])
        found = np.zeros_like(whole)
        for number in self.records:
            found[self.job.rows(number)] = whole[self.job.rows(number)]
        return found

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The label of each image, an index into `label_names`; None when there are none."""
        return np.asarray(self.array("label")[:]) if "label" in self.group else None

    @property
    def label_names(self) -> list[str]:
        """What the labels are called."""
        return list(self.attributes.get("label_names", []))

    @cached_property
    def records(self) -> dict[int, Record]:
        """What was met in each block that is done, by its number."""
        return dict(read_records(self.path, self.group))

    @property
    def missing(self) -> dict[str, str]:
        """Why images could not be read, by name."""
        return {
            name: reason for number in sorted(self.records) for name, reason in self.records[number].missing.items()
        }

    @property
    def done(self) -> int:
        """How many images have maps."""
        return int((self.status == DONE).sum())

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Ties, certificate and missing images of the blocks that are done."""
        return summary_of(self.records[number] for number in sorted(self.records))

    def blocks(self) -> Iterator[slice]:
        """Go through the rows of the blocks that are done."""
        for number in sorted(self.records):
            yield self.job.rows(number)

    def __str__(self) -> str:
        """One line."""
        missing = int((self.status == MISSING).sum())
        what = "complete" if self.is_complete else "unfinished"
        return f"{self.path}: {what}; maps of {self.done} of {self.job.images} images, {missing} missing"


def open_store(path: str | Path) -> Store:
    """Open a store, finished or not, to read from; raises `RunFolderError` for what is none."""
    return Store(Path(path), open_group(Path(path)))


def read_records(path: Path, group: zarr.Group) -> Iterator[tuple[int, Record]]:
    """Go through the records that are there; one that a failure of power has cut off counts as not there."""
    array = array_of(group, RECORD)
    for number in recorded(path):
        try:
            yield number, Record.from_text(str(np.asarray(array[number])))
        except Exception:  # whatever it is, the block is done again
            continue


def recorded(path: Path) -> list[int]:
    """List the blocks for which there is a record, by the names of its files."""
    folder = path / RECORD / "c"
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()) if folder.is_dir() else []
