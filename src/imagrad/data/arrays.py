"""Images in NumPy files: .npy is memory-mapped, .npz may bring labels; pickles are refused."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagrad.data.sources import Source
from imagrad.errors import CorruptDataError, ImageError

ARRAY_SUFFIXES = (".npy", ".npz")
_IMAGE_KEYS = ("images", "x", "arr_0")
_LABEL_KEYS = ("labels", "y")


def load_arrays(path: Path) -> Source:
    """Open a .npy of images, or a .npz with `images` and, optionally, `labels`.

    Images are (n, height, width) or (n, channels, height, width).
    Raises `CorruptDataError` for a file that is damaged or holds Python objects, `ImageError` for other shapes.
    """
    try:
        if path.suffix.lower() == ".npy":
            arrays = {"images": np.load(path, mmap_mode="r", allow_pickle=False)}
        else:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                arrays = {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise CorruptDataError(
            f"cannot read {path} as a NumPy file of plain numbers ({type(error).__name__}): it is damaged, is none, or "
            "holds Python objects, which are never loaded. Save it with np.save or np.savez from an array of numbers."
        ) from error
    images = _with_channel_axis(_pick(arrays, _IMAGE_KEYS, path), path)
    labels = _pick(arrays, _LABEL_KEYS, path) if set(arrays) & set(_LABEL_KEYS) else None

    def read(indices: NDArray[np.intp]) -> NDArray[np.generic]:
        return images[indices]

    if labels is None:
        return Source(len(images), read)
    if labels.shape != (len(images),):
        raise ImageError(f"`labels` of {path} must have shape ({len(images)},), one per image; got {labels.shape}.")
    names, numbers = np.unique(labels, return_inverse=True)
    return Source(len(images), read, numbers.astype(np.intp), tuple(str(name) for name in names))


def _pick(arrays: dict[str, NDArray[np.generic]], keys: tuple[str, ...], path: Path) -> NDArray[np.generic]:
    """Return the first array under one of the usual names."""
    for key in keys:
        if key in arrays:
            return arrays[key]
    raise ImageError(f"{path} must hold an array named {' or '.join(keys)}; it holds {', '.join(arrays) or 'nothing'}.")


def _with_channel_axis(images: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    """Return images as (n, channels, height, width)."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    hints = {
        2: " One image: add an axis, images[None].",
        4: " Move the channels forward: images.transpose(0, 3, 1, 2).",
    }
    raise ImageError(
        f"images must have shape (n, height, width) or (n, 1 or 3, height, width); {path} has {images.shape}."
        f"{hints.get(images.ndim, '')}"
    )
