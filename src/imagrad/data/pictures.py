"""Picture files: one, or a folder of them whose sub-folders are the labels."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from imagrad.data.sources import Raw, Source
from imagrad.errors import CorruptDataError, ImageError, MissingDataError, SelectionError

_NOT_PLAIN = "a picture must be grey or RGB, without transparency"
_PLAIN_MODES = {"1", "L", "RGB", "I;16", "I;16B", "I;16L"}


def picture_suffixes() -> set[str]:
    """List the file endings that Pillow reads."""
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def load_picture(path: Path) -> Source:
    """One picture file."""
    return Source(1, lambda indices: [read_picture(path) for _ in indices], names=(path.name,))


def load_folder(folder: Path) -> Source:
    """All pictures of a folder; if they lie in sub-folders, the names of those are the labels."""
    files = _files(folder)
    suffixes = picture_suffixes()
    pictures = [path for path in files if path.suffix.lower() in suffixes]
    if not pictures:
        raise SelectionError(
            f"{folder} must hold pictures; it holds {len(files)} files and none is one that Pillow reads."
            f"{_hint(folder, files)}"
        )
    others = sorted({path.suffix or path.name for path in files if path.suffix.lower() not in suffixes})
    left_out = len(files) - len(pictures)
    notes = (f"left out of {folder}, because no pictures: {left_out} ({', '.join(others)})",) if left_out else ()
    relative = [path.relative_to(folder) for path in pictures]
    label_names, labels = _labels(folder, relative)
    return Source(
        len(pictures),
        lambda indices: [read_picture(pictures[i]) for i in indices],
        labels,
        label_names,
        tuple(path.as_posix() for path in relative),
        notes,
        lambda indices: [_size(pictures[i]) for i in indices],
    )


def _files(folder: Path) -> list[Path]:
    """List all files below a folder, but for hidden ones; raise `CorruptDataError` where a folder cannot be listed."""

    def refuse(error: OSError) -> None:
        raise CorruptDataError(f"cannot look into the folder {error.filename}: {error.strerror}.") from error

    found: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return sorted(found)


def _hint(folder: Path, files: list[Path]) -> str:
    """Say what to write where a folder holds files that can be read, but not as a folder of pictures."""
    for suffix in (".parquet", ".tar"):
        if any(path.suffix.lower() == suffix for path in files):
            return f" Its {suffix} files are read as {folder / f'*{suffix}'}."
    return ""


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _labels(folder: Path, pictures: list[Path]) -> tuple[tuple[str, ...], NDArray[np.intp] | None]:
    """Name each picture, given by its path below the folder, by the sub-folder it lies in."""
    parents = [path.parts[:-1] for path in pictures]
    if not any(parents):
        return (), None
    loose = [path.name for path, parent in zip(pictures, parents, strict=True) if not parent]
    if loose:
        raise SelectionError(
            f"pictures must lie either all in sub-folders (their labels) or none; in {folder} {len(loose)} lie loose, "
            f"such as {loose[0]}. Move them into sub-folders, or name one sub-folder."
        )
    names = sorted({parent[0] for parent in parents})
    numbers = {name: number for number, name in enumerate(names)}
    return tuple(names), np.array([numbers[parent[0]] for parent in parents], dtype=np.intp)


def read_picture(path: Path) -> Raw:
    """Read one picture as (channels, height, width), turned upright as its camera says.

    Raises `MissingDataError` for a file that is not there (any more), and as `decode_picture`.
    """
    try:
        with path.open("rb") as file:
            return decode_picture(file, str(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingDataError(f"cannot read the picture {path}: there is no such file (any more).") from error
    except OSError as error:
        raise CorruptDataError(f"cannot read the picture {path}: {error}") from error


def decode_picture(file: BinaryIO, shown: str, kinds: tuple[str, ...] | None = None) -> Raw:
    """Decode one picture as (channels, height, width), turned upright as its camera says; `shown` is what it is called.

    `kinds` are the formats that are tried, by Pillow's names; None for all.
    Raises `CorruptDataError` for a damaged file and `ImageError` for a kind of picture that has no single meaning
    as grey or colour (transparency, CMYK, ...).
    """
    try:
        with _quiet_about_size(), Image.open(file, formats=kinds) as opened:
            frames = getattr(opened, "n_frames", 1)
            if frames > 1:
                raise ImageError(f"a picture must be one image; {shown} has {frames}. Save the one that is meant.")
            if "transparency" in opened.info and opened.mode != "P":
                raise ImageError(f"{_NOT_PLAIN}; {shown}: one of its colours is transparent. Flatten it first.")
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageError(
            f"a picture may have {limit:,} pixels; {shown} has more. Bring it to a smaller size first."
        ) from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly anything
        raise CorruptDataError(f"cannot read the picture {shown}: {error}") from error
    pixels = np.asarray(_plain(picture, shown))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _quiet_about_size() -> warnings.catch_warnings[None]:
    """Leave out Pillow's warning of large pictures: twice as large ones are an error."""
    return warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)


def _plain(picture: Image.Image, shown: str) -> Image.Image:
    """Return the picture as grey or RGB where that loses nothing."""
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")
    if picture.mode in ("LA", "RGBA") and picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert(picture.mode[:-1])  # opaque everywhere: the alpha channel says nothing
    if picture.mode in _PLAIN_MODES:
        return picture
    why = "it has transparent pixels" if picture.mode in ("LA", "RGBA") else f"its mode is {picture.mode}"
    raise ImageError(f"{_NOT_PLAIN}; {shown}: {why}. Flatten or convert it first.")
