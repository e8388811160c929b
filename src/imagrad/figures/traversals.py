"""Latent traversals as a grid of decoded images: one latent a row, its value below each image."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from imagrad.attribution.traversals import Traversal
from imagrad.errors import InputError
from imagrad.figures.images import show_image
from imagrad.figures.style import house_style, note

_MOST_ROWS, _MOST_STEPS = 16, 15


def draw_traversal(traversal: Traversal) -> Figure:
    """Draw what was decoded: first the code as it is, with the latent's own value, then the values it was set to.

    Raises `InputError` for what is no image, more than 16 latents or more than 15 steps.
    """
    rows, steps = traversal.values.shape
    if rows > _MOST_ROWS or steps > _MOST_STEPS:
        raise InputError(f"at most {_MOST_ROWS} latents and {_MOST_STEPS} steps can be drawn; got {rows} and {steps}.")
    if traversal.images.ndim not in (4, 5):
        raise InputError(f"only images can be drawn; these have shape {tuple(traversal.images.shape[2:])}.")
    wide = min(6.0 / (steps + 1), 0.8)
    height, width = traversal.images.shape[-2:]
    high = wide * min(max(height / width, 0.4), 2.5)
    with house_style():
        figure = Figure(
            figsize=(wide * (steps + 1.2) + 0.9, (high + 0.17) * rows + 0.25),
            layout=ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02),
        )
        ratios = [1, 0.2, *[1] * steps]
        grid: NDArray[Any] = figure.subplots(rows, steps + 2, squeeze=False, width_ratios=ratios)
        for row, latent in enumerate(traversal.latents):
            _draw_row(grid[row], traversal, row)
            grid[row, 0].set_ylabel(f"latent {latent}", rotation=0, ha="right", va="center")
        grid[0, 0].set_title("unchanged", pad=3)
        grid[0, 2 + steps // 2].set_title("with the latent set to", pad=3)
    return figure


def _draw_row(panels: NDArray[Any], traversal: Traversal, row: int) -> None:
    own = float(traversal.start[traversal.latents[row]])
    panels[1].set_axis_off()  # a gap
    shown = [(panels[0], traversal.reconstruction, own)]
    shown += zip(panels[2:], traversal.images[row], traversal.values[row].tolist(), strict=True)
    for axes, image, value in shown:
        show_image(axes, image)
        axes.set_xlabel(f"{value:.2f}", labelpad=1.5, **{**note("center", "top"), "fontsize": 6})
