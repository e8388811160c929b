"""Arrays to figures, for the page of a journal: contour maps and rows of images. Needs no display."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from math import ceil
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from imagrad import runs
from imagrad.attribution.results import SaliencyResult
from imagrad.errors import InputError

if TYPE_CHECKING:
    from imagrad.reproduce.step_error import StepErrors

MOST_MAPS = 12
"""A figure of more maps cannot be read; `draw` refuses it."""

_WHITE_TO_RED = LinearSegmentedColormap.from_list("white to red", ["white", "#fdd0b8", "#f4694b", "#c4161c", "#67000d"])
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
_CURVES = {  # name, colour (Okabe and Ito: told apart by the colour-blind), marker, width
    "complex_step": ("complex step", "black", "^", 1.8),
    "forward": ("forward difference", "#d55e00", "o", 0.9),
    "central": ("central difference", "#0072b2", "s", 0.9),
}
_EPSILON = float(np.finfo(np.float64).eps)
_BREAK = 1e-20  # below this step nothing changes: the axis is broken and 280 decades are drawn in a narrow strip
_QUIET = "0.45"  # grey, for what is not a measurement

_STYLE = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "svg.hashsalt": "imagrad",
    "svg.fonttype": "none",  # text stays text
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
    maps = _flat_maps(result.maps, channels)
    with _style():
        levels = shared_levels(maps)
        figure = _contour_figure(maps, levels, result.images, titles)
        scale = ScalarMappable(BoundaryNorm(levels, _WHITE_TO_RED.N), _WHITE_TO_RED)
        label = f"saliency {_NORM_SYMBOLS[result.norm]}\n(code units per unit of pixel value)"
        bar = figure.colorbar(scale, ax=figure.axes, label=label, shrink=0.95, ticks=levels[::2], format="%g")
        bar.ax.minorticks_off()
    if path is not None:
        save_figure(figure, path)
    return figure


def draw_image_rows(rows: Mapping[str, torch.Tensor]) -> Figure:
    """Draw rows of images (n, 1 or 3, height, width), one below the other with its name (Fig. 5 and 6 of the paper)."""
    count = max(len(images) for images in rows.values())
    with _style():
        figure = Figure(figsize=(0.72 * count + 0.9, 0.76 * len(rows) + 0.1), layout="constrained")
        grid = figure.subplots(len(rows), count, squeeze=False)
        for axes_row, (name, images) in zip(grid, rows.items(), strict=True):
            axes_row[0].set_ylabel(name, rotation=0, ha="right", va="center")
            for axes, image in zip(axes_row, images, strict=False):
                _show_image(axes, image)
    return figure


def draw_step_errors(errors: Mapping[str, StepErrors]) -> Figure:
    """Draw error against step for forward and central differences and the complex step, one panel a measurement.

    The keys are the panels' titles: what was differentiated. Steps go down to the right, those below 1e-20 in a strip
    of their own. An error below a tenth of the machine epsilon, 0 say, is drawn there.
    """
    with _style():
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


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write the figure as its ending says, atomically, without a date, so that the same figure is the same file."""
    suffix = Path(path).suffix.lower().lstrip(".")
    if suffix not in ("png", "svg", "pdf"):
        raise InputError(f"`path` must end in .png, .svg or .pdf; got {str(path)!r}.")
    buffer = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix, {})
    with _style():
        figure.savefig(buffer, format=suffix, dpi=200, metadata=undated)
    runs.write_atomically(Path(path), buffer.getvalue())


def save_png_and_svg(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write a figure of a run folder in both formats; return the paths."""
    paths = folder / f"{name}.png", folder / f"{name}.svg"
    for path in paths:
        save_figure(figure, path)
    return paths


def _style() -> AbstractContextManager[None]:
    """Set fonts and lines for the figure made inside."""
    return mpl.rc_context(_STYLE)  # type: ignore[arg-type]  # its type lists every name there is


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
        _contours(axes, maps[position], levels)
        inset = axes.inset_axes((0.0, 0.74, 0.26, 0.26))
        _show_image(inset, images[position])
        if position < len(titles):
            axes.set_title(titles[position])
    return figure


def _contours(axes: Axes, saliency_map: NDArray[np.float64], levels: NDArray[np.float64]) -> None:
    """Draw one map upright: row 0 at the top, each pixel where it is in the image."""
    axes.set_facecolor(_NOT_COMPUTED)
    height, width = saliency_map.shape
    across, down = (np.concatenate([[-0.5], np.arange(size), [size - 0.5]]) for size in (width, height))
    values = np.ma.masked_invalid(np.pad(saliency_map, 1, mode="edge"))  # out to the edges of the outer pixels
    norm = BoundaryNorm(levels, _WHITE_TO_RED.N)
    axes.contourf(across, down, values, levels=levels, cmap=_WHITE_TO_RED, norm=norm)
    if values.max() > levels[2]:
        axes.contour(across, down, values, levels=levels[2:-1:2], colors="0.25", linewidths=0.25)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])


def _show_image(axes: Axes, image: torch.Tensor) -> None:
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


def _flat_maps(maps: torch.Tensor, channels: str) -> NDArray[np.float64]:
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


def _error_curves(wide: Axes, strip: Axes, errors: StepErrors) -> None:
    """Draw the three curves over both parts of a broken axis."""
    steps = errors.steps
    for axes, shown in ((wide, steps > 0.99 * _BREAK), (strip, steps < 1.01 * _BREAK)):
        for method, (_, colour, marker, width) in _CURVES.items():
            values = np.maximum(getattr(errors, method), _EPSILON / 10)[shown]
            every = (3, 5) if axes is strip else (0 if method == "central" else 2, 4)  # two curves on one line show
            axes.loglog(steps[shown], values, color=colour, lw=width, marker=marker, ms=2.6, markevery=every)
        axes.axhline(_EPSILON, color=_QUIET, lw=0.6, ls=(0, (4, 2)), zorder=1)
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
    strip.text(0.5, 10, "$x_i+h=x_i$", transform=strip.get_yaxis_transform(), **_note("center"))
    slash: dict[str, Any] = {"marker": [(-0.5, -1), (0.5, 1)], "ms": 5, "ls": "none", "color": "k", "mew": 0.6}
    wide.plot([1, 1], [0, 1], transform=wide.transAxes, clip_on=False, **slash)  # where the axis is broken
    strip.plot([0, 0], [0, 1], transform=strip.transAxes, clip_on=False, **slash)


def _guides(axes: Axes, errors: StepErrors) -> None:
    """Draw what the curves should follow: h, h^2 and eps / h through one point of each, and where a ReLU switches."""
    left = axes.get_xlim()[0]
    if errors.nearest_kink < errors.steps.max():
        axes.axvspan(left, errors.nearest_kink, color="0.92", lw=0, zorder=0)
        axes.text((left * errors.nearest_kink) ** 0.5, 1e-11, "a ReLU switches", rotation=90, **_note("center"))
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
        axes.text(*place, name, **_note("center"))
    axes.text(0.8 * left, _EPSILON / 5, r"$\varepsilon$ of float64", **_note("left", "top"))
    axes.axvline(1e-16, ymax=0.9, color=_QUIET, lw=0.6, ls=":", zorder=1)
    axes.text(1e-16, 2e3, "the paper's $h$", **_note("center"))


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


def _note(across: str, down: str = "center") -> dict[str, Any]:
    """Return the style of small grey print."""
    return {"ha": across, "va": down, "color": _QUIET, "fontsize": 7}
