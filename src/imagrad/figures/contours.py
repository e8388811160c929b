"""Saliency maps as filled contours, white to red, each with its image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from imagrad.attribution.results import SaliencyResult
from imagrad.errors import InputError
from imagrad.figures.images import show_image
from imagrad.figures.saving import save_figure
from imagrad.figures.style import WHITE_TO_RED, house_style, in_brackets

MOST_MAPS = 12
"""A figure of more maps cannot be read; `draw` refuses it."""

_LEVELS = 12
_COLUMNS = 4
_NOT_COMPUTED = "0.85"  # grey, for features that were not asked for
_NORM_SYMBOLS = {"l2": r"$\|\partial g/\partial x_i\|_2$", "l1": r"$\|\partial g/\partial x_i\|_1$",
                 "max": r"$\max_j\,|\partial g_j/\partial x_i|$"}  # fmt: skip
_REDUCTIONS: dict[str, Callable[[Any], Any]] = {
    "l2": lambda values: np.ma.sqrt((values**2).sum(axis=1)),
    "sum": lambda values: values.sum(axis=1),
    "max": lambda values: values.max(axis=1),
}


def draw(
    result: SaliencyResult, path: str | Path | None = None, *, titles: Sequence[str] = (), channels: str = "l2"
) -> Figure:
    """Draw each map as filled contours, white to red, with its image at the top left (Fig. 7 of the paper).

    All maps of the figure share their levels, so that they can be compared. Maps of several channels are reduced by
    their "l2" norm, "sum" or "max" for drawing alone. Saved to `path` by its ending (.png, .svg, .pdf) if one is given.
    Raises `InputError` for maps that are no images, or more than 12 of them.
    """
    if not isinstance(result, SaliencyResult):  # pyright: ignore[reportUnnecessaryIsInstance]  # what a user passes
        raise InputError(f"`result` must be what `imagrad.saliency` returned; got a {type(result).__name__}.")
    if len(result.maps) > MOST_MAPS:
        raise InputError(f"at most {MOST_MAPS} maps fit into one figure; got {len(result.maps)}. Draw a part of them.")
    maps = flat_maps(result.maps, channels)
    with house_style():
        levels = shared_levels(maps)
        figure = _contour_figure(maps, levels, result.images, titles)
        scale = ScalarMappable(BoundaryNorm(levels, WHITE_TO_RED.N), WHITE_TO_RED)
        label = f"saliency {_NORM_SYMBOLS[result.norm]}\n{in_brackets(result.units)}"
        bar = figure.colorbar(scale, ax=figure.axes, label=label, shrink=0.95, ticks=levels[::2], format="%g")
        bar.ax.minorticks_off()
    if path is not None:
        save_figure(figure, path)
    return figure


def shared_levels(maps: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return round contour levels from 0 to at least the largest value of all maps; from 0 to 1 where all are zero.

    Their number is odd, so that every second one, from the first to the last, can be labelled.
    """
    largest = float(np.nanmax(maps))
    if largest == 0:
        return np.linspace(0, 1, _LEVELS + 1)
    unit = 10.0 ** np.floor(np.log10(largest))  # the locator takes tiny ranges for none at all
    locators = [MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]) for count in range(_LEVELS - 4, _LEVELS + 5)]
    choices = [np.asarray(locator.tick_values(0, largest / unit), dtype=np.float64) for locator in locators]
    odd = [x if len(x) % 2 else np.append(x, 2 * x[-1] - x[-2]) for x in choices]
    return min(odd, key=lambda levels: (levels[-1], abs(len(levels) - _LEVELS - 1))) * unit


def draw_contours(axes: Axes, saliency_map: NDArray[np.float64], levels: NDArray[np.float64]) -> None:
    """Draw one map upright: row 0 at the top, each pixel where it is in the image."""
    axes.set_facecolor(_NOT_COMPUTED)
    height, width = saliency_map.shape
    across, down = (np.concatenate([[-0.5], np.arange(size), [size - 0.5]]) for size in (width, height))
    values = np.ma.masked_invalid(np.pad(saliency_map, 1, mode="edge"))  # out to the edges of the outer pixels
    norm = BoundaryNorm(levels, WHITE_TO_RED.N)
    axes.contourf(across, down, values, levels=levels, cmap=WHITE_TO_RED, norm=norm)
    if values.max() > levels[2]:
        axes.contour(across, down, values, levels=levels[2:-1:2], colors="0.25", linewidths=0.25)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])


def flat_maps(maps: torch.Tensor, channels: str) -> NDArray[np.float64]:
    """Return maps as (n, height, width)."""
    values = np.ma.masked_invalid(maps.detach().cpu().double().numpy())
    if values.ndim not in (3, 4) or min(values.shape[-2:]) < 2:
        raise InputError(
            f"only maps of images can be drawn, (n, height, width) or (n, channels, height, width) of at least 2 x 2; "
            f"got {values.shape}."
        )
    if values.mask.all():
        raise InputError("there is nothing to draw: no feature of these maps was asked for.")
    if channels not in _REDUCTIONS:
        raise InputError(f"`channels` must be one of: {', '.join(_REDUCTIONS)}; got {channels!r}.")
    flat = values if values.ndim == 3 else _REDUCTIONS[channels](values)  # channels not asked for do not count
    return np.asarray(flat.filled(np.nan))


def _contour_figure(
    maps: NDArray[np.float64], levels: NDArray[np.float64], images: torch.Tensor, titles: Sequence[str]
) -> Figure:
    columns = min(_COLUMNS, len(maps))
    rows = ceil(len(maps) / columns)
    height, width = maps.shape[1:]
    longest = max(height, width)
    wide, high = 1.9 * max(width / longest, 0.4), 1.9 * max(height / longest, 0.4)  # inches, of one map
    figure = Figure(figsize=(wide * columns + 0.9, (high + 0.1) * rows + 0.15), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for position, axes in enumerate(grid):
        if position >= len(maps):
            axes.set_axis_off()
            continue
        draw_contours(axes, maps[position], levels)
        inset = axes.inset_axes((0.0, 0.74, 0.26, 0.26))
        show_image(inset, images[position])
        if position < len(titles):
            axes.set_title(titles[position])
    return figure
