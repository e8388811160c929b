"""The IDX format of MNIST: a magic number, the sizes, the bytes."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagrad.errors import CorruptDataError, MissingDataError

_UNSIGNED_BYTES = 0x08
_GZIP_START = b"\x1f\x8b"


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
    if len(payload) < 4 or payload[0] or payload[1] or payload[2] != _UNSIGNED_BYTES:
        raise CorruptDataError(
            f"{name} must start with the magic number 00 00 08 and the number of axes (IDX, unsigned bytes); "
            f"it starts with {payload[:4].hex(' ')}. It is not the file it is named after: fetch it again."
        )
    axes = payload[3]
    header = 4 + 4 * axes
    shape = tuple(int(size) for size in np.frombuffer(payload[4:header], ">u4")) if len(payload) >= header else ()
    expected = header + prod(shape)
    if len(shape) != axes or len(payload) != expected:
        raise CorruptDataError(
            f"{name} must hold {expected} bytes, as its header says; it holds {len(payload)}. "
            "It was cut off or has been added to: fetch it again."
        )
    return np.frombuffer(payload, np.uint8, offset=header).reshape(shape)
