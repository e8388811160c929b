"""Sanity Check-1: a network trained on one class alone must have maps that look like that class (Fig. 8)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch

from imagrad.checks.controls import CONTROLS
from imagrad.checks.intervals import Numbers, mean_of, share_of
from imagrad.checks.material import CHECKS, Material
from imagrad.checks.options import OneClassOptions
from imagrad.checks.similarity import SIMILARITIES, Picture
from imagrad.checks.verdicts import CheckResult, Control, at_least, judge
from imagrad.errors import InputError
from imagrad.training.factory import Lesson

_NEEDED = 0.8  # of the networks must look most like their own class; by chance it is one in the number of classes
_CONTROLS = ("random", "centre distance", "pixel variance")  # the mean intensity is what is compared with


def lessons(material: Material) -> list[Lesson]:
    """List what this check trains: a network for each class."""
    return [Lesson(f"class-{name}", material.train_selection(name)) for name in material.test.label_names]


@CHECKS.register("one-class")
def one_class(material: Material, options: OneClassOptions) -> CheckResult:
    """Sanity Check-1: maps of a network trained on one class look like that class (Fig. 8).

    All networks explain the same test images, of all classes in equal parts, so that a map can only know the class
    from the network. (With images of the network's own class, as the paper seems to do it, the image alone would do;
    these numbers are in `numbers["own_images"]`.) A network is identified when its mean map correlates more with the
    mean image of its class than with that of any other. The score is its similarity to its own class minus the mean
    similarity to the others, averaged over the networks.
    """
    seen = _explain(material, options)
    classes = len(seen.class_means)
    table = _table(seen.mean_maps, seen.class_means, "pearson")
    identified, margins = _identified(table), _margins(table)
    score = mean_of(margins)
    criteria = (
        at_least(f"networks identified of {classes}", float(identified.sum()), ceil(_NEEDED * classes)),
        at_least("lower end of the margin's interval", score.low, 0.0),
    )
    controls = tuple(_control(name, material, seen.class_means, margins) for name in _CONTROLS)
    own_images = {"images": seen.own_images, **_summary(seen.mean_own_maps, seen.class_means)}
    return CheckResult(
        "one-class", material.method, score, "similarity to the own class minus that to the others (Pearson)", criteria,
        controls, judge(criteria, controls),
        {
            "classes": list(material.test.label_names),
            "images": options.images,
            "identified": int(identified.sum()),
            "identified_share": share_of(identified).as_dict(),
            "tables": {name: _table(seen.mean_maps, seen.class_means, name).tolist() for name in SIMILARITIES},
            "other_readings": _other_readings(material, seen.mean_maps, seen.class_means),
            "own_images": own_images,
            "one_local_map": _summary(seen.local_maps, seen.class_means),
        },
        {
            "mean maps": torch.from_numpy(seen.mean_maps),
            "local maps": torch.from_numpy(seen.local_maps),
            "local images": seen.local_images,
            "class means": torch.from_numpy(seen.class_means),
        },
    )  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    """What the networks see, one per class: all pictures are (classes, height, width)."""

    mean_maps: Picture
    """Over the same images for all."""
    mean_own_maps: Picture
    """Over images of the network's own class."""
    local_maps: Picture
    """Of one image of the own class."""
    local_images: torch.Tensor
    class_means: Picture
    own_images: int
    """How many images of the own class there were, at least."""


def _explain(material: Material, options: OneClassOptions) -> _Seen:
    """Train the networks and explain them; raise `InputError` where there is one class, or no image of one."""
    classes = len(material.test.label_names)
    if classes < 2:
        raise InputError(
            f"this check needs at least 2 classes; {material.test.name} has {classes}. Give labelled images."
        )
    factory, counts = material.needed("factory"), _own_counts(material, options.own_images)
    shared = material.test_images[material.sample(options.images)]
    encoders = factory(lessons(material))
    own = [material.test_images[material.sample(count, label)] for label, count in enumerate(counts)]
    of_shared = [material.maps(encoder, shared) for encoder in encoders]
    of_own = [material.maps(encoder, images) for encoder, images in zip(encoders, own, strict=True)]
    return _Seen(
        mean_maps=_means(of_shared),
        mean_own_maps=_means(of_own),
        local_maps=np.stack([pictures[0] for pictures in of_own]),
        local_images=torch.stack([images[0] for images in own]),
        class_means=_means([CONTROLS["mean intensity"](_of_class(material, k), 0) for k in range(classes)]),
        own_images=min(counts),
    )


def _own_counts(material: Material, images: int) -> list[int]:
    """Say how many test images of its own each class is explained on; raise `InputError` where there are none."""
    counts = [min(images, len(_of_class(material, label))) for label in range(len(material.test.label_names))]
    if 0 in counts:
        missing = material.test.label_names[counts.index(0)]
        raise InputError(f"this check needs test images of every class; {material.test.name} has none of {missing}.")
    return counts


def _of_class(material: Material, label: int) -> torch.Tensor:
    return material.test_images[torch.from_numpy(material.labels == label)]


def _means(groups: list[Picture]) -> Picture:
    """Average each group of pictures: (groups, height, width); a picture stays as it is."""
    return np.stack([group if group.ndim == 2 else group.mean(axis=0) for group in groups])


def _table(maps: Picture, means: Picture, measure: str) -> Numbers:
    """Compare each network's map with each class's mean image: (networks, classes)."""
    return np.array([[SIMILARITIES[measure](saliency, mean) for mean in means] for saliency in maps])


def _identified(table: Numbers) -> Numbers:
    """Say of each network whether its own class is the one that it resembles most; a tie is no."""
    others = table - np.diag(np.full(len(table), np.inf))
    return np.diag(table) > others.max(axis=1)


def _margins(table: Numbers) -> Numbers:
    """Return for each network its own class's similarity minus the mean of the others'."""
    count = len(table)
    return np.diag(table) - (table.sum(axis=1) - np.diag(table)) / (count - 1)


def _other_readings(material: Material, maps: Picture, means: Picture) -> dict[str, int]:
    """Count the networks identified by other measures and other pictures of a class; they do not decide the verdict.

    "what is special" compares each map less the mean of all maps with each mean image less the mean of all.
    """
    variances = np.stack([CONTROLS["pixel variance"](_of_class(material, k), 0) for k in range(len(means))])
    special = maps - maps.mean(axis=0), means - means.mean(axis=0)
    of_variance = maps - maps.mean(axis=0), variances - variances.mean(axis=0)
    counted = {
        "by Spearman": _table(maps, means, "spearman"),
        "by SSIM": _table(maps, means, "ssim"),
        "with each class's pixel variance": _table(maps, variances, "pearson"),
        "what is special, with mean images": _table(*special, "pearson"),
        "what is special, with pixel variances": _table(*of_variance, "pearson"),
    }
    return {name: int(_identified(table).sum()) for name, table in counted.items()}


def _summary(maps: Picture, means: Picture) -> dict[str, float]:
    table = _table(maps, means, "pearson")
    return {
        "identified": int(_identified(table).sum()),
        "own_class": float(np.diag(table).mean()),
        "other_classes": float((table.sum() - np.trace(table)) / (len(table) * (len(table) - 1))),
    }


def _control(name: str, material: Material, means: Picture, margins: Numbers) -> Control:
    """Put a control, made from the images of each class, through the same comparison."""
    made = np.stack([CONTROLS[name](_of_class(material, k), material.seed + k) for k in range(len(means))])
    found = _margins(_table(made, means, "pearson"))
    return Control(name, mean_of(found), mean_of(margins - found))
