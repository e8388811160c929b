"""Images in Zarr arrays and groups, version 2 or 3: read block by block, never as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imagrad.data.arrays import IMAGE_KEYS, image_key, label_key, labelled, lacks_channels
from imagrad.data.selections import Columns
from imagrad.data.sources import Source
from imagrad.errors import CorruptDataError, ImageError, UntrustedCodeError

if TYPE_CHECKING:
    import zarr

_MARKS = ("zarr.json", ".zarray", ".zgroup")
_NUMBERS = "biuf"  # kinds of types: bool, int, unsigned, float
_COUNTED = 100_000  # chunks; to look for the missing ones of more would take long


def is_zarr(folder: Path) -> bool:
    """Tell a Zarr array or group by its metadata files."""
    return any((folder / mark).is_file() for mark in _MARKS)


def load_zarr(folder: Path, columns: Columns | None = None) -> Source:
    """Open an array (n, height, width) or (n, channels, height, width), or a group that holds one.

    In a group: `images`, `x`, or the only array of three or four axes; labels under `labels`, `y` or `label`.
    Raises `CorruptDataError` for what cannot be read, `ImageError` for other shapes and types, `UntrustedCodeError`
    for an array of pickles.
    """
    import zarr

    columns = columns or Columns()
    opened, arrays = _open(folder)
    if not isinstance(opened, zarr.Array):
        columns = Columns(columns.image or _only_one(arrays), columns.labels)
    images = _plain(arrays[image_key(arrays, columns, str(folder))], folder)
    key = label_key(arrays, columns, str(folder))
    labels = _read(_plain(arrays[key], folder, numbers=False), slice(None), folder) if key else None
    return labelled(images.shape[0], _reader(images, folder), labels, str(folder), _notes(images, folder))


def _open(folder: Path) -> tuple[zarr.Array[Any] | zarr.Group, dict[str, zarr.Array[Any]]]:
    """Open an array or a group, and the arrays in it."""
    import zarr

    try:
        opened = zarr.open(folder, mode="r")
        return opened, {"images": opened} if isinstance(opened, zarr.Array) else dict(opened.arrays())
    except Exception as error:  # whatever the metadata make of it: JSON, key, value and type errors
        raise CorruptDataError(f"cannot open {folder} as Zarr ({type(error).__name__}): {error}") from error


def _only_one(arrays: dict[str, zarr.Array[Any]]) -> str | None:
    """Name the array that is the only one of three or four axes, unless one has a usual name."""
    large = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    usual = [name for name in IMAGE_KEYS if name in arrays]
    if usual or not large:
        return None  # by its name, or not at all
    if len(large) > 1:
        raise ImageError(
            f"which array holds the images? Those of three or four axes are {', '.join(sorted(large))}. "
            f"Say it behind the path: /image={sorted(large)[0]}."
        )
    return large[0]


def _plain(array: zarr.Array[Any], folder: Path, *, numbers: bool = True) -> zarr.Array[Any]:
    """Return the array if it can be read without running code that comes with it, and, if asked, holds numbers."""
    codecs = [*(array.filters or ()), *(array.compressors or ())]
    if any("pickle" in str(getattr(codec, "codec_id", codec)).lower() for codec in codecs):
        raise UntrustedCodeError(
            f"{array.basename or folder} of {folder} is stored as pickles, which run code when they are read, and are "
            "never read. Save it as plain numbers."
        )
    if numbers and np.dtype(array.dtype).kind not in _NUMBERS:
        raise ImageError(
            f"pixels must be numbers; {folder} has {array.dtype}. Save them as uint8 or as float in [0, 1]."
        )
    return array


def _reader(images: zarr.Array[Any], folder: Path) -> Any:
    """Return what reads images by index as (k, channels, height, width), decoding only the chunks they lie in."""
    without_channels = lacks_channels(images.shape, str(folder))

    def read(indices: NDArray[np.intp]) -> NDArray[np.generic]:
        block = _read(images, indices, folder)
        return block[:, None] if without_channels else block

    return read


def _read(array: zarr.Array[Any], indices: NDArray[np.intp] | slice, folder: Path) -> NDArray[np.generic]:
    try:
        if isinstance(indices, slice):
            return np.asarray(array[indices])
        if len(indices) and np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices))):
            return np.asarray(array[int(indices[0]) : int(indices[-1]) + 1])  # a range is cheaper than its numbers
        return np.asarray(array.oindex[indices])
    except Exception as error:  # a damaged chunk makes each codec raise its own kind
        which = "" if isinstance(indices, slice) else f", images {', '.join(str(index) for index in indices[:3])}, ..."
        raise CorruptDataError(f"cannot read {folder}{which} ({type(error).__name__}): {error}") from error


def _notes(images: zarr.Array[Any], folder: Path) -> tuple[str, ...]:
    """Say how many chunks are not stored: Zarr reads them as the fill value, be they lost or all of that value."""
    if images.nchunks > _COUNTED:
        return ()
    missing = images.nchunks - images.nchunks_initialized
    if not missing:
        return ()
    return (
        f"{missing} of the {images.nchunks} chunks of {folder} are not stored; their pixels are read as "
        f"{images.fill_value}, as Zarr does with chunks of that value alone, and with lost ones",
    )
