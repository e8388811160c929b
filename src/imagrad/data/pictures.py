"""Picture files: one, or a folder of them whose sub-folders are the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from imagrad.data.sources import Raw, Source
from imagrad.errors import CorruptDataError, ImageError, SelectionError

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
    everything = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in everything if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    suffixes = picture_suffixes()
    pictures = [path for path in files if path.suffix.lower() in suffixes]
    if not pictures:
        raise SelectionError(
            f"{folder} must hold pictures; it holds {len(files)} files and none is one that Pillow reads."
        )
    others = sorted({path.suffix or path.name for path in files if path.suffix.lower() not in suffixes})
    left_out = len(files) - len(pictures)
    notes = (f"left out of {folder}, because no pictures: {left_out} ({', '.join(others)})",) if left_out else ()
    label_names, labels = _labels(folder, pictures)
    names = tuple(str(path.relative_to(folder)) for path in pictures)
    return Source(
        len(pictures), lambda indices: [read_picture(pictures[i]) for i in indices], labels, label_names, names, notes
    )


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
            frames = getattr(file, "n_frames", 1)
            if frames > 1:
                raise ImageError(f"a picture must be one image; {path} has {frames}. Save the one that is meant.")
            if "transparency" in file.info and file.mode != "P":
                raise ImageError(f"{_NOT_PLAIN}; {path}: one of its colours is transparent. Flatten it first.")
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
    raise ImageError(f"{_NOT_PLAIN}; {path}: {why}. Flatten or convert it first.")
