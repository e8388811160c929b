"""Rows of images, one below the other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imagrad.figures.style import house_style


def draw_image_rows(rows: Mapping[str, torch.Tensor]) -> Figure:
    """Draw rows of images (n, 1 or 3, height, width), one below the other with its name (Fig. 5 and 6 of the paper)."""
    count = max(len(images) for images in rows.values())
    with house_style():
        figure = Figure(figsize=(0.72 * count + 0.9, 0.76 * len(rows) + 0.1), layout="constrained")
        grid = figure.subplots(len(rows), count, squeeze=False)
        for axes_row, (name, images) in zip(grid, rows.items(), strict=True):
            axes_row[0].set_ylabel(name, rotation=0, ha="right", va="center")
            for axes, image in zip(axes_row, images, strict=False):
                show_image(axes, image)
    return figure


def show_image(axes: Axes, image: torch.Tensor) -> None:
    """Show an image, (channels, height, width) or (height, width): 3 channels as colour, others as their mean.

    Values outside [0, 1] are scaled to it.
    """
    pixels = image.detach().cpu().double().numpy()
    if pixels.ndim == 3:
        pixels = pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels.mean(axis=0)
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        pixels = (pixels - low) / (high - low or 1)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
