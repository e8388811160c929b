"""Images in NumPy files, of which pickles are refused; and what arrays of every kind share."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagrad.data.selections import Columns
from imagrad.data.sources import Source
from imagrad.errors import CorruptDataError, ImageError, SelectionError

ARRAY_SUFFIXES = (".npy", ".npz")
IMAGE_KEYS = ("images", "x", "arr_0")
LABEL_KEYS = ("labels", "y", "label")

Array = NDArray[np.generic]
Read = Callable[[NDArray[np.intp]], Array]


def load_arrays(path: Path, columns: Columns | None = None) -> Source:
    """Open a .npy of images, or a .npz with `images` and, optionally, `labels`; `columns` names others.

    Images are (n, height, width) or (n, channels, height, width).
    Raises `CorruptDataError` for a file that is damaged or holds Python objects, `ImageError` for other shapes.
    """
    columns = columns or Columns()
    is_single = path.suffix.lower() == ".npy"
    if is_single and columns.named:
        raise SelectionError(f"{path} is one array, without names: leave out /image= and /labels=.")
    try:
        if is_single:
            arrays = {"images": np.load(path, mmap_mode="r", allow_pickle=False)}
        else:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise CorruptDataError(
            f"cannot read {path} as a NumPy file of plain numbers ({type(error).__name__}): it is damaged, is none, or "
            "holds Python objects, which are never loaded. Save it with np.save or np.savez from an array of numbers."
        ) from error
    images = arrays[image_key(arrays, columns, str(path))]
    key = label_key(arrays, columns, str(path))
    return labelled(len(images), reader(images, path), arrays[key] if key else None, str(path))


def image_key(keys: Collection[str], columns: Columns, shown: str) -> str:
    """Choose the array of images: the one asked for, or the first of the usual names; `ImageError` without any."""
    if columns.image is not None:
        return _asked(keys, columns.image, shown)
    for key in IMAGE_KEYS:
        if key in keys:
            return key
    raise ImageError(
        f"{shown} must hold an array named {' or '.join(IMAGE_KEYS)}; it holds {', '.join(keys) or 'nothing'}."
    )


def label_key(keys: Collection[str], columns: Columns, shown: str) -> str | None:
    """Choose the array of labels: the one asked for, the first of the usual names, or none."""
    if columns.labels is not None:
        return _asked(keys, columns.labels, shown)
    return next((key for key in LABEL_KEYS if key in keys), None)


def _asked(keys: Collection[str], key: str, shown: str) -> str:
    if key not in keys:
        raise SelectionError(f"{shown} holds {', '.join(keys) or 'nothing'}; got {key!r}.")
    return key


def reader(images: Array, path: Path) -> Read:
    """Return what reads images by index, as (k, channels, height, width), from an array in memory or mapped.

    Raises `CorruptDataError` for a mapped file that has become shorter, which would end the process otherwise.
    """
    if lacks_channels(images.shape, str(path)):
        images = images[:, None]
    size = path.stat().st_size if isinstance(images, np.memmap) else 0

    def read(indices: NDArray[np.intp]) -> Array:
        if size and path.exists() and path.stat().st_size < size:  # a deleted file stays readable while it is mapped
            raise CorruptDataError(
                f"{path} was {size} bytes long when it was opened and is shorter now. Restore it and start again."
            )
        return images[indices]

    return read


def lacks_channels(shape: Sequence[int], shown: str) -> bool:
    """Say whether images of this shape need an axis for their channels.

    True for (n, height, width), False for (n, 1 or 3, height, width); raises `ImageError` for anything else.
    """
    if len(shape) == 3:
        return True
    if len(shape) == 4 and shape[1] in (1, 3):
        return False
    hints = {
        2: " One image: add an axis, images[None].",
        4: " Move the channels forward: images.transpose(0, 3, 1, 2).",
    }
    raise ImageError(
        f"images must have shape (n, height, width) or (n, 1 or 3, height, width); {shown} has {tuple(shape)}."
        f"{hints.get(len(shape), '')}"
    )


def labelled(count: int, read: Read, labels: Array | None, shown: str, notes: tuple[str, ...] = ()) -> Source:
    """Make a source of `count` images with a label each, or none; raise `ImageError` for another number of labels."""
    if labels is None:
        return Source(count, read, notes=notes)
    if labels.shape != (count,):
        raise ImageError(f"`labels` of {shown} must have shape ({count},), one per image; got {labels.shape}.")
    names, numbers = np.unique(labels, return_inverse=True)
    return Source(count, read, numbers.astype(np.intp), tuple(str(name) for name in names), notes=notes)
