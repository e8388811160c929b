"""Tables of numbers as heat maps, with the number in each cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from imagrad.errors import InputError
from imagrad.figures.style import house_style

_WHITE_TO_BLUE = LinearSegmentedColormap.from_list(
    "white to blue", ["white", "#c6dbef", "#6baed6", "#2171b5", "#08306b"]
)
_MOST_CELLS = 400
_LONG = 5  # letters that fit above a cell
_DARK = 0.55  # share of the limits from which white text reads better


def draw_table_heat(
    values: NDArray[np.floating[Any]], rows: Sequence[str], columns: Sequence[str], title: str = "",
    *, sides: tuple[str, str] = ("", ""), limits: tuple[float, float] | None = None,
) -> Figure:  # fmt: skip
    """Draw a table (rows, columns) as a heat map with two decimals in each cell, the diagonal of a square one outlined.

    `sides` names what the rows and the columns are; `limits` are the values of white and of the darkest blue, the
    smallest and largest of the table by default. NaN is an empty cell. Raises `InputError` where names and values
    do not fit, or for more than 400 cells.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.shape != (len(rows), len(columns)) or not 0 < table.size <= _MOST_CELLS:
        raise InputError(
            f"`values` must have shape ({len(rows)}, {len(columns)}), one a name and {_MOST_CELLS} at most; "
            f"got {table.shape}."
        )
    if not np.isfinite(table).any():
        raise InputError("there is nothing to draw: no cell of `values` is a number.")
    low, high = limits or (float(np.nanmin(table)), float(np.nanmax(table)))
    with house_style():
        longest = max(len(name) for name in rows)
        figure = Figure(
            figsize=(0.45 * len(columns) + 0.07 * longest + 0.6, 0.36 * len(rows) + 0.9), layout="constrained"
        )
        axes = figure.subplots()
        axes.pcolormesh(table, cmap=_WHITE_TO_BLUE, vmin=low, vmax=high, edgecolors="white", linewidth=0.8)
        _frame(axes, rows, columns, sides)
        axes.set_title(title, loc="left")
        for (row, column), value in np.ndenumerate(table):
            if np.isfinite(value):
                colour = "white" if (value - low) / (high - low or 1) > _DARK else "black"
                axes.text(column + 0.5, row + 0.5, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=7)
            if row == column and len(rows) == len(columns):
                axes.add_patch(Rectangle((column, row), 1, 1, fill=False, ec="black", lw=1.4, clip_on=False, zorder=3))
    return figure


def _frame(axes: Axes, rows: Sequence[str], columns: Sequence[str], sides: tuple[str, str]) -> None:
    """Name rows and columns; the first row is at the top."""
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
    if max(len(name) for name in columns) > _LONG:
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.set_ylabel(sides[0])
    axes.set_xlabel(sides[1])
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
