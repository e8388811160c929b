"""Sanity Check-2: shifts of planted bumps, to a tenth of a pixel; networks in all corners."""

import numpy as np
import pytest
import torch
from scipy.ndimage import shift as moved_by

from imagrad.checks.material import Material
from imagrad.checks.options import TranslationOptions
from imagrad.checks.translation import centroid_shift, lessons, phase_shift, translation
from imagrad.errors import InputError

from .planted import PLANTED, remembering


def bumps(down=0.0, across=0.0, size=42):
    """Three smooth hills of different height, in the middle of a canvas."""
    rows, columns = np.mgrid[:size, :size].astype(float)
    places = [(20, 18, 1.0), (24, 22, 0.7), (17, 24, 0.5)]
    return sum(
        height * np.exp(-((rows - row - down) ** 2 + (columns - column - across) ** 2) / 6)
        for row, column, height in places
    )


SHIFTS = [(0, 0), (-7, -7), (7, -7), (3, 5), (0.5, -0.3), (-6.6, 7.2)]


@pytest.mark.parametrize("shift", SHIFTS)
def test_phase_shift_is_exact_to_a_tenth_of_a_pixel(shift):
    assert phase_shift(bumps(), bumps(*shift)) == pytest.approx(shift, abs=0.051)
    assert phase_shift(bumps(), 3 * bumps(*shift) + 5) == pytest.approx(shift, abs=0.051), "level and scale count"


@pytest.mark.parametrize("shift", SHIFTS)
def test_centroid_shift(shift):
    # the hills are cut off at their median, and by the canvas: 1e-3 of a pixel
    assert centroid_shift(bumps(), 3 * bumps(*shift)) == pytest.approx(shift, abs=1e-3)


def test_shifts_of_noisy_maps():
    noise = np.random.default_rng(0).normal(0, 0.05, (2, 42, 42))
    moved = moved_by(bumps(), (-7, 4), order=1)
    assert phase_shift(bumps() + noise[0], moved + noise[1]) == pytest.approx((-7, 4), abs=0.2)


@pytest.mark.parametrize("measure", [phase_shift, centroid_shift])
def test_where_nothing_stands_out_nothing_has_moved(measure):
    flat, pit = np.ones((9, 9)), np.ones((9, 9))
    pit[4, 4] = 0
    for pair in [(flat, flat), (flat, bumps(size=9)), (bumps(size=9), flat)]:
        assert measure(*pair).tolist() == [0, 0]
    assert centroid_shift(pit, pit).tolist() == [0, 0]


# --- the check ---


def test_a_network_is_trained_in_the_centre_and_in_each_corner():
    material = PLANTED["translation"].material()
    found = lessons(material, TranslationOptions(corners="all"))
    corners = ["top-left", "top-right", "bottom-left", "bottom-right"]
    assert [lesson.arrangement for lesson in found] == [f"{place}:12" for place in ("centre", *corners)]
    assert {lesson.data for lesson in found} == {"digits"}
    assert [lesson.arrangement for lesson in lessons(material, TranslationOptions(canvas=15))] == [
        "centre:15",
        "top-left:15",
    ]


def test_the_true_shift_of_every_corner_is_found():
    result = translation(PLANTED["translation"].material(), TranslationOptions(images=5, corners="all", canvas=14))
    true = [corner["true_shift"] for corner in result.numbers["corners"]]
    assert true == [[-3, -3], [-3, 3], [3, -3], [3, 3]]
    for corner in result.numbers["corners"]:
        assert corner["shift_by_phase"] == corner["true_shift"]
        assert corner["shift_by_centroid"] == pytest.approx(corner["true_shift"], abs=1e-6)
    assert result.passed and result.score.value == 1
    assert len(result.criteria) == 8


@pytest.mark.parametrize(("off", "passes"), [(0, True), (1, False), (4, False)])
def test_a_map_that_moves_too_little_fails(off, passes):
    """The images move by 4 up and 4 left; a fifth of that, 1.13 pixels, is allowed."""

    def explain(encoder, images, seed):
        at_the_corner = encoder.mean[..., :8, :8].sum() > encoder.mean[..., 4:12, 4:12].sum()
        return encoder.mean.roll((off, off) if at_the_corner else (0, 0), dims=(-2, -1)).expand(images.shape)

    result = translation(PLANTED["translation"].material(explain=explain), TranslationOptions(images=5, canvas=16))
    error = off * 2**0.5
    (corner,) = result.numbers["corners"]
    assert corner["true_shift"] == [-4, -4] and corner["error_by_phase"]["value"] == pytest.approx(error, abs=1e-9)
    assert result.score.value == pytest.approx(1 - off / 4)
    assert [criterion.is_met for criterion in result.criteria] == [passes, passes]
    assert all("at most 1.13" in criterion.text for criterion in result.criteria)


def test_the_upper_end_of_the_error_counts():
    """Half of the maps have not moved: their mean stands right by phase, but not surely."""

    def explain(encoder, images, seed):
        kept = encoder.mean.expand(images.shape).clone()
        at_the_corner = encoder.mean[..., :8, :8].sum() > encoder.mean[..., 4:12, 4:12].sum()
        if at_the_corner:
            kept[: len(kept) // 2 - 1] = kept[0].roll((4, 4), dims=(-2, -1))
        return kept

    result = translation(PLANTED["translation"].material(explain=explain), TranslationOptions(images=20, canvas=16))
    error = result.numbers["corners"][0]["error_by_phase"]
    assert error["value"] < 1.13 < error["high"] and not result.passed
    highest = [result.numbers["corners"][0][f"error_by_{how}"]["high"] for how in ("phase", "centroid")]
    assert [criterion.measured for criterion in result.criteria] == highest


def test_leads_over_controls():
    result = translation(PLANTED["translation"].material(), TranslationOptions(images=20))
    leads = {control.name: control.lead for control in result.controls}
    assert leads["centre distance"].low == 1, "the centre does not move with the images"
    assert leads["random"].low > 0
    assert result.verdict.no_better_than == ("pixel variance", "mean intensity")


def test_colour_images(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.random((40, 3, 8, 8)) * (rng.random((1, 1, 8, 8)) > 0.7)
    np.savez(tmp_path / "colour.npz", images=images, labels=np.arange(40) % 2)
    material = Material(str(tmp_path / "colour.npz"), "mean", lambda e, x, s: e.mean + 0 * x, factory=remembering())
    assert translation(material, TranslationOptions(images=5)).passed


@pytest.mark.parametrize("canvas", [8, 3])
def test_a_canvas_without_room(canvas):
    with pytest.raises(InputError, match=f"`canvas` must be larger than the images, 8 x 8; got {canvas}"):
        translation(PLANTED["translation"].material(), TranslationOptions(images=5, canvas=canvas))


def test_an_unknown_corner():
    with pytest.raises(InputError, match=r"`corners` must be all or one of: top-left, .*; got 'middle'"):
        translation(PLANTED["translation"].material(), TranslationOptions(images=5, corners="middle"))


def test_the_factory_gets_all_lessons_at_once():
    calls = []

    def factory(taught):
        calls.append([lesson.name for lesson in taught])
        return remembering()(taught)

    translation(PLANTED["translation"].material(factory=factory), TranslationOptions(images=5))
    assert calls == [["centre", "top-left"]]
    assert torch.is_tensor(remembering()(lessons(PLANTED["translation"].material(), TranslationOptions()))[0].mean)
