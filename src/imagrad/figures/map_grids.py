"""Many small contour maps side by side: one class each, translated digits, methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from imagrad.errors import InputError
from imagrad.figures.contours import draw_contours, flat_maps, shared_levels
from imagrad.figures.images import show_image
from imagrad.figures.style import WHITE_TO_RED, house_style, note

_MOST_PANELS = 40
_COLUMNS = 5


def draw_maps_grid(
    maps: torch.Tensor, titles: Sequence[str] = (), *, images: torch.Tensor | None = None,
    row_labels: Sequence[str] = (), shared: bool = True, label: str = "saliency",
) -> Figure:  # fmt: skip
    """Draw up to 40 maps, (n, height, width) or (n, channels, height, width), row by row (Fig. 8 and 9 of the paper).

    Five in a row, or as many as make one row for each of `row_labels`. `titles` are those of all maps, or of the
    columns. With `shared`, all maps have the same levels and a colour bar with a `label`; else each has its own, with
    its largest value below. `images`, one a map, are shown at the top left. Raises `InputError` where the numbers do
    not fit.
    """
    if not 0 < len(maps) <= _MOST_PANELS:
        raise InputError(f"`maps` must be 1 to {_MOST_PANELS} maps; got {len(maps)}. Draw a part of them.")
    values = flat_maps(maps, "l2")
    columns = _columns(len(values), titles, images, row_labels)
    empty = [k for k, saliency_map in enumerate(values) if not np.isfinite(saliency_map).any()]
    if empty:
        raise InputError(f"there is nothing to draw: no feature of map {empty[0]} was asked for.")
    with house_style():
        figure, grid = _grid(values, columns, below=0.06 if shared and row_labels and len(titles) <= columns else 0.22)
        common = shared_levels(values)
        for position, axes in enumerate(grid.ravel()):
            if position >= len(values):
                axes.set_axis_off()
                continue
            draw_contours(axes, values[position], common if shared else shared_levels(values[position]))
            if not shared:
                axes.set_xlabel(f"largest {np.nanmax(values[position]):.3g}", labelpad=2, **_small_print())
            if images is not None:
                show_image(axes.inset_axes((0.0, 0.72, 0.28, 0.28)), images[position])
            if position < len(titles):
                axes.set_title(titles[position], pad=3)
        for axes, row_label in zip(grid[:, 0], row_labels, strict=False):
            axes.set_ylabel(row_label, rotation=0, ha="right", va="center")
        if shared:
            _colour_bar(figure, common, label)
    return figure


def _columns(count: int, titles: Sequence[str], images: torch.Tensor | None, row_labels: Sequence[str]) -> int:
    """Return how many maps stand in a row."""
    if row_labels and count % len(row_labels):
        raise InputError(f"`row_labels` must divide {count} maps into equal rows; got {len(row_labels)}.")
    columns = count // len(row_labels) if row_labels else min(_COLUMNS, count)
    if len(titles) not in (0, columns, count):
        raise InputError(f"`titles` must be those of {count} maps or of {columns} columns; got {len(titles)}.")
    if images is not None and len(images) != count:
        raise InputError(f"`images` must be one a map, {count} of them; got {len(images)}.")
    return columns


def _grid(values: NDArray[np.float64], columns: int, below: float) -> tuple[Figure, NDArray[Any]]:
    rows = -(-len(values) // columns)
    height, width = values.shape[1:]
    wide = min(6.2 / columns, 1.5)
    high = wide * min(max(height / width, 0.4), 2.5)
    figure = Figure(
        figsize=(wide * columns + 0.8, (high + below) * rows + 0.32 - below), layout=ConstrainedLayoutEngine(h_pad=0.06)
    )
    grid: NDArray[Any] = figure.subplots(rows, columns, squeeze=False)
    return figure, grid


def _colour_bar(figure: Figure, levels: NDArray[np.float64], label: str) -> None:
    scale = ScalarMappable(BoundaryNorm(levels, WHITE_TO_RED.N), WHITE_TO_RED)
    panels: list[Axes] = figure.axes
    bar = figure.colorbar(scale, ax=panels, label=label, shrink=0.9, aspect=30, ticks=levels[::2], format="%g")
    bar.ax.minorticks_off()


def _small_print() -> dict[str, Any]:
    return {**note("center"), "va": "top"}
