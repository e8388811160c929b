"""Fig. 11: the accuracy of a classifier against the share of flipped pixels, read from a check or measured here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imagrad.checks.rankings import flipped, pixels_of, ranking
from imagrad.checks.saved import load_check
from imagrad.checks.similarity import Picture, pictures
from imagrad.data.sources import Dataset
from imagrad.errors import InputError
from imagrad.models.classifiers import Classifier
from imagrad.training.classifier import accuracy

PERCENTAGES = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0)
SIDES = ("most", "least", "random")
_MAPS = 100  # local maps in the global one, as in the check
_IMAGES = 500  # classified at each point: an interval of some 4 %
_AT_ONCE = 10  # maps a step: a step must not keep somebody who draws waiting


@dataclass(frozen=True)
class Curve:
    """Accuracies by percentage of flipped pixels, on the way or done."""

    source: str
    """Where it is from, in words."""
    percentages: tuple[float, ...]
    accuracies: dict[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    """By side; shorter than the percentages while it is on its way."""
    done: float = 1.0
    """How much of it is there, from 0 to 1."""


def curve_of(path: Path) -> Curve:
    """Read the curve of a saved corruption check; raises `InputError` for another check."""
    result = load_check(path)
    if result.check != "corruption":
        raise InputError(f"the curve of Fig. 11 is that of the check corruption; {path} holds {result.check}.")
    numbers = result.numbers
    clean = numbers["clean_accuracy"]["value"]
    found = {side: _values(clean, numbers["global_map"][side]) for side in ("most", "least")}
    found["random"] = _values(clean, numbers["controls_curves"]["random"]["most"])
    text = f"the check corruption of {result.method} on {numbers['data']}, {numbers['corrupted_images']} images"
    return Curve(text, (0.0, *numbers["percentages"]), found)


def _values(clean: float, estimates: list[dict[str, Any]]) -> tuple[float, ...]:
    return (clean, *(estimate["value"] for estimate in estimates))


def measured(trial: Trial, encode: Callable[[torch.Tensor], torch.Tensor], seed: int = 0) -> Iterator[Curve]:
    """Measure the curve of an encoder's saliency in small steps; yield it after each, the last time whole.

    The ranking is that of the check: one map for all images, the mean of local ones.
    """
    from imagrad.attribution.saliency import saliency

    explained = trial.images[:_MAPS].split(_AT_ONCE)
    steps = len(explained) + 1 + len(PERCENTAGES)
    curve = Curve(
        f"measured here on {len(trial.images)} images of {trial.source}, all with the pixels of the mean map flipped",
        (0.0, *PERCENTAGES),
        {},
        0.0,
    )
    maps = list[Picture]()
    for some in explained:
        maps.append(pictures(saliency(encode, some, certify="none").maps))
        yield (curve := replace(curve, done=len(maps) / steps))
    orders = _orders(np.concatenate(maps).mean(axis=0), seed)
    clean = accuracy(trial.classifier, trial.images, trial.labels)
    curve = replace(curve, accuracies={side: (clean,) for side in SIDES})
    for number, percentage in enumerate(PERCENTAGES, start=1):
        found = {side: (*curve.accuracies[side], trial.accuracy(*orders[side], percentage)) for side in SIDES}
        yield (curve := replace(curve, accuracies=found, done=(len(explained) + 1 + number) / steps))


@dataclass(frozen=True)
class Trial:
    """A classifier and the images that it is tried on."""

    classifier: Classifier
    images: torch.Tensor
    labels: torch.Tensor
    source: str

    def accuracy(self, order: NDArray[np.intp], side: str, percentage: float) -> float:
        """Return the accuracy with a percentage of the pixels flipped."""
        return accuracy(self.classifier, flipped(self.images, pixels_of(order, percentage, side)), self.labels)


def trial_of(classifier: Classifier, dataset: Dataset, device: str) -> Trial:
    """Take the first images of a data set with labels."""
    count = min(_IMAGES, len(dataset))
    assert dataset.labels is not None
    return Trial(classifier, dataset.images(0, count).to(device), dataset.labels[:count].to(device), dataset.name)


def _orders(picture: Picture, seed: int) -> dict[str, tuple[NDArray[np.intp], str]]:
    order = ranking(picture, seed)
    return {"most": (order, "most"), "least": (order, "least"), "random": (random_order(picture.size, seed), "most")}


def random_order(count: int, seed: int) -> NDArray[np.intp]:
    """Order pixels at random."""
    return np.random.default_rng(seed).permutation(count)
