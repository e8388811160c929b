"""Picture files: one, or a folder of them whose sub-folders are the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from imagrad.data.sources import Raw, Source
from imagrad.errors import CorruptDataError, ImageError, SelectionError

_PLAIN_MODES = {"1", "L", "RGB", "I;16", "I;16B", "I;16L"}


def picture_suffixes() -> set[str]:
    """List the file endings that Pillow reads."""
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def load_picture(path: Path) -> Source:
    """One picture file."""
    return Source(1, lambda indices: [read_picture(path) for _ in indices])


def load_folder(folder: Path) -> Source:
    """All pictures of a folder; if they lie in sub-folders, the names of those are the labels."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    suffixes = picture_suffixes()
    pictures = [path for path in files if path.suffix.lower() in suffixes]
    if not pictures:
        raise SelectionError(
            f"{folder} must hold pictures; it holds {len(files)} files and none is one that Pillow reads."
        )
    others = sorted({path.suffix or path.name for path in files if path.suffix.lower() not in suffixes})
    left_out = len(files) - len(pictures)
    notes = (
        (f"{left_out} files of {folder} are no pictures and were left out: {', '.join(others)}",) if left_out else ()
    )
    names, labels = _labels(folder, pictures)
    return Source(len(pictures), lambda indices: [read_picture(pictures[i]) for i in indices], labels, names, notes)


def _labels(folder: Path, pictures: list[Path]) -> tuple[tuple[str, ...], NDArray[np.intp] | None]:
    """Name each picture by the sub-folder it lies in."""
    parents = [path.relative_to(folder).parts[:-1] for path in pictures]
    if not any(parents):
        return (), None
    loose = [path.name for path, parent in zip(pictures, parents, strict=True) if not parent]
    if loose:
        raise SelectionError(
            f"pictures must lie either all in sub-folders (their labels) or none; in {folder} {len(loose)} lie loose, "
            f"such as {loose[0]}. Move them into sub-folders, or name one sub-folder."
        )
    names = sorted({parent[0] for parent in parents})
    return tuple(names), np.array([names.index(parent[0]) for parent in parents], dtype=np.intp)


def read_picture(path: Path) -> Raw:
    """Read one picture as (channels, height, width), turned upright as its camera says.

    Raises `CorruptDataError` for a damaged file and `ImageError` for a kind of picture that has no single meaning
    as grey or colour (transparency, CMYK, ...).
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            picture.load()
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise CorruptDataError(f"cannot read the picture {path}: {error}") from error
    pixels = np.asarray(_plain(picture, path))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _plain(picture: Image.Image, path: Path) -> Image.Image:
    """Return the picture as grey or RGB where that loses nothing."""
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")
    if picture.mode in ("LA", "RGBA") and picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert(picture.mode[:-1])  # opaque everywhere: the alpha channel says nothing
    if picture.mode in _PLAIN_MODES:
        return picture
    why = "it has transparent pixels" if picture.mode in ("LA", "RGBA") else f"its mode is {picture.mode}"
    raise ImageError(
        f"a picture must be grey or RGB, without transparency; {path}: {why}. Flatten or convert it first."
    )
