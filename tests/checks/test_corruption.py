"""Sanity Check-3 against a count in loops; sides, controls, pairs; classifiers that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from imagrad.checks.corruption import corruption
from imagrad.checks.material import CHECKS
from imagrad.checks.options import CorruptionOptions
from imagrad.data.datasets import load_dataset
from imagrad.errors import ImageError, InputError
from imagrad.models.classifiers import ClassifierShape, build_classifier

from .planted import PLANTED, greedy_ranking, linear_classifier

OPTIONS = PLANTED["corruption"].options


def check(options=OPTIONS, **changes):
    return corruption(PLANTED["corruption"].material(**changes), options)


def right(picture, percentage, side):
    """Count in plain NumPy which test digits are still classified rightly; for pictures without ties."""
    test = load_dataset("digits:test")
    chosen = sorted(range(64), key=lambda pixel: picture.ravel()[pixel], reverse=side == "most")
    found = []
    for image, label in zip(test.images().numpy().reshape(360, 64), test.labels.tolist(), strict=True):
        seen = image.copy()
        for pixel in chosen[: round(percentage / 100 * 64)]:
            seen[pixel] = 0.0 if image[pixel] > 100 / 255 else 1.0
        logits = linear_classifier()(torch.from_numpy(seen).view(1, 1, 8, 8))
        found.append(int(logits.argmax()) == label)
    return np.array(found)


@pytest.fixture(scope="module")
def ranking():
    return np.random.default_rng(0).permutation(64).reshape(8, 8) / 64.0


@pytest.fixture(scope="module")
def counted(ranking):
    return {(p, side): right(ranking, p, side) for p in OPTIONS.percentages for side in ("most", "least")}


def test_accuracies_and_score_are_those_of_a_loop(ranking, counted):
    result = check(explain=lambda encoder, images, seed: torch.from_numpy(ranking).expand(images.shape))
    for side in ("most", "least"):
        found = result.numbers["global_map"][side]
        assert [each["value"] for each in found] == [counted[p, side].mean() for p in OPTIONS.percentages]
        wilson = stats.binomtest(int(counted[10, side].sum()), 360).proportion_ci(method="wilson")
        assert (found[0]["low"], found[0]["high"]) == pytest.approx((wilson.low, wilson.high), rel=1e-12)
    per_image = np.mean([counted[p, "least"] * 1.0 - counted[p, "most"] for p in OPTIONS.percentages], axis=0)
    interval = stats.ttest_1samp(per_image, 0).confidence_interval()
    assert (result.score.value, result.score.low, result.score.high) == pytest.approx(
        (per_image.mean(), interval.low, interval.high), rel=1e-12
    )


def test_leads_over_controls_are_paired(ranking, counted):
    """The variance of a difference is not the sum of the variances: the same images are in both."""
    result = check(explain=lambda encoder, images, seed: torch.from_numpy(ranking).expand(images.shape))
    assert {control.name for control in result.controls} == {
        "random", "centre distance", "pixel variance", "mean intensity",
    }  # fmt: skip
    random = next(control for control in result.controls if control.name == "random")
    picture = np.random.default_rng(0).random((8, 8))
    percentages = OPTIONS.percentages
    of_method = np.mean([counted[p, "least"] * 1.0 - counted[p, "most"] for p in percentages], axis=0)
    of_control = np.mean([right(picture, p, "least") * 1.0 - right(picture, p, "most") for p in percentages], axis=0)
    interval = stats.ttest_rel(of_method, of_control).confidence_interval()
    assert random.score.value == pytest.approx(of_control.mean(), rel=1e-12)
    assert (random.lead.low, random.lead.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_criteria_are_those_of_the_curves():
    result = check()
    clean, *apart, score, twice = result.criteria
    assert clean.measured == result.numbers["clean_accuracy"]["value"] and "at least 0.8" in clean.text
    curves = result.numbers["global_map"]
    for criterion, percentage, least, most in zip(apart, (10, 20, 30), curves["least"], curves["most"], strict=True):
        assert criterion.measured == least["low"] - most["high"] and f"at {percentage} %" in criterion.text
    assert score.measured == result.score.low and "at least 0.1" in score.text
    assert twice.measured == pytest.approx(1)


def test_a_poor_classifier_fails_the_check():
    result = check(replace(OPTIONS, least_clean_accuracy=0.99))
    assert not result.passed and "accuracy on clean images at least 0.99, but 0.864" in result.verdict.reason


def test_the_greedy_ranking_the_other_way_round_fails():
    upside_down = torch.from_numpy(40 - greedy_ranking())
    result = check(explain=lambda encoder, images, seed: upside_down.expand(images.shape))
    assert result.score.high < 0 and not result.passed


def test_a_control_that_is_as_good_is_named():
    from imagrad.checks.controls import CONTROLS

    picture = CONTROLS["pixel variance"](load_dataset("digits:test").images(), 0)
    result = check(explain=lambda encoder, images, seed: torch.from_numpy(picture).expand(images.shape))
    assert result.passed and "pixel variance" in result.verdict.no_better_than
    tied = next(control for control in result.controls if control.name == "pixel variance")
    assert tied.lead.value == tied.lead.low == 0, "the same ranking, tie by tie"


def test_ties_are_counted():
    assert check().numbers["tied_pixels"] == 24, "the greedy ranking places 40 of 64"
    assert check(explain=lambda encoder, images, seed: images * 0).numbers["tied_pixels"] == 64


def test_a_map_that_changes_with_the_seed_fails_however_good_it_is():
    def lucky(encoder, images, seed):
        kept = torch.from_numpy(greedy_ranking()) if seed == 0 else torch.rand(8, 8, dtype=torch.float64)
        return kept.expand(images.shape)

    result = check(explain=lucky)
    unmet = [criterion.text for criterion in result.criteria if not criterion.is_met]
    assert len(unmet) == 1 and "another seed" in unmet[0] and result.score.low > 0.5


def test_local_maps():
    """Each image's own map ranks the pixels of all images; the first is tried on all, others on fewer."""

    def explain(encoder, images, seed):
        good = torch.arange(len(images)).view(-1, 1, 1, 1) % 2 == 0
        return torch.where(good, torch.from_numpy(greedy_ranking()), torch.from_numpy(40 - greedy_ranking()))

    result = check(replace(OPTIONS, local_maps=10, corrupted_for_local=50), explain=explain)
    scores = result.numbers["local_scores"]
    assert len(scores) == len(result.numbers["local_maps"]) == 10
    assert {score > 0 for score in scores} == {True, False}
    widths = [each["most"][0]["high"] - each["most"][0]["low"] for each in result.numbers["local_maps"]]
    assert widths[0] < min(widths[1:]), "360 images, then 50"
    assert result.numbers["local_map"]["most"] == result.numbers["local_maps"][0]["most"]


def test_fewer_images_may_be_corrupted():
    result = check(replace(OPTIONS, corrupted_images=50))
    assert result.numbers["corrupted_images"] == 50
    with pytest.raises(InputError, match="`corrupted_images` is 361; digits:test has 360"):
        check(replace(OPTIONS, corrupted_images=361))


def test_examples_are_corrupted_by_the_local_map():
    result = check()
    clean, most = result.arrays["clean"], result.arrays["most 10 %"]
    assert clean.shape == most.shape == (8, 1, 8, 8)
    changed = ((clean != most) & (clean != 0) & (clean != 1)).any(dim=0)[0]
    flipped = np.isin(result.arrays["local map"], np.sort(result.arrays["local map"].ravel())[-6:])
    assert not (changed.numpy() & ~flipped).any()


# --- classifiers that do not fit ---


def test_a_classifier_of_other_images():
    other = build_classifier(ClassifierShape((1, 28, 28), tuple("0123456789")), 0)
    message = r"takes images of shape \(1, 28, 28\); those of digits:test have \(1, 8, 8\). Train one on these images"
    with pytest.raises(ImageError, match=message):
        check(classifier=other)


@pytest.mark.parametrize("classes", [3, 11])
def test_a_classifier_of_other_classes(classes):
    other = build_classifier(ClassifierShape((1, 8, 8), tuple(str(k) for k in range(classes))), 0)
    message = rf"one logit for each of the 10 classes of digits:test; for one image it gave \(1, {classes}\), not"
    with pytest.raises(InputError, match=message):
        check(classifier=other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"percentages": ()}, r"`percentages` must lie between 0 and 100; got \[\]"),
        ({"percentages": (0.0, 10.0)}, r"must lie between 0 and 100; got \[0\.0, 10\.0\]"),
        ({"percentages": (10.0, 100.0)}, "must lie between 0 and 100"),
        ({"percentages": (-5.0,)}, "must lie between 0 and 100"),
        ({"percentages": (10.0, 150.0)}, "must lie between 0 and 100"),
        ({"percentages": (float("nan"),)}, "must lie between 0 and 100"),
        ({"percentages": (20.0, 10.0)}, "`percentages` must rise"),
        ({"percentages": (10.0, 10.0)}, "`percentages` must rise"),
        ({"local_maps": 1}, "`local_maps` must be at least 2"),
        ({"corrupted_images": 0}, "`corrupted_images` must be at least 2"),
        ({"corrupted_images": -5}, "`corrupted_images` must be at least 2"),
        ({"corrupted_for_local": 0}, "`corrupted_for_local` must be at least 2"),
        ({"least_clean_accuracy": 99.0}, "`least_clean_accuracy` must be from 0 to 1; got 99"),
    ],
)
def test_options_that_cannot_be(change, message):
    with pytest.raises(InputError, match=message):
        CorruptionOptions(**change)


def test_the_check_is_registered_by_its_name():
    assert CHECKS["corruption"] is corruption
