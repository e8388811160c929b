"""The IDX format of MNIST: a magic number, the sizes, the bytes; and images in such a file anywhere."""

from __future__ import annotations

import gzip
import re
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagrad.data.arrays import labelled, reader
from imagrad.data.sources import Source
from imagrad.errors import CorruptDataError, ImageError, MissingDataError

_UNSIGNED_BYTES = 0x08
_GZIP_START = b"\x1f\x8b"
_NAME = re.compile(r".*([-.]idx\d-ubyte|\.idx)(\.gz)?", re.IGNORECASE)
_AXES = re.compile(r"idx\d-ubyte", re.IGNORECASE)
_LONGEST_HEADER = 4 + 4 * 255


def is_idx(path: Path) -> bool:
    """Tell an IDX file by its name, as MNIST's are called or .idx, with .gz or without."""
    return _NAME.fullmatch(path.name) is not None


def load_idx(path: Path) -> Source:
    """Open a file of images, (n, height, width) or (n, channels, height, width), and the labels beside it.

    They are in the file whose name has "labels" for "images". An uncompressed file is memory-mapped.
    Raises `CorruptDataError` for a damaged file, `ImageError` for one of other shapes.
    """
    images = _open(path)
    if images.ndim == 1:
        raise ImageError(f"{path} holds {len(images)} numbers, which are labels; name the file of the images.")
    beside = _labels_beside(path)
    labels = _open(beside) if beside else None
    notes = (f"the labels are from {beside.name}, beside the images",) if beside else ()
    return labelled(len(images), reader(images, path), labels, str(beside or path), notes)


def _open(path: Path) -> NDArray[np.uint8]:
    """Map an uncompressed file, unpack a compressed one."""
    try:
        with path.open("rb") as file:
            start = file.read(_LONGEST_HEADER)
        size = path.stat().st_size
        if not start.startswith(_GZIP_START) and size:
            shape, header = _header(start, size, str(path))
            if prod(shape):
                return np.memmap(path, np.uint8, "r", header, shape)
    except FileNotFoundError as error:
        raise MissingDataError(f"there is no file {path}.") from error
    except OSError as error:
        raise CorruptDataError(f"cannot read {path}: {error}.") from error
    return parse_idx(read_payload(path), str(path))


def _labels_beside(path: Path) -> Path | None:
    """Find the file of the labels: train-labels-idx1-ubyte beside train-images-idx3-ubyte, with .gz or without."""
    before, found, after = path.name.rpartition("images")
    if not found:
        return None
    name = f"{before}labels{_AXES.sub('idx1-ubyte', after)}"
    other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
    return next((beside for beside in (path.with_name(name), path.with_name(other)) if beside.is_file()), None)


def read_payload(path: Path) -> bytes:
    """Return the uncompressed bytes of a raw or gzip file, told apart by its first two bytes, not by its name."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP_START) else content
    except FileNotFoundError as error:
        raise MissingDataError(f"there is no file {path}.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise CorruptDataError(f"cannot read {path}: {error}. Delete it and fetch it again.") from error


def parse_idx(payload: bytes, name: str) -> NDArray[np.uint8]:
    """Read the array in an IDX payload; raise `CorruptDataError` for a wrong magic number or length."""
    shape, header = _header(payload[:_LONGEST_HEADER], len(payload), name)
    return np.frombuffer(payload, np.uint8, offset=header).reshape(shape)


def _header(start: bytes, size: int, name: str) -> tuple[tuple[int, ...], int]:
    """Read the shape and the length of the header from the first bytes of `size`; check that the rest fits."""
    if len(start) < 4 or start[0] or start[1] or start[2] != _UNSIGNED_BYTES:
        raise CorruptDataError(
            f"{name} must start with the magic number 00 00 08 and the number of axes (IDX, unsigned bytes); "
            f"it starts with {start[:4].hex(' ')}. It is not the file it is named after: fetch it again."
        )
    axes = start[3]
    header = 4 + 4 * axes
    shape = tuple(int(length) for length in np.frombuffer(start[4:header], ">u4")) if len(start) >= header else ()
    expected = header + prod(shape)
    if len(shape) != axes or size != expected:
        raise CorruptDataError(
            f"{name} must hold {expected} bytes, as its header says; it holds {size}. "
            "It was cut off or has been added to: fetch it again."
        )
    return shape, header
