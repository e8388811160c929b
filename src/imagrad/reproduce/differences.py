"""Where the measured numbers differ from the paper's, and what was tried to explain it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagrad.checks.verdicts import CheckResult

_NOTABLE = 0.05  # of a probability: a smaller lead of the own map says little


def differences_of(data: str, checks: Mapping[str, CheckResult]) -> tuple[str, ...]:
    """Write a paragraph for each difference; on other images than the paper's, say that they are other images."""
    if data != "mnist":
        return (
            f'These images are {data}, not the paper\'s MNIST, and the networks are small: "differs" says nothing '
            "about the paper here. imagrad reproduce --preset paper does it on MNIST.",
        )
    return (
        *(_corruption(checks["corruption"].numbers) if "corruption" in checks else ()),
        *(_one_class(checks["one-class"]) if "one-class" in checks else ()),
        *(_strokes(checks["locality"].numbers) if "locality" in checks else ()),
    )


def _corruption(numbers: Mapping[str, Any]) -> tuple[str, ...]:
    """Compare the readings of the third check."""
    flipped, local, erased = numbers["global_map"], numbers["local_map"], numbers["erased"]
    percentages = ", ".join(f"{percentage:g}" for percentage in numbers["percentages"])
    scores = numbers["local_scores"]
    return (
        f"Corruption, most important pixels. With {percentages} % flipped as the text says, accuracy falls to "
        f"{_values(flipped, 'most')} % by the global map and {_values(local, 'most')} % by the one local map; the "
        f"paper has 99.9 % at 10 % and 40 % at 30 %. Tried: other local maps ({len(scores)} of them score from "
        f"{min(scores):.2f} to {max(scores):.2f}, so that the choice of the map does not explain it); and another "
        "reading of the corruption, in which pixels are erased (set to 0) and none become white: "
        f"{_values(erased['global_map'], 'most')} % by the global map, {_values(erased['local_map'], 'most')} % by "
        "the local one. That comes much nearer to the paper's curve, and its Fig. 10 speaks of erased strokes; what "
        "the paper did we cannot know.",
        "Corruption, least important pixels. Flipping turns the black border white: "
        f'{_values(flipped, "least")} %, which is not "unaltered" for a classifier that has never seen a white '
        f"border. Erased: {_values(erased['global_map'], 'least')} %.",
    )


def _one_class(result: CheckResult) -> tuple[str, ...]:
    """Compare the readings of the first check."""
    classes = len(result.numbers["classes"])
    readings = "; ".join(f"{name}, {count}" for name, count in result.numbers["other_readings"].items())
    return (
        "One class. The paper shows ten maps and says that they look very similar to the digits. By correlation with "
        f"the mean images {result.numbers['identified']} of {classes} are identified; tried: {readings}. The score "
        f"is {result.score}. A map also rises around the strokes, where the class varies, and so may look more like "
        "the mean image of a broader digit.",
    )


def _strokes(numbers: Mapping[str, Any]) -> tuple[str, ...]:
    own, other = (numbers["strokes"][name]["value"] for name in ("own_map", "map_of_another_image"))
    meaning = (
        "the strokes of its image" if own - other >= _NOTABLE else "where strokes mostly are, not those of its image"
    )
    return (
        "Strokes. The paper reads its maps as showing the strokes of the image. A stroke pixel has a larger value "
        f"than a background pixel with probability {own:.2f}; by the map of another image, with probability "
        f"{other:.2f}. So a map shows {meaning}.",
    )


def _values(curves: Mapping[str, Any], side: str) -> str:
    return ", ".join(f"{100 * estimate['value']:.1f}" for estimate in curves[side])
