"""Singular values of Jacobians: one line an image, and how many directions count."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from imagrad.attribution.spectrum import SpectrumResult
from imagrad.figures.style import COLOURS, QUIET, house_style, in_brackets

_SINGLE_LINES = 50  # more would be one grey surface: of more images the lines are evenly picked


def draw_spectrum(result: SpectrumResult) -> Figure:
    """Draw the singular values of each image and their median, and beside them the effective rank of each image."""
    values = result.singular_values.detach().cpu().double().numpy()
    ranks = result.effective_rank.detach().cpu().double().numpy()
    with house_style():
        figure = Figure(figsize=(6.4, 2.5), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
        _draw_values(left, values, result.units)
        _draw_ranks(right, ranks, values.shape[1])
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_values(axes: Axes, values: NDArray[np.float64], units: str) -> None:
    count = np.arange(1, values.shape[1] + 1)
    shown = values[np.unique(np.linspace(0, len(values) - 1, min(len(values), _SINGLE_LINES)).astype(int))]
    for k, single in enumerate(shown):
        axes.plot(count, single, color="0.75", lw=0.6, zorder=1, label="" if k else "single images")
    axes.plot(count, np.median(values, axis=0), color=COLOURS[0], lw=1.6, marker="o", ms=2.5, zorder=2, label="median")
    axes.set_xlabel("number of the singular value")
    axes.set_ylabel(f"singular value\n{in_brackets(units)}", fontsize=7)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.legend(frameon=False)


def _draw_ranks(axes: Axes, ranks: NDArray[np.float64], most: int) -> None:
    """Draw each image's effective rank as a point, sorted, and their median as a line."""
    axes.plot(np.sort(ranks), (np.arange(len(ranks)) + 0.5) / len(ranks), "o", ms=3, color=COLOURS[0], mew=0)
    middle = float(np.median(ranks))
    axes.axvline(middle, color=QUIET, lw=0.8, ls=(0, (4, 2)))
    axes.text(middle, 1.02, f"median {middle:.1f}", ha="center", color=QUIET, transform=axes.get_xaxis_transform())
    axes.set_xlim(0, most)
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"effective rank, of at most {most}")
    axes.set_ylabel("share of the images below")
