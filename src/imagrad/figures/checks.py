"""The figures of a check's result: Figures 8 to 11 of the paper, with numbers in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure

from imagrad.checks.comparison import Row
from imagrad.checks.verdicts import CheckResult
from imagrad.figures.curves import Curve, draw_corruption_curves
from imagrad.figures.images import draw_image_rows
from imagrad.figures.map_grids import draw_maps_grid
from imagrad.figures.scores import Score, ScorePanel, draw_scores
from imagrad.figures.tables import draw_table_heat

_SIDES: tuple[Literal["most"], Literal["least"]] = ("most", "least")
_PAPER = Curve("the paper", (10.0, 30.0), (99.9, 40.0), kind="most", role="paper")  # section 7


def check_figures(result: CheckResult) -> dict[str, Figure]:
    """Draw what a check found, each figure by the name of its file."""
    return _DRAWN_BY[result.check](result)


def _one_class(result: CheckResult) -> dict[str, Figure]:
    classes: list[str] = result.numbers["classes"]
    table = np.array(result.numbers["tables"]["pearson"])
    return {
        "one-class-maps": draw_maps_grid(
            result.arrays["mean maps"], [f"trained on {name}" for name in classes],
            images=result.arrays["class means"][:, None], shared=False,
        ),
        "one-class-table": draw_table_heat(
            table, classes, classes, "Pearson correlation", sides=("map of the network trained on", "mean image of")
        ),
    }  # fmt: skip


def _translation(result: CheckResult) -> dict[str, Figure]:
    places = ["centre", *(corner["corner"] for corner in result.numbers["corners"])]
    return {
        "translation-maps": draw_maps_grid(
            result.arrays["mean maps"], [f"digits at the {place}" for place in places],
            images=result.arrays["local images"],
        )
    }  # fmt: skip


def _corruption(result: CheckResult) -> dict[str, Figure]:
    numbers = result.numbers
    percentages = tuple(numbers["percentages"])
    rows = {f"{side}\n{p:g} %": result.arrays[f"{side} {p:g} %"] for side in _SIDES for p in percentages}
    figures = {
        "corruption-examples": draw_image_rows({"clean": result.arrays["clean"], **rows}),
        "corruption-curves": draw_corruption_curves(_accuracy_curves(result)),
    }
    for what, rankings in numbers["label_free"].items():
        figures[f"corruption-label-free-{what}"] = draw_corruption_curves(
            [
                _curve(name, percentages, sides[side], side, "map" if name == "global map" else "control")
                for name, sides in rankings.items()
                for side in _SIDES
            ],
            quantity=f"shift of the {what} in %",
            limits=None,
        )
    return figures


def _accuracy_curves(result: CheckResult) -> list[Curve]:
    """List the curves of Fig. 11: the map, single local maps, controls, and what the paper states."""
    numbers = result.numbers
    percentages = (0.0, *numbers["percentages"])
    clean = numbers["clean_accuracy"]

    def both(name: str, curves: Mapping[str, Any], role: Any) -> list[Curve]:
        return [_curve(name, percentages, [clean, *curves[side]], side, role) for side in _SIDES]

    curves = both("global map", numbers["global_map"], "map")
    for name, control in numbers["controls_curves"].items():
        curves += both(name, control, "control")
    for position, local in enumerate(numbers["local_maps"]):
        curves += both(f"local map {position}", local, "single")
    return [*curves, *([_PAPER] if numbers["data"].startswith("mnist") else [])]


def _curve(
    name: str, percentages: tuple[float, ...], estimates: Sequence[Mapping[str, float]],
    kind: Literal["most", "least"], role: Any,
) -> Curve:  # fmt: skip
    """Make a curve of estimates, in per cent."""
    values, low, high = (tuple(100 * e[part] for e in estimates) for part in ("value", "low", "high"))
    return Curve(name, percentages, values, low, high, kind, role)


def _randomisation(result: CheckResult) -> dict[str, Figure]:
    names = ["original", *(f"redrawn down to {layer['redrawn_down_to']}" for layer in result.numbers["layers"])]
    shown = 4
    maps = torch.cat([result.arrays[name][:shown] for name in names])
    return {"randomisation-maps": draw_maps_grid(maps, row_labels=names, shared=False)}


def _locality(result: CheckResult) -> dict[str, Figure]:
    maps = torch.cat([result.arrays["global map"][None], result.arrays["local maps"][:9]])
    titles = ["mean of all maps", *(f"local map {k + 1}" for k in range(len(maps) - 1))]
    return {"locality-maps": draw_maps_grid(maps, titles)}


_DRAWN_BY: dict[str, Callable[[CheckResult], dict[str, Figure]]] = {
    "one-class": _one_class,
    "translation": _translation,
    "corruption": _corruption,
    "randomisation": _randomisation,
    "locality": _locality,
}


def comparison_figure(rows: Sequence[Row]) -> Figure:
    """Draw all methods by all checks, with the controls of each check."""
    ran = [row for row in rows if row.results]
    panels = [_panel(check, [row.results[check] for row in ran]) for check in ran[0].results]
    names = [row.method for row in ran]
    return draw_scores(panels, highlight="saliency" if "saliency" in names else None)


def _panel(check: str, results: Sequence[CheckResult]) -> ScorePanel:
    controls = {control.name: control.score.value for control in results[0].controls if control.name != "the images"}
    scores = tuple(Score(r.method, r.score.value, r.score.low, r.score.high) for r in results)
    return ScorePanel(check, scores, controls)
