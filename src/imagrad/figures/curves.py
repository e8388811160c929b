"""Curves over the share of corrupted pixels, the most or the least important ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from imagrad.errors import InputError
from imagrad.figures.style import COLOURS, QUIET, house_style

_KINDS = {"most": "-", "least": (0, (4, 2))}
_ROLES = ("map", "control", "single", "paper")
_MARKERS = "os^Dv<P"
_NAMED = len(COLOURS)  # curves beyond them cannot be told apart
_GAP = 0.062  # between two labels, of the height of the axes


@dataclass(frozen=True)
class Curve:
    """A quantity against the percentage of pixels that were corrupted, the most or the least important ones first.

    `low` and `high` bound an interval around each value, where there is one. A "map" is drawn strong, a "control"
    thin, a "single" local map thin and grey without a label, points of the "paper" as hollow markers.
    """

    name: str
    percentages: tuple[float, ...]
    values: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    kind: Literal["most", "least"] = "most"
    role: Literal["map", "control", "single", "paper"] = "map"

    def __post_init__(self) -> None:
        """Check what was given."""
        if self.kind not in _KINDS:
            raise InputError(f"`kind` must be one of: {', '.join(_KINDS)}; got {self.kind!r} for {self.name!r}.")
        if self.role not in _ROLES:
            raise InputError(f"`role` must be one of: {', '.join(_ROLES)}; got {self.role!r} for {self.name!r}.")
        if (self.low is None) != (self.high is None):
            raise InputError(f"`low` and `high` bound one interval: give both or none for {self.name!r}.")
        if not np.isfinite([*self.percentages, *self.values]).all():
            raise InputError(f"`percentages` and `values` must be finite numbers; got others for {self.name!r}.")
        lengths = [len(x) for x in (self.percentages, self.values, self.low, self.high) if x is not None]
        if len(set(lengths)) > 1 or not lengths[0]:
            raise InputError(
                f"`percentages`, `values`, `low` and `high` must have one length, 1 or more; "
                f"got {lengths} for {self.name!r}."
            )


def draw_corruption_curves(
    curves: Sequence[Curve],
    *,
    quantity: str = "classification accuracy in %",
    limits: tuple[float, float] | None = (0, 100),
) -> Figure:
    """Draw a quantity against the percentage of corrupted pixels (Fig. 11), each curve labelled at its end.

    Solid where the most important pixels were corrupted, dashed for the least important; curves of one name share a
    colour and a marker. Raises `InputError` for no curves, or for more names than colours.
    """
    labelled = [curve for curve in curves if curve.role in ("map", "control")]
    names = list(dict.fromkeys(curve.name for curve in labelled))
    if not labelled or len(names) > _NAMED:
        raise InputError(f"`curves` must hold maps or controls of 1 to {_NAMED} names; got {len(names)} names.")
    with house_style():
        figure = Figure(figsize=(7.0, 3.9), layout=ConstrainedLayoutEngine(h_pad=0.07))
        axes = figure.subplots()
        for curve in curves:
            _curve(axes, curve, names)
        axes.set_xlabel("corrupted pixels in %")
        axes.set_ylabel(quantity)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.02)
        if limits is not None:
            axes.set_ylim(limits)
        _label_ends(axes, labelled, names)
        figure.legend(
            handles=_key(curves),
            loc="outside lower center",
            ncols=5,
            columnspacing=1.2,
            handlelength=1.8,
            frameon=False,
        )
    return figure


def _curve(axes: Axes, curve: Curve, names: Sequence[str]) -> None:
    """Draw one curve; the place of its name among all chooses its colour and marker."""
    style = _KINDS[curve.kind]
    if curve.role == "paper":
        marker = "o" if curve.kind == "most" else "s"
        axes.plot(curve.percentages, curve.values, marker, mfc="white", mec="black", ms=5, clip_on=False, zorder=4)
        return
    if curve.role == "single":
        axes.plot(curve.percentages, curve.values, color="0.75", lw=0.5, ls=style, zorder=1)
        return
    number = names.index(curve.name)
    colour, is_map = COLOURS[number], curve.role == "map"
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.percentages, curve.low, curve.high, color=colour, alpha=0.18, lw=0, zorder=2)
    axes.plot(
        curve.percentages, curve.values, color=colour, lw=2.0 if is_map else 1.0, ls=style, marker=_MARKERS[number],
        ms=4 if is_map else 3, zorder=3.5 if is_map else 3,
    )  # fmt: skip


def _label_ends(axes: Axes, curves: Sequence[Curve], names: Sequence[str]) -> None:
    """Write the name of each curve to the right of its end, moved up or down where two would cover each other."""
    ranked = sorted(curves, key=lambda curve: curve.values[-1])
    ends = [(curve.percentages[-1], curve.values[-1]) for curve in ranked]
    starts = axes.transAxes.inverted().transform(axes.transData.transform(ends))  # from 0 to 1
    gaps = _GAP * np.arange(len(ranked))
    shifted = isotonic_regression(starts[:, 1] - gaps).x  # the least moved, in squares, that keep the gaps
    heights = np.clip(shifted, 0, max(0.0, 1 - gaps[-1])) + gaps
    for curve, (x, y), height in zip(ranked, starts.tolist(), heights.tolist(), strict=True):
        leader = Line2D(
            [x + 0.01, 1.03], [y, height], color=COLOURS[names.index(curve.name)], lw=0.7, ls=_KINDS[curve.kind],
            transform=axes.transAxes, clip_on=False, gid="leader",
        )  # fmt: skip
        axes.add_artist(leader)
        weight = "bold" if curve.role == "map" else "normal"
        axes.text(1.04, height, f"{curve.name}, {curve.kind}", va="center", weight=weight, transform=axes.transAxes)


def _key(curves: Sequence[Curve]) -> list[Line2D]:
    """Say what is solid, dashed, grey and hollow, as far as it occurs."""
    kinds = {curve.kind for curve in curves if curve.role != "paper"}
    key = [
        Line2D([], [], color="black", lw=1, ls=style, label=f"{kind} important first")
        for kind, style in _KINDS.items()
        if kind in kinds
    ]
    if any(curve.role == "single" for curve in curves):
        key.append(Line2D([], [], color=QUIET, lw=0.5, label="single maps"))
    if any(curve.role == "paper" for curve in curves):
        for kind, marker in (("most", "o"), ("least", "s")):
            if any(curve.role == "paper" and curve.kind == kind for curve in curves):
                key.append(
                    Line2D([], [], ls="none", marker=marker, mfc="white", mec="black", ms=5, label=f"the paper, {kind}")
                )
    return key
