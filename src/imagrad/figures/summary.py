"""What the maps of a data set have in common: mean, spread and quantiles of each class, and its typical images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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

MOST_CLASSES = 10
"""More side by side cannot be read."""

_BAR = 3.5  # inches
_SHORT = 2.2  # inches: the label of a shorter bar takes more lines


@dataclass(frozen=True)
class Panel:
    """A map, with what is written below it."""

    map: NDArray[np.floating[Any]]
    """(channels, height, width)."""
    caption: str
    image: torch.Tensor | None = None
    """What was explained, (channels, height, width); shown at the top left."""


@dataclass(frozen=True)
class Typical:
    """A row of maps of images of one class."""

    row_label: str
    panels: Sequence[Panel | None]
    """None: nothing stands there."""


@dataclass(frozen=True)
class ClassMaps:
    """One map a class, (classes, channels, height, width), of one thing that the maps of a class have in common."""

    name: str
    maps: NDArray[np.floating[Any]]


def draw_class_maps(
    values: Sequence[ClassMaps], spread: ClassMaps, classes: Sequence[str], counts: Sequence[int], label: str
) -> Figure:
    """Draw what the maps of classes have in common, a column each: values with the same levels, spread with its own.

    A single class lies down: its maps stand side by side. Raises `InputError` for more than 10 classes, or none.
    """
    if not 0 < len(classes) <= MOST_CLASSES:
        raise InputError(f"`classes` must be 1 to {MOST_CLASSES}; got {len(classes)}. Draw a part of them.")
    rows = [*values, spread]
    flat = np.stack([flat_maps(torch.from_numpy(np.asarray(row.maps)), "l2") for row in rows])
    levels, of_spread = shared_levels(flat[:-1]), shared_levels(flat[-1])
    lies = len(classes) == 1
    with house_style():
        size = (1, len(rows)) if lies else (len(rows), len(classes))
        figure, grid = _grid(*size, flat.shape[2:], 0.04)
        cells = grid.T if lies else grid
        for place, axes in np.ndenumerate(cells):
            draw_contours(axes, flat[place], of_spread if place[0] == len(values) else levels)
        for axes, row in zip(cells[:, 0], rows, strict=True):
            axes.set_title(row.name.replace("\n", " "), pad=3) if lies else _name_row(axes, row.name)
        for axes, name, count in zip(cells[0], classes, counts, strict=True):
            text = f"{name}\nn = {count}"
            _name_row(axes, text) if lies else axes.set_title(text, pad=3)
        _bar(figure, list(cells[:-1].ravel()), levels, label)
        _bar(figure, list(cells[-1]), of_spread, "")
    return figure


def draw_typical(rows: Sequence[Typical], label: str, titles: Sequence[str] = ()) -> Figure:
    """Draw rows of maps with captions below, all with the same levels; `titles` stand above the columns."""
    panels = [panel for row in rows for panel in row.panels if panel is not None]
    flat = flat_maps(torch.from_numpy(np.stack([panel.map for panel in panels])), "l2")
    levels, maps = shared_levels(flat), iter(flat)
    with house_style():
        figure, grid = _grid(len(rows), max(len(row.panels) for row in rows), flat.shape[1:], 0.26)
        for axes_row, row in zip(grid, rows, strict=True):
            _name_row(axes_row[0], row.row_label)
            for axes, panel in zip(axes_row, row.panels, strict=True):
                if panel is None:
                    _empty(axes)
                    continue
                draw_contours(axes, next(maps), levels)
                axes.set_xlabel(panel.caption, labelpad=2, **{**note("center"), "va": "top"})
                if panel.image is not None:
                    show_image(axes.inset_axes((0.0, 0.7, 0.3, 0.3)), panel.image)
        for axes, title in zip(grid[0], titles, strict=False):
            axes.set_title(title, pad=3)
        _bar(figure, list(grid.ravel()), levels, label)
    return figure


def _empty(axes: Axes) -> None:
    """Leave nothing of a panel but what stands beside it."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _grid(rows: int, columns: int, shape: Sequence[int], below: float) -> tuple[Figure, NDArray[Any]]:
    """Return a figure of the width of a page at most, and its axes."""
    wide = min(6.4 / columns, 1.3)
    high = wide * min(max(shape[0] / shape[1], 0.4), 2.5)
    size = (wide * columns + 1.2, (high + below) * rows + 0.3)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.015, h_pad=0.015))
    return figure, figure.subplots(rows, columns, squeeze=False)


def _name_row(axes: Axes, name: str) -> None:
    axes.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=4)


def _bar(figure: Figure, panels: list[Axes], levels: NDArray[np.float64], label: str) -> None:
    """Put a colour bar beside panels, no longer than can be read at a glance."""
    scale = ScalarMappable(BoundaryNorm(levels, WHITE_TO_RED.N), WHITE_TO_RED)
    high = figure.get_figheight() * len({panel.get_subplotspec().rowspan.start for panel in panels}) / _rows(figure)  # type: ignore[union-attr]  # all are of a grid
    shrink = min(0.95, _BAR / high)
    if shrink * high < _SHORT:
        label = label.replace(" per ", "\nper ")
    bar = figure.colorbar(
        scale, ax=panels, label=label, shrink=shrink, aspect=shrink * high / 0.1, ticks=levels[::4], format="%g"
    )
    bar.ax.minorticks_off()


def _rows(figure: Figure) -> int:
    return figure.axes[0].get_subplotspec().get_gridspec().nrows  # type: ignore[union-attr]
