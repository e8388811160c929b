"""The paper's statements that can be measured, each beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagrad.checks.verdicts import CheckResult
from imagrad.reproduce.page import Claim, Verdict

_POINTS = 5.0  # percentage points: an accuracy read off a figure counts as met within them
_UNALTERED = 1.0  # percentage points: what "unaltered" and "little effect" may mean


def claims_of(
    settings: Mapping[str, Any], training: Mapping[str, Any], checks: Mapping[str, CheckResult]
) -> tuple[Claim, ...]:
    """List every quantitative statement of the paper with what was measured; "not measured" where a step is missing."""
    return (
        *_data(training),
        *_training(settings, training),
        *_derivatives(training),
        *_locality(checks.get("locality")),
        *_one_class(checks.get("one-class")),
        *_translation(checks.get("translation")),
        *_corruption(checks.get("corruption")),
        Claim("3", "saves a lot of computational effort", "the other families are not trained here", "not measured"),
    )


def _met(is_met: bool) -> Verdict:
    return "reproduced" if is_met else "differs"


def _data(training: Mapping[str, Any]) -> list[Claim]:
    quote = "n and m are 60000 and 784 [...] l is the number of testing images which is 10,000"
    if not training:
        return [_missing("5.1", quote)]
    count, watched = training["training_images"], training["validation_images"]
    return [Claim("5.1", quote, f"{count} training, {watched} test images", _met((count, watched) == (60000, 10000)))]


def _training(settings: Mapping[str, Any], training: Mapping[str, Any]) -> list[Claim]:
    claims = [Claim("5.1", "", f"kappa = {settings['kappa']:g} was chosen (the scale of the noise)", "not stated")]
    quote = (
        "The final cross-entropy loss of both the training dataset and testing dataset is in the range of 0.08-0.09."
    )
    limit = "limiting the binary cross-entropy of the network [...] to 0.1"
    if not training:
        return [*claims, _missing("5.2", quote), _missing("5.2", limit)]
    losses = training["loss"], training["validation_loss"]
    told = f"{losses[0]:.4f} on training, {losses[1]:.4f} on test images, after {training['epochs']} epochs"
    return [
        *claims,
        Claim("5.2", quote, told, _met(all(0.08 <= round(loss, 2) <= 0.09 for loss in losses))),
        Claim("5.2", limit, told, _met(max(losses) <= 0.1)),
    ]


def _derivatives(training: Mapping[str, Any]) -> list[Claim]:
    quote = "gradients at analytic level accuracy by choosing a very small step size"
    certificate = training.get("certificate")
    if not certificate:
        return [_missing("4", quote)]
    entries = [check for check in certificate["checks"] if "entries" in check["name"]]
    count = sum(check["count"] for check in entries)
    worst = max((check["worst"] for check in entries if check["worst"] is not None), default=0.0)
    told = f"{count} entries of the maps computed anew by complex128 steps: largest deviation {worst:.1e}"
    return [Claim("4", quote, told, _met(bool(certificate["passed"])))]


def _locality(result: CheckResult | None) -> list[Claim]:
    alike = "the contours slightly differ for each example. However, as the differences are not notably significant"
    strokes = "the regions occupied by the handwritten digital strokes show higher attribution values"
    if result is None:
        return [_missing("6", alike), _missing("6", strokes)]
    own, other = result.numbers["strokes"]["own_map"], result.numbers["strokes"]["map_of_another_image"]
    told = (
        f"a stroke pixel has a larger value than a background pixel with probability {own['value']:.3f} "
        f"({own['low']:.3f} to {own['high']:.3f}); with the map of another image {other['value']:.3f}: the map shows "
        "where strokes mostly are, hardly where those of this image are"
    )
    return [
        Claim("6", strokes, told, _met(own["low"] > 0.5)),
        Claim(
            "6", alike, f"correlation of a local map with the mean of the others {result.score}", _met(result.passed)
        ),
    ]


def _one_class(result: CheckResult | None) -> list[Claim]:
    quote = "the contours look very similar to the shape of the digits that were used to train the network"
    if result is None:
        return [_missing("7, check 1", quote)]
    classes = len(result.numbers["classes"])
    told = (
        f"{result.numbers['identified']} of {classes} networks are identified by their mean map of the same images; "
        f"{result.numbers['own_images']['identified']} when each explains images of its own class"
    )
    return [Claim("7, check 1", quote, told, _met(result.passed))]


def _translation(result: CheckResult | None) -> list[Claim]:
    quote = "clearly shows the corresponding shift of the contours to the top-left position"
    if result is None:
        return [_missing("7, check 2", quote)]
    told = "; ".join(
        f"{_shift(corner['shift_by_phase'])} by phase cross-correlation, {_shift(corner['shift_by_centroid'])} by the "
        f"centre of mass, where the digits moved by {_shift(corner['true_shift'])}"
        for corner in result.numbers["corners"]
    )
    return [Claim("7, check 2", quote, f"the map moved by {told}", _met(result.passed))]


def _shift(rows_and_columns: list[float]) -> str:
    return f"({rows_and_columns[0]:+.1f}, {rows_and_columns[1]:+.1f})"


def _corruption(result: CheckResult | None) -> list[Claim]:
    """Compare the curves of Fig. 11, for the paper's one local map and for the global one."""
    at_ten = "reduced considerably from 99.9% [...] when the percentage of corrupted important pixels is [...] 10%"
    at_thirty = "[reduced] to 40% when the percentage of corrupted important pixels is increased [...] to 30%"
    again = "dropped drastically from 99.99% to 40% when 30% of the most important pixels are corrupted"
    least = "the classification accuracy is unaltered when 30% of the least important pixels are corrupted"
    little = "the percentage of corrupted least important pixels had little effect on the classification accuracies"
    places = ("7, check 3", "7, check 3", "8", "8", "7, check 3")
    quotes = (at_ten, at_thirty, again, least, little)
    if result is None or not {10.0, 30.0} <= set(result.numbers["percentages"]):
        return [_missing(place, quote) for place, quote in zip(places, quotes, strict=True)]
    clean = 100 * result.numbers["clean_accuracy"]["value"]
    most = {percentage: _accuracies(result, "most", percentage) for percentage in (10.0, 30.0)}
    spared = {p: _accuracies(result, "least", p) for p in result.numbers["percentages"]}
    told = {p: f"{_both(most[p])}; clean images {clean:.2f} %{_erased(result, 'most', p)}" for p in most}
    fall = clean - spared[30.0][0]
    worst = max(clean - values[0] for values in spared.values())
    return [
        Claim("7, check 3", at_ten, told[10.0], _met(abs(most[10.0][0] - 99.9) <= _POINTS)),
        Claim("7, check 3", at_thirty, told[30.0], _met(abs(most[30.0][0] - 40) <= _POINTS)),
        Claim(
            "8",
            again,
            f"clean {clean:.2f} %, then {_both(most[30.0])}{_erased(result, 'most', 30.0)}",
            _met(abs(most[30.0][0] - 40) <= _POINTS),
        ),
        Claim(
            "8",
            least,
            f"{_both(spared[30.0])}: {fall:.1f} points below clean{_erased(result, 'least', 30.0)}",
            _met(abs(fall) <= _UNALTERED),
        ),
        Claim("7, check 3", little, f"at most {worst:.1f} points below clean (global map)", _met(worst <= _UNALTERED)),
    ]


def _accuracies(result: CheckResult, side: str, percentage: float) -> tuple[float, float]:
    """Return the accuracy in per cent with the global map, and with the one local map drawn."""
    position = result.numbers["percentages"].index(percentage)
    curves = result.numbers["global_map"], result.numbers["local_map"]
    of_global, of_local = (100 * curve[side][position]["value"] for curve in curves)
    return of_global, of_local


def _erased(result: CheckResult, side: str, percentage: float) -> str:
    """Say what the accuracy is when pixels are only erased: a reading that comes nearer to the paper's figure."""
    position = result.numbers["percentages"].index(percentage)
    curves = result.numbers["erased"]
    values = [f"{100 * curves[name][side][position]['value']:.1f} %" for name in ("global_map", "local_map")]
    return f"; were they erased instead of flipped, {' and '.join(values)}"


def _both(accuracies: tuple[float, float]) -> str:
    return f"{accuracies[0]:.1f} % by the global map, {accuracies[1]:.1f} % by the one local map drawn"


def _missing(place: str, quote: str) -> Claim:
    return Claim(place, quote, "this step was not run", "not measured")
