"""Sanity Check-3: flipping the most important pixels must fool a classifier, the least not (Fig. 10, 11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imagrad.checks.controls import CONTROLS
from imagrad.checks.intervals import Estimate, Numbers, mean_of, share_of
from imagrad.checks.label_free import label_free_curves
from imagrad.checks.material import CHECKS, Material
from imagrad.checks.options import CorruptionOptions
from imagrad.checks.rankings import erased, flipped, pixels_of, ranking
from imagrad.checks.similarity import Picture, spearman
from imagrad.checks.verdicts import CheckResult, Control, Criterion, at_least, judge
from imagrad.errors import ImageError, InputError

_LEAST_SCORE = 0.1  # ten points of accuracy between the two curves, on average
_ALIKE = 0.5  # rank correlation of two seeds' maps: below it the ranking is chance, and so is what flipping it does
_BATCH = 50  # images at a time: larger batches leave the processor's cache
SIDES = ("most", "least")


@dataclass(frozen=True)
class _Curves:
    """Which images are still classified rightly: for each percentage and side, (images,) bool."""

    percentages: tuple[float, ...]
    right: dict[tuple[float, str], NDArray[np.bool_]]

    @property
    def per_image(self) -> Numbers:
        """Return, image by image, right with the least minus right with the most flipped, averaged: (images,)."""
        sides = [np.mean([self.right[p, side] for p in self.percentages], axis=0) for side in ("least", "most")]
        return sides[0] - sides[1]

    def shares(self, side: str) -> list[Estimate]:
        """Return the accuracy for each percentage, with Wilson's interval."""
        return [share_of(self.right[percentage, side]) for percentage in self.percentages]

    def as_dict(self) -> dict[str, Any]:
        """Return accuracies and intervals as plain JSON values."""
        return {side: [share.as_dict() for share in self.shares(side)] for side in SIDES}


@CHECKS.register("corruption")
def corruption(material: Material, options: CorruptionOptions) -> CheckResult:
    """Sanity Check-3: flipping the most important pixels fools a classifier, the least important do not (Fig. 10, 11).

    Grey levels above 100 become 0, others 255. One ranking of the pixels is used for all test images: the global map,
    the mean of `images` local ones; beside it single local maps, the first being the paper's "randomly chosen" one,
    and the controls. Ties are broken in an order that `seed` draws, the same for all maps. The score is the accuracy
    with the least minus that with the most important pixels flipped, averaged over the percentages.
    A map without order, or with another one for another seed, fails: by luck any ranking may do well.
    """
    encoder, classifier = material.needed("encoder"), material.needed("classifier")
    test = _Test(classifier, *_corrupted_set(material, options), options.percentages, material.seed)
    chosen = material.sample(max(options.images, options.local_maps))
    maps = material.maps(encoder, material.test_images[chosen])
    order = np.random.default_rng(material.seed).permutation(len(maps))  # the sample is sorted by index
    clean = share_of(test.right_with(None))
    averaged = order[: options.images]
    global_map = maps[averaged].mean(axis=0)
    again = material.maps(encoder, material.test_images[chosen[averaged]], material.seed + 1).mean(axis=0)
    of_global = test.curves(global_map)
    local = [order[k] for k in range(options.local_maps)]
    of_local = [test.curves(maps[k], None if first else options.corrupted_for_local) for first, k in _marked(local)]
    made = {name: CONTROLS[name](test.images, material.seed) for name in CONTROLS}
    of_controls = {name: test.curves(picture) for name, picture in made.items()}
    score = mean_of(of_global.per_image)
    asked_twice = at_least("rank correlation with the map of another seed", spearman(global_map, again), _ALIKE)
    criteria = (*_criteria(clean, of_global, score, options), asked_twice)
    controls = tuple(
        Control(name, mean_of(curves.per_image), mean_of(of_global.per_image - curves.per_image))
        for name, curves in of_controls.items()
    )
    rankings = {"global map": global_map, **made}
    return CheckResult(
        "corruption", material.method, score, "accuracy with the least minus that with the most important flipped",
        criteria, controls, judge(criteria, controls),
        {
            "data": material.test.name,
            "percentages": list(options.percentages),
            "corrupted_images": len(test.images),
            "clean_accuracy": clean.as_dict(),
            "global_map": of_global.as_dict(),
            "local_map": of_local[0].as_dict() | {"image": int(chosen[local[0]])},
            "local_maps": [curves.as_dict() for curves in of_local],
            "local_scores": [float(curves.per_image.mean()) for curves in of_local],
            "controls_curves": {name: curves.as_dict() for name, curves in of_controls.items()},
            "tied_pixels": _tied(global_map),
            "erased": _erased(test, {"global_map": global_map, "local_map": maps[local[0]]}),
            "label_free": label_free_curves(material, rankings, options.percentages),
        },
        _examples(test, maps[local[0]], options) | {"global map": torch.from_numpy(global_map)},
    )  # fmt: skip


@dataclass(frozen=True)
class _Test:
    """A classifier and the images that it is tried on."""

    classifier: Callable[[torch.Tensor], torch.Tensor]
    images: torch.Tensor
    labels: torch.Tensor
    percentages: tuple[float, ...]
    seed: int
    change: Callable[[torch.Tensor, NDArray[np.intp]], torch.Tensor] = flipped

    def curves(self, picture: Picture, count: int | None = None) -> _Curves:
        """Change the most and the least important pixels of a ranking, in the first `count` images."""
        order = ranking(picture, self.seed)
        right = {
            (percentage, side): self.right_with(pixels_of(order, percentage, side), count)
            for percentage in self.percentages
            for side in SIDES
        }
        return _Curves(self.percentages, right)

    @torch.no_grad()
    def right_with(self, pixels: NDArray[np.intp] | None, count: int | None = None) -> NDArray[np.bool_]:
        """Say of each image whether it is still classified rightly with these pixels changed."""
        found: list[torch.Tensor] = []
        for some, wanted in zip(self.images[:count].split(_BATCH), self.labels[:count].split(_BATCH), strict=True):
            seen = some if pixels is None else self.change(some, pixels)
            found.append(self.classifier(seen).argmax(dim=1) == wanted)
        return torch.cat(found).cpu().numpy()


def _corrupted_set(material: Material, options: CorruptionOptions) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images that are corrupted, in random order, and their labels; see that the classifier fits them."""
    labels = material.labels  # images without labels are refused here, before their classes are counted
    count = len(material.test) if options.corrupted_images is None else options.corrupted_images
    if count > len(material.test):
        raise InputError(f"`corrupted_images` is {count}; {material.test.name} has {len(material.test)}.")
    chosen = np.random.default_rng([material.seed, 1]).permutation(len(material.test))[:count]
    images = material.test_images[chosen].to(material.device)
    _check_classifier(material, images)
    return images, torch.from_numpy(labels[chosen]).to(material.device)


@torch.no_grad()
def _check_classifier(material: Material, images: torch.Tensor) -> None:
    """Raise `ImageError` or `InputError` when the classifier is for other images, or for other classes."""
    shape = getattr(getattr(material.classifier, "shape", None), "image_shape", None)
    if shape is not None and tuple(shape) != tuple(images.shape[1:]):
        raise ImageError(
            f"the classifier takes images of shape {tuple(shape)}; those of {material.test.name} have "
            f"{tuple(images.shape[1:])}. Train one on these images, or name others."
        )
    logits = material.needed("classifier")(images[:1])
    classes = len(material.test.label_names)
    if tuple(logits.shape) != (1, classes):
        raise InputError(
            f"the classifier must give one logit for each of the {classes} classes of {material.test.name}; "
            f"for one image it gave {tuple(logits.shape)}, not (1, {classes})."
        )


def _criteria(
    clean: Estimate, curves: _Curves, score: Estimate, options: CorruptionOptions
) -> tuple[Criterion, ...]:  # fmt: skip
    """State what must be: a good classifier, curves that stay apart at every percentage, and by enough."""
    pairs = zip(options.percentages, curves.shares("least"), curves.shares("most"), strict=True)
    apart = [
        at_least(f"at {percentage:g} %: lower end with the least minus upper end with the most", low.low - top.high, 0)
        for percentage, low, top in pairs
    ]
    return (
        at_least("accuracy on clean images", clean.value, options.least_clean_accuracy),
        *apart,
        at_least("lower end of the score's interval", score.low, _LEAST_SCORE),
    )


def _marked(items: list[Any]) -> list[tuple[bool, Any]]:
    """Mark the first item."""
    return [(position == 0, item) for position, item in enumerate(items)]


def _erased(test: _Test, rankings: dict[str, Picture]) -> dict[str, Any]:
    """Try another reading of the corruption, which does not decide: pixels are set to 0, and none become white."""
    erasing = replace(test, change=erased)
    return {name: erasing.curves(picture).as_dict() for name, picture in rankings.items()}


def _tied(picture: Picture) -> int:
    """Count the pixels that share their value with another."""
    _, counts = np.unique(picture, return_counts=True)
    return int(counts[counts > 1].sum())


def _examples(test: _Test, local_map: Picture, options: CorruptionOptions) -> dict[str, torch.Tensor]:
    """Corrupt some images for a figure, by the chosen local map (Fig. 10)."""
    order, shown = ranking(local_map, test.seed), test.images[:8]
    made = {
        f"{side} {percentage:g} %": flipped(shown, pixels_of(order, percentage, side)).cpu()
        for side in SIDES
        for percentage in options.percentages
    }
    return {"clean": shown.cpu(), **made, "local map": torch.from_numpy(local_map)}
