"""Figures to files: whole, undated, and the same bytes for the same figure."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from imagrad import runs
from imagrad.errors import InputError
from imagrad.figures.style import house_style


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write the figure as its ending says, atomically, without a date, so that the same figure is the same file."""
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in ("png", "svg", "pdf"):
        raise InputError(f"`path` must end in .png, .svg or .pdf; got {str(path)!r}.")
    buffer = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix, {})
    with house_style():
        figure.savefig(buffer, format=suffix, dpi=200, metadata=undated)
    runs.write_atomically(Path(path), buffer.getvalue())


def save_png_and_svg(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write a figure of a run folder in both formats; return the paths."""
    paths = folder / f"{name}.png", folder / f"{name}.svg"
    for path in paths:
        save_figure(figure, path)
    return paths
