"""Signed patterns over the pixels: blue where negative, white at 0, red where positive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from imagrad.errors import InputError
from imagrad.figures.images import show_image
from imagrad.figures.style import BLUE_TO_RED, WHITE_TO_RED, house_style

_MOST_PANELS = 60


def draw_patterns(
    patterns: torch.Tensor, *, images: torch.Tensor | None = None, row_labels: Sequence[str] = (),
    titles: Sequence[str] = (), label: str = "",
) -> Figure:  # fmt: skip
    """Draw signed patterns (rows, columns, height, width) or (rows, columns, channels, height, width) as a grid.

    All share one scale, from minus to plus their largest size; where none is negative, from white to red. Several
    channels are drawn as their mean. `images`, one a row, stand in front; `titles` are those of the columns, or of all
    patterns; `label` is that of the colour bar.
    Raises `InputError` where the numbers do not fit, or for more than 60 patterns.
    """
    values = _flat(patterns)
    rows, columns = values.shape[:2]
    _check_counts(rows, columns, images, row_labels, titles)
    largest = float(np.abs(values).max()) or 1.0
    signed, first = bool((values < 0).any()), int(images is not None)
    norm, colours = Normalize(-largest if signed else 0, largest), BLUE_TO_RED if signed else WHITE_TO_RED
    wide = min(6.0 / (columns + first), 1.1)
    high = wide * min(max(values.shape[2] / values.shape[3], 0.4), 2.5)
    with house_style():
        figure = Figure(figsize=(wide * (columns + first) + 1.5, (high + 0.2) * rows + 0.15), layout="constrained")
        grid: NDArray[Any] = figure.subplots(rows, columns + first, squeeze=False)
        for row in range(rows):
            if images is not None:
                show_image(grid[row, 0], images[row])
            for column in range(columns):
                axes = grid[row, column + first]
                axes.imshow(values[row, column], cmap=colours, norm=norm, interpolation="nearest")
                axes.set_xticks([])
                axes.set_yticks([])
                if row * columns + column < len(titles):
                    axes.set_title(titles[row * columns + column], pad=3, fontsize=7)
            if row < len(row_labels):
                grid[row, 0].set_ylabel(row_labels[row], rotation=0, ha="right", va="center")
        bar = figure.colorbar(ScalarMappable(norm, colours), ax=figure.axes, label=label, shrink=0.9, aspect=30)
        bar.ax.minorticks_off()
    return figure


def _flat(patterns: torch.Tensor) -> NDArray[np.float64]:
    """Return them as (rows, columns, height, width)."""
    values = patterns.detach().cpu().double().numpy()
    if values.ndim not in (4, 5) or not np.isfinite(values).all():
        raise InputError(
            "`patterns` must be finite and of shape (rows, columns, height, width) or (rows, columns, channels, "
            f"height, width); got {values.shape}."
        )
    return values if values.ndim == 4 else values.mean(axis=2)


def _check_counts(
    rows: int, columns: int, images: torch.Tensor | None, row_labels: Sequence[str], titles: Sequence[str]
) -> None:
    if not 0 < rows * columns <= _MOST_PANELS:
        raise InputError(f"`patterns` must be 1 to {_MOST_PANELS}; got {rows} x {columns}. Draw a part of them.")
    if images is not None and len(images) != rows:
        raise InputError(f"`images` must be one a row, {rows} of them; got {len(images)}.")
    if len(row_labels) not in (0, rows):
        raise InputError(f"`row_labels` must be one a row, {rows} of them; got {len(row_labels)}.")
    if len(titles) not in (0, columns, rows * columns):
        raise InputError(
            f"`titles` must be those of {columns} columns or {rows * columns} patterns; got {len(titles)}."
        )
