"""What every check works on, and the registry of checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from imagrad.attribution.methods import attribute
from imagrad.checks.similarity import Picture, pictures
from imagrad.checks.verdicts import CheckResult
from imagrad.data.datasets import has_splits, load_dataset
from imagrad.data.selections import parse_selection, range_text
from imagrad.data.sources import Dataset
from imagrad.errors import InputError
from imagrad.registry import Registry
from imagrad.training.factory import Encoder, Factory

Explain = Callable[[Encoder, torch.Tensor, int], torch.Tensor]
"""(encoder, images (n, *input), seed) -> maps (n, *input), >= 0."""


def by_method(method: str, **keywords: Any) -> Explain:
    """Explain by a registered attribution method, with keywords of `imagrad.attribute`."""

    def explain(encoder: Encoder, images: torch.Tensor, seed: int) -> torch.Tensor:
        return attribute(encoder, images, method=method, seed=seed, **keywords).maps

    return explain


@dataclass(frozen=True)
class Material:
    """What is checked, on which images, and what helps: give what a check needs, it asks for the rest by name."""

    data: str
    """Labelled images by name: mnist, digits, a folder, an .npz file."""
    method: str
    """What the attribution method is called in the result."""
    explain: Explain
    factory: Factory | None = None
    """Trains encoders; for one-class, translation, and the network on shuffled pixels of randomisation."""
    encoder: Encoder | None = None
    """The encoder under check; for corruption, randomisation, locality."""
    decode: Callable[[torch.Tensor], torch.Tensor] | None = None
    """Its decoder, where it has one: then the shift of the reconstruction is measured as well."""
    classifier: Callable[[torch.Tensor], torch.Tensor] | None = None
    """Images to logits, trained on clean images; for corruption."""
    seed: int = 0
    data_dir: str | None = None
    device: str = "cpu"

    @cached_property
    def test(self) -> Dataset:
        """The images that are explained and corrupted: the test split, or all of a source without splits."""
        return load_dataset(self.data, split="test", data_dir=self.data_dir)

    @cached_property
    def test_images(self) -> torch.Tensor:
        """All of them, (n, channels, height, width)."""
        return self.test.images()

    @cached_property
    def labels(self) -> NDArray[np.intp]:
        """Their labels; raises `InputError` when they have none."""
        if self.test.labels is None:
            raise InputError(f"this check needs labelled images; {self.test.name} has no labels.")
        return self.test.labels.numpy()

    def train_selection(self, label: str | None = None) -> str:
        """Name the images to train on, of one class or of all."""
        selection = parse_selection(self.data)
        if label is None and selection.label is None and selection.range == slice(None):
            return selection.base  # the train split is what is taken where none is named
        split = ":train" if has_splits(self.data) else ""
        chosen = selection.label if label is None else label
        of_class = "" if chosen is None else f"/label={chosen}"
        return f"{selection.base}{split}{of_class}{range_text(selection.range)}"

    def sample(self, count: int, label: int | None = None) -> NDArray[np.intp]:
        """Draw `count` test images, of one class or of all in equal parts; raise `InputError` when there are fewer."""
        generator = np.random.default_rng([self.seed, count, 0 if label is None else label + 1])
        order = generator.permutation(len(self.test))
        if self.test.labels is not None:
            labels = self.labels[order]
            if label is not None:
                order = order[labels == label]
            else:  # the first of each class, then the second of each, ...
                rank = np.empty(len(labels), dtype=np.intp)
                for each in np.unique(labels):
                    rank[labels == each] = np.arange(np.count_nonzero(labels == each))
                order = order[np.argsort(rank, kind="stable")]
        if len(order) < count:
            whose = "" if label is None else f" of class {self.test.label_names[label]}"
            raise InputError(
                f"the check explains {count} test images{whose}; {self.test.name} has {len(order)}. "
                "Give fewer `images`."
            )
        return np.sort(order[:count])

    def maps(self, encoder: Encoder, images: torch.Tensor, seed: int | None = None) -> Picture:
        """Explain images; return one picture each, (n, height, width)."""
        maps = self.explain(encoder, images.to(self.device), self.seed if seed is None else seed)
        if maps.shape != images.shape:
            raise InputError(
                f"an attribution method must return maps of the images' shape, {tuple(images.shape)}; "
                f"{self.method} returned {tuple(maps.shape)}."
            )
        return pictures(maps)

    def needed(self, part: str) -> Any:
        """Return a part of the material that a check needs; raise `InputError` when it was not given."""
        value = getattr(self, part)
        if value is None:
            raise InputError(f"this check needs `{part}`; give it in the material: Material(..., {part}=...).")
        return value


class Check(Protocol):
    """A check: one function of what is checked and its own options."""

    __name__: str

    def __call__(self, material: Material, options: Any, /) -> CheckResult:
        """Check, and return numbers, intervals, controls and a verdict."""
        ...


CHECKS: Registry[Check] = Registry("check")
