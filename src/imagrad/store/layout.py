"""The arrays of a store: how they are cut into shards, made all at once, and opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from imagrad.errors import CorruptDataError, RunFolderError, StorageError
from imagrad.store.job import FORMAT, Job

NOT_DONE, DONE, MISSING = 0, 1, 2
"""What `status` says of an image."""

RECORD = "record"
"""The array whose entry for a block, written last, says that the block is done."""

_CHUNK_BYTES = 2**20  # what is read at once to get at a single image
_PARTIAL = ".partial"  # what zarr calls a file that it is still writing


@dataclass(frozen=True)
class Kept:
    """An array with one row an image."""

    name: str
    axes: tuple[str, ...]
    """The names of the others."""
    shape: tuple[int, ...]
    """Of one row."""
    dtype: str
    fill: float
    about: str

    @property
    def row_bytes(self) -> int:
        """The size of one row."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def kept_arrays(job: Job, latents: int) -> list[Kept]:
    """List what is computed for each image, for a network of so many latents."""
    settings, shape, axes = job.settings, tuple(job.shape), ("channel", "row", "column")
    counting = latents if settings.latents is None else len(settings.latents)
    values = min(counting, int(np.prod(shape)))
    nan, dtype = float("nan"), settings.dtype
    per_latent = (len(settings.latent_maps), *shape)
    wanted = [
        (True, Kept("maps", axes, shape, dtype, nan, "saliency: norm over the latents of each pixel's derivatives")),
        (settings.codes, Kept("codes", ("latent",), (latents,), dtype, nan, "what the network returns")),
        (bool(settings.latent_maps),
         Kept("latent_maps", ("latent_shown", *axes), per_latent, dtype, nan, "derivatives of single latents, signed")),
        (settings.spectra, Kept("singular_values", ("singular_value",), (values,), dtype, nan, "of the Jacobian")),
        (settings.spectra, Kept("effective_rank", (), (), dtype, nan, "exp of the entropy of the singular values")),
    ]  # fmt: skip
    return [kept for is_wanted, kept in wanted if is_wanted]


def create(path: Path, job: Job, arrays: Sequence[Kept], names: Sequence[str] | NDArray[np.int64],
           labels: NDArray[np.int64] | None, attributes: Mapping[str, Any]) -> None:  # fmt: skip
    """Make the store with everything but results, so that it is there as a whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{path.name}.*{_PARTIAL}"):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            group = zarr.create_group(beside, attributes={**job.as_attributes(), "complete": False, **attributes})
            _create_index(group, job, names, labels)
            status = Kept("status", (), (), "uint8", NOT_DONE, "0: not done, 1: done, 2: missing")
            for kept in (*arrays, status):
                _create_sharded(group, job, kept)
            _plain_array(group, RECORD, "string", (job.blocks,), 1, "block", "")
            beside.rename(path)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise


def _create_index(
    group: zarr.Group, job: Job, names: Sequence[str] | NDArray[np.int64], labels: NDArray[np.int64] | None
) -> None:
    """Write what is known before images are read: `image`, the coordinate that xarray selects by, and `label`."""
    numbered = isinstance(names, np.ndarray)
    values = names if numbered else np.array(list(names), dtype=np.dtypes.StringDType())
    index = _plain_array(
        group, "image", "int64" if numbered else "string", (job.images,), job.block_size, "image", 0 if numbered else ""
    )
    index[:] = values
    if labels is not None:
        _plain_array(group, "label", "int64", (job.images,), job.block_size, "image", -1)[:] = labels
    if job.settings.latent_maps:
        shown = np.array(job.settings.latent_maps, dtype=np.int64)
        _plain_array(group, "latent_shown", "int64", shown.shape, len(shown), "latent_shown", -1)[:] = shown


def _plain_array(
    group: zarr.Group, name: str, dtype: str, shape: tuple[int], chunk: int, axis: str, fill: Any
) -> zarr.Array[Any]:
    return group.create_array(
        name, shape=shape, dtype=dtype, chunks=(chunk,), dimension_names=(axis,), fill_value=fill,
        compressors=ZstdCodec(level=0, checksum=True),
    )  # fmt: skip


def _create_sharded(group: zarr.Group, job: Job, kept: Kept) -> None:
    """Make an array of one shard a block; its chunks are about a megabyte, so that one image is read quickly."""
    block = job.block_size
    fitting = [rows for rows in range(1, block + 1) if block % rows == 0 and rows * kept.row_bytes <= _CHUNK_BYTES]
    rows = max(fitting, default=1)
    group.create_array(
        kept.name, shape=(job.images, *kept.shape), dtype=kept.dtype, chunks=(rows, *kept.shape),
        shards=(block, *kept.shape), dimension_names=("image", *kept.axes), fill_value=kept.fill,
        compressors=ZstdCodec(level=0, checksum=True), attributes={"description": kept.about},
    )  # fmt: skip


def open_group(path: Path, mode: str = "r") -> zarr.Group:
    """Open a store; raise `RunFolderError` for what is none of ours."""
    if not path.exists():
        raise RunFolderError(f"there is no store at {path}. `imagrad explain --out {path}` makes one.")
    try:
        group = zarr.open_group(path, mode="r+" if mode == "r+" else "r")
        found = group.attrs.get("format")
    except Exception as error:  # zarr has no one error for what is no group
        raise RunFolderError(
            f"{path} must be a store that imagrad made; it is none ({type(error).__name__}). Choose another name."
        ) from error
    if found != FORMAT:
        raise RunFolderError(
            f"{path} must be a store of the format {FORMAT}; its format is {found}. It was made by another program or "
            "another version of imagrad. Choose another name."
        )
    return group


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return an array of a store; raise `CorruptDataError` where it is not there."""
    found = group.get(name)
    if not isinstance(found, zarr.Array):
        raise CorruptDataError(f"the store {group.store} has no array {name}; somebody took it away. Make it anew.")
    return found


def remove_leftovers(path: Path) -> None:
    """Delete the half-written files that a killed process left in the store."""
    for leftover in path.rglob(f"*{_PARTIAL}"):
        leftover.unlink(missing_ok=True)


@contextmanager
def storage_errors(path: Path) -> Generator[None]:
    """Turn what the system says when it cannot write into `StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write to {path}: {error.strerror or error}. Blocks that were finished are safe; make room, or "
            "see that the folder can be written to, and run the same command again: it goes on where it stopped."
        ) from error
