"""One block of a store: read, computed, written, and recorded last. Whoever runs it, and how often, it is the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from imagrad.attribution.blocks import Progress
from imagrad.errors import CorruptDataError, ImagradError, RunFolderError
from imagrad.models.opening import Network, NetworkSource, open_network
from imagrad.store.computing import Computed, compute
from imagrad.store.images import Images, Read, open_images, read_images
from imagrad.store.job import DataSource, Job, Shape
from imagrad.store.layout import DONE, MISSING, RECORD, array_of, open_group, storage_errors
from imagrad.store.records import Record, joined, short_certificate

_ONE_AT_A_TIME = Lock()  # torch traces one network at a time in a process, and threads are set for all of it


@dataclass(frozen=True)
class Place:
    """A store that is being filled, as any process can open it."""

    path: str
    job: Job
    device: str
    strict: bool = False
    """Whether an image that cannot be read is an error."""
    call: str = ""
    """Which call this is of: a worker that has served another looks anew which images are there."""


def explain_block(place: Place, number: int, network: Network | None = None, progress: Progress | None = None) -> int:
    """Explain a block of images and save it; return how many images it has. To do it again changes nothing.

    `network` is one that is in this process only; any other is opened, once for each process. Raises
    `CorruptDataError` for an image that cannot be read if `strict`, `StorageError` when a file cannot be written, and
    what `imagrad.saliency` raises, each with the block named.
    """
    with _ONE_AT_A_TIME:
        job, path = place.job, Path(place.path)
        opened = network or _opened(job.network, place.device, job.model_sha256)
        found = _images(job.data, job.shape, place.call)
        rows = job.rows(number)
        group = open_group(path, "r+")
        read = read_images(found, _names(group, rows), rows.start, job.shape)
        if read.missing and place.strict:
            name, reason = next(iter(read.missing.items()))
            raise CorruptDataError(
                f"image {name} cannot be read: {reason}. Unless all must be there (`strict`, --strict), it is left out."
            )
        try:
            computed = _computed(opened, read, place, job.settings.seed + number, progress)
        except ImagradError as error:
            raise type(error)(f"block {number}, images {rows.start} to {rows.stop - 1}: {error}") from error
        _write(path, group, job, number, read, computed)
        return rows.stop - rows.start


def _computed(network: Network, read: Read, place: Place, seed: int, progress: Progress | None) -> Computed | None:
    """Explain the images that could be read; None where there are none."""
    if not read.rows:
        return None
    return compute(network.encode, read.images.to(place.device), place.job.settings, seed, progress)


def _write(path: Path, group: zarr.Group, job: Job, number: int, read: Read, computed: Computed | None) -> None:
    """Write whole shards, and then the record, once everything else is on the disk."""
    rows = job.rows(number)
    count = rows.stop - rows.start
    status = np.full(count, MISSING, np.uint8)
    status[read.rows] = DONE
    with storage_errors(path):
        for name, values in (computed.arrays if computed else {}).items():
            array = array_of(group, name)
            whole = np.full((count, *array.shape[1:]), np.nan, array.dtype)
            whole[read.rows] = values
            array[rows] = whole
            _settle(path / name, number, array.ndim)
        array_of(group, "status")[rows] = status
        _settle(path / "status", number, 1)
        ties, certificates = (computed.ties, computed.certificates) if computed else ({}, ())
        certificate = joined(short_certificate(certificate) for certificate in certificates)
        record = Record(count, read.sha256, read.missing, dict(sorted(ties.items())), certificate)
        array_of(group, RECORD)[number] = record.as_text()


def _settle(folder: Path, number: int, axes: int) -> None:
    """See that a shard is on the disk itself, so that no failure of power leaves a record without what it records."""
    shard = folder.joinpath("c", str(number), *["0"] * (axes - 1))
    if shard.exists():  # one that holds nothing but the fill value is not stored
        file = os.open(shard, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _names(group: zarr.Group, rows: slice) -> NDArray[Any]:
    return np.asarray(array_of(group, "image")[rows])


@lru_cache(maxsize=1)
def _opened(source: NetworkSource, device: str, sha256: str) -> Network:
    """Open the network that the store was made with, once for each process."""
    network = open_network(source, device)
    if network.sha256 != sha256:
        raise RunFolderError(
            f"the network of this store has the sha256 {sha256}; {network.name} has {network.sha256} now. It was "
            "changed; restore it, or explain with it into a new store."
        )
    return network


@lru_cache(maxsize=1)
def _images(data: DataSource, shape: Shape, call: str) -> Images:
    return open_images(data, shape)
