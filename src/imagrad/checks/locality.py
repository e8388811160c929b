"""How far local maps differ from the global one: section 6 of the paper says "not notably"."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from imagrad.checks.controls import CONTROLS
from imagrad.checks.intervals import Numbers, mean_of
from imagrad.checks.material import CHECKS, Material
from imagrad.checks.options import LocalityOptions
from imagrad.checks.similarity import SIMILARITIES, Picture, pictures
from imagrad.checks.verdicts import CheckResult, Control, at_least, judge

_STROKE = 100 / 255  # of the grey levels, as in the third check
_ALIKE = 0.8  # of the correlation: our reading of "not notably"


@CHECKS.register("locality")
def locality(material: Material, options: LocalityOptions) -> CheckResult:
    """How far local maps differ from the global one (section 6).

    Each image's map is compared with the mean of all others'. The score is the mean Pearson correlation. The control
    "the images" asks the same of the images themselves: if they differ no less, alike maps are no finding.
    """
    chosen = material.sample(options.images)
    images = material.test_images[chosen]
    maps = material.maps(material.needed("encoder"), images)
    found = {name: _to_the_others(maps, name) for name in SIMILARITIES}
    score = mean_of(found["pearson"])
    of_images = _to_the_others(pictures(images), "pearson")
    noise = np.stack([CONTROLS["random"](images, material.seed + k) for k in range(len(images))])
    of_noise = _to_the_others(noise, "pearson")
    controls = (
        Control("the images", mean_of(of_images), mean_of(found["pearson"] - of_images)),
        Control("random", mean_of(of_noise), mean_of(found["pearson"] - of_noise)),
    )
    criteria = (at_least("lower end of the mean correlation", score.low, _ALIKE),)
    return CheckResult(
        "locality", material.method, score, "correlation of a local map with the mean of all others", criteria,
        controls, judge(criteria, controls),
        {
            "images": options.images,
            **{name: _spread(values) for name, values in found.items()},
            "relative_distance": _spread(_distances(maps)),
            "strokes": _strokes(maps, pictures(images)),
            **_by_class(maps, material.labels[chosen] if material.test.labels is not None else None),
        },
        {"global map": torch.from_numpy(maps.mean(axis=0)), "local maps": torch.from_numpy(maps)},
    )  # fmt: skip


def _others(maps: Picture) -> Picture:
    """Return for each map the mean of all others."""
    return (maps.sum(axis=0) - maps) / (len(maps) - 1)


def _to_the_others(maps: Picture, measure: str) -> Numbers:
    """Compare each map with the mean of all others: (n,)."""
    pairs = zip(maps, _others(maps), strict=True)
    return np.array([SIMILARITIES[measure](own, others) for own, others in pairs])


def _distances(maps: Picture) -> Numbers:
    """Return the distance of each map from the mean of all others, relative to that mean's norm: (n,)."""
    others = _others(maps)
    norms = np.linalg.norm(others, axis=(1, 2))
    return np.linalg.norm(maps - others, axis=(1, 2)) / np.where(norms == 0, 1, norms)


def _spread(values: Numbers) -> dict[str, float]:
    """Describe a number with its spread over the images."""
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
    return {
        "mean": float(values.mean()), "standard_deviation": float(values.std(ddof=1)),
        "5%": float(low), "median": float(median), "95%": float(high), "smallest": float(values.min()),
    }  # fmt: skip


def _strokes(maps: Picture, images: Picture) -> dict[str, dict[str, float]]:
    """Estimate the probability that a stroke pixel (grey level above 100) has a larger value than a background pixel.

    For each image by its own map, and by that of the next image in the list: what the second reaches, a map owes to
    where strokes mostly are and not to this image.
    """
    neighbours = np.roll(maps, 1, axis=0)
    has_both = [k for k, image in enumerate(images) if (image > _STROKE).any() and (image <= _STROKE).any()]
    found = {
        name: [_separation(of_image[k], images[k] > _STROKE) for k in has_both]
        for name, of_image in (("own_map", maps), ("map_of_another_image", neighbours))
    }
    return {name: mean_of(values).as_dict() for name, values in found.items() if len(values) > 1}


def _separation(picture: Picture, strokes: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve (Mann and Whitney 1947), ties counting half."""
    ranks = np.asarray(stats.rankdata(picture)).reshape(picture.shape)
    inside, outside = int(strokes.sum()), int((~strokes).sum())
    return float((ranks[strokes].sum() - inside * (inside + 1) / 2) / (inside * outside))


def _by_class(maps: Picture, labels: NDArray[np.intp] | None) -> dict[str, float]:
    """Compare pairs of maps of images of the same class, and of different classes."""
    if labels is None:
        return {}
    flat = maps.reshape(len(maps), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    unit = centred / np.where(norms == 0, 1, norms)[:, None]
    correlations = unit @ unit.T
    same = labels[:, None] == labels[None]
    pairs = np.triu(np.ones_like(same), 1)
    within, between = same & pairs, ~same & pairs
    return {
        "pairs_of_one_class": float(correlations[within].mean()) if within.any() else 1.0,
        "pairs_of_two_classes": float(correlations[between].mean()) if between.any() else 1.0,
    }
