"""The parts that diagrams are made of: boxes, arrows, layers of a network. All lengths are in inches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon

INK = "0.15"
"""Near black, for outlines, arrows and text."""

BLUE, ORANGE, GREEN = "#dfeaf4", "#fbe0cc", "#e6f0dc"
"""Pale fills: black text stands out on each, on paper and in grey."""

Point = tuple[float, float]

_ARROW = 0.9  # points


@dataclass(frozen=True)
class Box:
    """A rectangle by its centre and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> Point:
        """The middle of the left side."""
        return (self.x - self.width / 2, self.y)

    @property
    def right(self) -> Point:
        """The middle of the right side."""
        return (self.x + self.width / 2, self.y)

    @property
    def top(self) -> Point:
        """The middle of the top."""
        return (self.x, self.y + self.height / 2)

    @property
    def bottom(self) -> Point:
        """The middle of the bottom."""
        return (self.x, self.y - self.height / 2)


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of this size with axes all over it, where one unit is one inch."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.set_axis_off()
    return figure, axes


def add_box(axes: Axes, box: Box, text: str, fill: str) -> None:
    """Draw a box with rounded corners and its text in the middle."""
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    style = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch(corner, box.width, box.height, style, fc=fill, ec=INK, lw=0.8, gid="shape", zorder=2))
    _add_label(axes, (box.x, box.y), text, linespacing=1.4)


def add_node(axes: Axes, centre: Point, text: str, fill: str, *, radius: float = 0.23) -> None:
    """Draw a neuron: a circle with its text in the middle."""
    axes.add_patch(Circle(centre, radius, fc=fill, ec=INK, lw=0.8, gid="shape", zorder=2))
    _add_label(axes, centre, text)


def add_layer(axes: Axes, box: Box, text: str, fill: str) -> None:
    """Draw a layer of a network: an upright bar with its text along it."""
    corners = [(box.x + a * box.width / 2, box.y + b * box.height / 2) for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    axes.add_patch(Polygon(corners, fc=fill, ec=INK, lw=0.8, gid="shape", zorder=2))
    _add_label(axes, (box.x, box.y), text, rotation=90)


def add_link(axes: Axes, first: Box, second: Box, text: str = "") -> None:
    """Fill the space between two layers, which says that each neuron is connected with each."""
    (a, y), (b, z) = first.right, second.left
    corners = [(a, y - first.height / 2), (a, y + first.height / 2), (b, z + second.height / 2)]
    corners.append((b, z - second.height / 2))
    axes.add_patch(Polygon(corners, fc="0.93", ec="0.7", lw=0.5, gid="shape", zorder=1))
    if text:
        _add_label(axes, ((a + b) / 2, (y + z) / 2), text)


def add_arrow(axes: Axes, points: Sequence[Point]) -> None:
    """Draw a line through the points with an arrow head that touches the last."""
    *corners, _ = points
    for start, end in pairwise(corners):
        axes.plot(*zip(start, end, strict=True), color=INK, lw=_ARROW, solid_capstyle="projecting", zorder=3)
    axes.add_patch(
        FancyArrowPatch(
            *points[-2:], arrowstyle="-|>", shrinkA=0, shrinkB=0, mutation_scale=8, color=INK, lw=_ARROW, zorder=3
        )
    )


def add_line(axes: Axes, start: Point, end: Point, *, width: float, color: str) -> None:
    """Draw a plain line behind everything else."""
    axes.plot(*zip(start, end, strict=True), color=color, lw=width, solid_capstyle="butt", zorder=0.5)


def add_text(axes: Axes, place: Point, text: str, **font: Any) -> None:
    """Write beside the shapes, centred."""
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "zorder": 4, "fontsize": 8}
    axes.text(*place, text, **(look | font))


def _add_label(axes: Axes, place: Point, text: str, **font: Any) -> None:
    add_text(axes, place, text, gid="label", **font)
