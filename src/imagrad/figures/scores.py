"""Scores of methods side by side: one row a method, one panel a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from imagrad.errors import InputError
from imagrad.figures.style import COLOURS, QUIET, house_style, note

_DASHES = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (9, 3)))
_MOST_METHODS = 40


@dataclass(frozen=True)
class Score:
    """The score of one method in one check, with its interval."""

    name: str
    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Check what was given."""
        if not self.low <= self.value <= self.high:
            raise InputError(
                f"`value` must lie between `low` and `high`; got {self.low:g}, {self.value:g}, {self.high:g} "
                f"for {self.name!r}."
            )


@dataclass(frozen=True)
class ScorePanel:
    """The scores of one check, and the scores of controls by name."""

    title: str
    scores: tuple[Score, ...]
    controls: Mapping[str, float] = field(default_factory=dict[str, float])
    higher_is_better: bool = True


def draw_scores(panels: Sequence[ScorePanel], *, highlight: str | None = None) -> Figure:
    """Draw a point with an interval for each method, the best of the first panel at the top; controls as dashed lines.

    `highlight` names the method that is drawn in colour. Raises `InputError` for no scores, more than 40 methods, or
    more than 4 controls.
    """
    names = _sorted_names(panels)
    controls = list(dict.fromkeys(name for panel in panels for name in panel.controls))
    if not 0 < len(names) <= _MOST_METHODS:
        raise InputError(f"`panels` must score 1 to {_MOST_METHODS} methods; got {len(names)}.")
    if len(controls) > len(_DASHES):
        raise InputError(
            f"at most {len(_DASHES)} controls can be told apart; got {len(controls)}: {', '.join(controls)}."
        )
    if highlight is not None and highlight not in names:
        raise InputError(f"`highlight` must be one of the methods scored: {', '.join(names)}; got {highlight!r}.")
    with house_style():
        figure = Figure(figsize=(7.0, 0.2 * len(names) + 1.1 + 0.2 * bool(controls)), layout="constrained")
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, panel in zip(grid, panels, strict=True):
            _panel(axes, panel, names, highlight)
            for control, value in panel.controls.items():
                axes.axvline(value, color=QUIET, lw=1, ls=_DASHES[controls.index(control)], zorder=1)
        grid[0].set_yticks(range(len(names)), names)
        grid[0].set_ylim(len(names) - 0.4, -0.6)
        for label in grid[0].get_yticklabels():
            label.set_fontweight("bold" if label.get_text() == highlight else "normal")
        if controls:
            key = [
                Line2D([], [], color=QUIET, lw=1, ls=dash, label=name)
                for name, dash in zip(controls, _DASHES, strict=False)
            ]
            figure.legend(handles=key, loc="outside lower center", ncols=len(key), frameon=False)
    return figure


def _sorted_names(panels: Sequence[ScorePanel]) -> list[str]:
    """Return all methods: those of the first panel from best to worst, then those that only later panels score."""
    ranked = [
        sorted(panel.scores, key=lambda score: -score.value if panel.higher_is_better else score.value)
        for panel in panels
    ]
    return list(dict.fromkeys(score.name for scores in ranked for score in scores))


def _panel(axes: Axes, panel: ScorePanel, names: Sequence[str], highlight: str | None) -> None:
    axes.hlines(np.arange(len(names)), 0, 1, color="0.92", lw=0.6, zorder=0, transform=axes.get_yaxis_transform())
    for score in panel.scores:
        row = names.index(score.name)
        colour, size = (COLOURS[0], 5.5) if score.name == highlight else ("black", 3.5)
        axes.plot([score.low, score.high], [row, row], color=colour, lw=1.4, solid_capstyle="butt", zorder=2)
        axes.plot([score.value], [row], "o", color=colour, ms=size, zorder=3)
    axes.set_title(panel.title, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.08)
    better = "higher is better →" if panel.higher_is_better else "← lower is better"
    axes.set_xlabel(better, **{name: value for name, value in note("center").items() if name != "va"})
