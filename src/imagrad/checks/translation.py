"""Sanity Check-2: when all digits stand in a corner of a larger canvas, the map must stand there too (Fig. 9)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass
from skimage.registration import phase_cross_correlation

from imagrad.checks.controls import CONTROLS
from imagrad.checks.intervals import Estimate, Numbers, bootstrap
from imagrad.checks.material import CHECKS, Material
from imagrad.checks.options import TranslationOptions
from imagrad.checks.similarity import Picture, is_constant
from imagrad.checks.verdicts import CheckResult, Control, Criterion, at_most, judge
from imagrad.data.arrangements import CENTRE, CORNERS, Arrangement, parse_arrangement
from imagrad.errors import InputError
from imagrad.training.factory import Lesson

_LARGEST_ERROR = 0.2  # of the length of the true shift: 2 pixels for 7 down and 7 across
_PARTS_OF_A_PIXEL = 10
_CONTROLS = ("random", "centre distance", "pixel variance", "mean intensity")


def lessons(material: Material, options: TranslationOptions) -> list[Lesson]:
    """List what this check trains: a network for each corner, and one for the centre."""
    size = _canvas(material, options)
    places = [CENTRE, *_corners(options)]
    return [Lesson(place, material.train_selection(), f"{place}:{size}") for place in places]


@CHECKS.register("translation")
def translation(material: Material, options: TranslationOptions) -> CheckResult:
    """Sanity Check-2: with all images in a corner of a larger canvas, the map stands in that corner (Fig. 9).

    The shift of the mean map is measured against that of a network trained alike on centred images, by phase
    cross-correlation and by the centre of mass. The score is 1 minus the error of the first over the length of the
    true shift, averaged over the corners: 1 is exact, 0 as good as not moved.
    """
    taught = lessons(material, options)
    images = material.test_images[material.sample(options.images)]
    encoders = material.needed("factory")(taught)
    placed = [parse_arrangement(lesson.arrangement) for lesson in taught]
    maps = [
        material.maps(encoder, arrangement.apply(images)) for encoder, arrangement in zip(encoders, placed, strict=True)
    ]
    corners = [
        _Corner(arrangement.place, _true_shift(placed[0], arrangement, images), maps[0], of_corner, material.seed)
        for arrangement, of_corner in zip(placed[1:], maps[1:], strict=True)
    ]
    score = _mean([corner.score() for corner in corners])
    criteria = tuple(criterion for corner in corners for criterion in corner.criteria())
    controls = tuple(_control(name, placed, images, corners, material.seed) for name in _CONTROLS)
    return CheckResult(
        "translation", material.method, score, "1 - error of the measured shift / length of the true shift", criteria,
        controls, judge(criteria, controls),
        {"images": options.images, "canvas": placed[0].size, "corners": [corner.as_dict() for corner in corners]},
        {
            "mean maps": torch.from_numpy(np.stack([pictures.mean(axis=0) for pictures in maps])),
            "local maps": torch.from_numpy(np.stack([pictures[0] for pictures in maps])),
            "local images": torch.stack([arrangement.apply(images[:1])[0] for arrangement in placed]),
        },
    )  # fmt: skip


@dataclass(frozen=True)
class _Corner:
    """The maps of one corner's network beside those of the centre's, image by image."""

    place: str
    true: Numbers
    """Rows and columns by which the images were moved."""
    centred: Picture
    moved: Picture
    seed: int

    def error(self, rows: NDArray[np.intp], how: str) -> float:
        """Return the distance, in pixels, between the true shift and that of the mean of the maps in these rows."""
        measured = SHIFTS[how](self.centred[rows].mean(axis=0), self.moved[rows].mean(axis=0))
        return float(np.linalg.norm(measured - self.true))

    @cached_property
    def errors(self) -> dict[str, Estimate]:
        """Estimate the error by each way to measure it, resampling the images."""
        return {how: bootstrap(lambda rows: self.error(rows, how), len(self.centred), self.seed) for how in SHIFTS}  # noqa: B023

    def score(self) -> Estimate:
        """Turn the error of phase cross-correlation into the score of this corner."""
        return _scored(self.errors["phase"], self.true)

    def criteria(self) -> list[Criterion]:
        """State what this corner's shift must be, by both ways to measure it."""
        limit = _LARGEST_ERROR * float(np.linalg.norm(self.true))
        return [
            at_most(f"{self.place}: upper end of the error in pixels, by {SHIFT_NAMES[how]},", error.high, limit)
            for how, error in self.errors.items()
        ]

    def as_dict(self) -> dict[str, object]:
        """Return what was measured as plain JSON values."""
        centre, moved = self.centred.mean(axis=0), self.moved.mean(axis=0)
        return {
            "corner": self.place,
            "true_shift": self.true.tolist(),
            **{f"shift_by_{how}": shift(centre, moved).tolist() for how, shift in SHIFTS.items()},
            **{f"error_by_{how}": error.as_dict() for how, error in self.errors.items()},
        }


def phase_shift(reference: Picture, moved: Picture) -> Numbers:
    """Measure by how many rows and columns `moved` is shifted: phase cross-correlation, to a tenth of a pixel.

    Guizar-Sicairos, Thurman and Fienup 2008. Both maps are freed of their mean first. A constant map has not moved: 0.
    """
    if is_constant(reference) or is_constant(moved):
        return np.zeros(2)
    correlate: Any = phase_cross_correlation  # its type leaves out that `normalization` may be None
    shift, _, _ = correlate(
        moved - moved.mean(), reference - reference.mean(), upsample_factor=_PARTS_OF_A_PIXEL, normalization=None
    )
    return np.asarray(shift, dtype=np.float64)


def centroid_shift(reference: Picture, moved: Picture) -> Numbers:
    """Measure the shift between the centres of mass of what stands out: the maps less their median, cut off at 0.

    Where nothing stands out, as in a constant map, nothing has moved: 0.
    """
    standing_out = [np.clip(x - np.median(x), 0, None) for x in (reference, moved)]
    if is_constant(reference) or is_constant(moved) or not all(x.any() for x in standing_out):
        return np.zeros(2)
    before, after = (np.asarray(center_of_mass(x)) for x in standing_out)
    return after - before


SHIFTS = {"phase": phase_shift, "centroid": centroid_shift}
SHIFT_NAMES = {"phase": "phase cross-correlation", "centroid": "centre of mass"}


def _canvas(material: Material, options: TranslationOptions) -> int:
    height, width = material.test.image_shape[1:]
    size = options.canvas or max(height, width) * 3 // 2
    if size <= max(height, width):
        raise InputError(f"`canvas` must be larger than the images, {height} x {width}; got {size}.")
    return size


def _corners(options: TranslationOptions) -> tuple[str, ...]:
    if options.corners != "all" and options.corners not in CORNERS:
        raise InputError(f"`corners` must be all or one of: {', '.join(CORNERS)}; got {options.corners!r}.")
    return CORNERS if options.corners == "all" else (options.corners,)


def _true_shift(centred: Arrangement, moved: Arrangement, images: torch.Tensor) -> Numbers:
    height, width = images.shape[-2:]
    return np.subtract(moved.offset(height, width), centred.offset(height, width)).astype(np.float64)


def _scored(error: Estimate, true: Numbers) -> Estimate:
    """Turn an error into a score."""
    length = float(np.linalg.norm(true))
    return Estimate(*(1 - x / length for x in (error.value, error.high, error.low)))


def _mean(estimates: list[Estimate]) -> Estimate:
    return Estimate(*(float(np.mean([getattr(x, end) for x in estimates])) for end in ("value", "low", "high")))


def _control(name: str, placed: list[Arrangement], images: torch.Tensor, corners: list[_Corner], seed: int) -> Control:
    """Put a control through the same measurement; the lead over it is resampled with the method's maps."""
    made = [CONTROLS[name](arrangement.apply(images), seed) for arrangement in placed]
    errors = [float(np.linalg.norm(phase_shift(made[0], x) - c.true)) for x, c in zip(made[1:], corners, strict=True)]
    fixed = [_scored(Estimate(e, e, e), c.true) for e, c in zip(errors, corners, strict=True)]
    scores = [corner.score() for corner in corners]
    control, method = _mean(fixed), _mean(scores)
    lead = Estimate(method.value - control.value, method.low - control.value, method.high - control.value)
    return Control(name, control, lead)
