"""Error against step: finite differences and the complex step, one panel a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imagrad.figures.style import QUIET, house_style, note

if TYPE_CHECKING:
    from imagrad.reproduce.step_error import StepErrors

_CURVES = {  # name, colour (Okabe and Ito: told apart by the colour-blind), marker, width
    "complex_step": ("complex step", "black", "^", 1.8),
    "forward": ("forward difference", "#d55e00", "o", 0.9),
    "central": ("central difference", "#0072b2", "s", 0.9),
}
_EPSILON = float(np.finfo(np.float64).eps)
_BREAK = 1e-20  # below this step nothing changes: the axis is broken and 280 decades are drawn in a narrow strip


def draw_step_errors(errors: Mapping[str, StepErrors]) -> Figure:
    """Draw error against step for forward and central differences and the complex step, one panel a measurement.

    The keys are the panels' titles: what was differentiated. Steps go down to the right, those below 1e-20 in a strip
    of their own. An error below a tenth of the machine epsilon, 0 say, is drawn there.
    """
    with house_style():
        figure = Figure(figsize=(3.5 * len(errors) + 0.1, 3.1), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.01)  # type: ignore[union-attr,call-arg]  # the constrained one
        parts = figure.subfigures(1, len(errors), squeeze=False)[0]
        for letter, part, (title, measured) in zip(ascii_lowercase, parts, errors.items(), strict=False):
            wide, strip = part.subplots(1, 2, sharey=True, width_ratios=[3.4, 1], gridspec_kw={"wspace": 0.02})
            _error_curves(wide, strip, measured)
            _guides(wide, measured)
            _name_curves(wide, measured)
            wide.set_title(f"({letter})  {title}", loc="left")
            wide.set_ylabel(r"relative error of $\partial f/\partial x_i$")
            part.supxlabel("step $h$ in pixel $x_i$", fontsize=8)
    return figure


def _error_curves(wide: Axes, strip: Axes, errors: StepErrors) -> None:
    """Draw the three curves over both parts of a broken axis."""
    steps = errors.steps
    for axes, shown in ((wide, steps > 0.99 * _BREAK), (strip, steps < 1.01 * _BREAK)):
        for method, (_, colour, marker, width) in _CURVES.items():
            values = np.maximum(getattr(errors, method), _EPSILON / 10)[shown]
            every = (3, 5) if axes is strip else (0 if method == "central" else 2, 4)  # two curves on one line show
            axes.loglog(steps[shown], values, color=colour, lw=width, marker=marker, ms=2.6, markevery=every)
        axes.axhline(_EPSILON, color=QUIET, lw=0.6, ls=(0, (4, 2)), zorder=1)
        axes.set_ylim(1e-18, 1e5)
        axes.minorticks_off()
        axes.tick_params(width=0.6, length=2.5)
    wide.set_xlim(2e-1, _BREAK / 2)
    wide.set_xticks([1e-1, 1e-5, 1e-10, 1e-15])
    wide.set_yticks([1e-16, 1e-12, 1e-8, 1e-4, 1, 1e4])
    wide.spines["right"].set_visible(False)
    strip.set_xlim(_BREAK, 1e-305)
    strip.set_xticks([1e-100, 1e-300])
    strip.spines["left"].set_visible(False)
    strip.tick_params(left=False, labelleft=False)
    strip.text(0.5, 10, "$x_i+h=x_i$", transform=strip.get_yaxis_transform(), **note("center"))
    slash: dict[str, Any] = {"marker": [(-0.5, -1), (0.5, 1)], "ms": 5, "ls": "none", "color": "k", "mew": 0.6}
    wide.plot([1, 1], [0, 1], transform=wide.transAxes, clip_on=False, **slash)  # where the axis is broken
    strip.plot([0, 0], [0, 1], transform=strip.transAxes, clip_on=False, **slash)


def _guides(axes: Axes, errors: StepErrors) -> None:
    """Draw what the curves should follow: h, h^2 and eps / h through one point of each, and where a ReLU switches."""
    left = axes.get_xlim()[0]
    if errors.nearest_kink < errors.steps.max():
        axes.axvspan(left, errors.nearest_kink, color="0.92", lw=0, zorder=0)
        axes.text((left * errors.nearest_kink) ** 0.5, 1e-11, "a ReLU switches", rotation=90, **note("center"))
    laws = [("central", -1, 1e-11, r"$\propto\varepsilon/h$", (1e-11, 1e-7))]
    if errors.slope("forward") is not None:
        laws += [
            ("forward", 1, 1e-4, "$\\propto h$", (2e-6, 3e-3)),
            ("complex_step", 2, 1e-4, "$\\propto h^2$", (5e-4, 3e-12)),
        ]
    for method, power, step, name, place in laws:
        measured = getattr(errors, method)
        law = float(np.interp(-np.log(step), -np.log(errors.steps), measured)) * (errors.steps / step) ** power
        holds = (measured < 10 * law) & (law < 10 * measured) & (errors.steps > 1e-17)
        axes.plot(errors.steps[holds], law[holds], color="0.85", lw=5, zorder=0.5)
        axes.text(*place, name, **note("center"))
    axes.text(0.8 * left, _EPSILON / 5, r"$\varepsilon$ of float64", **note("left", "top"))
    axes.axvline(1e-16, ymax=0.9, color=QUIET, lw=0.6, ls=":", zorder=1)
    axes.text(1e-16, 2e3, "the paper's $h$", **note("center"))


def _name_curves(axes: Axes, errors: StepErrors) -> None:
    """Write the name of each curve beside it, with the fitted slope where it has one."""
    if errors.slope("forward") is None:  # no truncation error: the two differences are all rounding, and lie together
        places = {"forward": (2e-4, 1e2), "central": (2e-4, 2), "complex_step": (2e-4, 3e-15)}
    else:
        places = {"forward": (2e-4, 1e0), "central": (1e-6, 2e-10), "complex_step": (5e-8, 1e-13)}
    for method, (name, colour, _, _) in _CURVES.items():
        slope = errors.slope(method)
        label = name if slope is None else f"{name}\nslope {slope:.2f}"
        axes.text(*places[method], label, color=colour, va="center", fontsize=7)
