"""The look of all figures: fonts, lines and colours. Needs no display."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.colors import LinearSegmentedColormap

WHITE_TO_RED = LinearSegmentedColormap.from_list("white to red", ["white", "#fdd0b8", "#f4694b", "#c4161c", "#67000d"])
"""The colours of saliency, those of the paper's Fig. 7."""

BLUE_TO_RED = LinearSegmentedColormap.from_list("blue to red", ["#08306b", "#4393c3", "white", "#d6604d", "#67000d"])
"""The colours of signed values: white at 0."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "black")
"""The colours of Okabe and Ito, told apart by the colour-blind, those that stand out most first."""

QUIET = "0.45"
"""Grey, for what is not a measurement."""

_LABEL = 36  # letters

_STYLE = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "svg.hashsalt": "imagrad",
    "svg.fonttype": "none",  # text stays text
}


def house_style() -> AbstractContextManager[None]:
    """Set fonts and lines for the figure made inside."""
    return mpl.rc_context(_STYLE)  # type: ignore[arg-type]  # its type lists every name there is


def in_brackets(units: str) -> str:
    """Write units as a label has them; long ones in two lines, as one map is not higher."""
    return f"({units})" if len(units) <= _LABEL else f"({units})".replace(" per ", "\nper ", 1)


def note(across: str, down: str = "center") -> dict[str, Any]:
    """Return the style of small grey print."""
    return {"ha": across, "va": down, "color": QUIET, "fontsize": 7}
