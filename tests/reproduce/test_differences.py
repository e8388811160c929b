"""The paragraphs on differences say what the numbers say."""

from imagrad.checks.intervals import Estimate
from imagrad.checks.verdicts import CheckResult, Verdict
from imagrad.reproduce.differences import differences_of


def result(check, **numbers):
    return CheckResult(
        check, "saliency", Estimate(0.25, 0.2, 0.3), "a score", (), (), Verdict("fails", "planted"), numbers
    )


def curves(most, least):
    return {"most": [{"value": value} for value in most], "least": [{"value": value} for value in least]}


def strokes(own, other):
    numbers = {"own_map": {"value": own}, "map_of_another_image": {"value": other}}
    (paragraph,) = differences_of("mnist", {"locality": result("locality", strokes=numbers)})
    return paragraph


def test_corruption_tells_every_reading():
    flipped, local = curves([0.3, 0.2], [0.9, 0.8]), curves([0.4, 0.1], [0.7, 0.6])
    erased = {"global_map": curves([0.95, 0.5], [0.991, 0.99]), "local_map": curves([0.97, 0.6], [0.96, 0.95])}
    numbers = {"percentages": [10.0, 30.0], "global_map": flipped, "local_map": local, "erased": erased}
    checks = {"corruption": result("corruption", **numbers, local_scores=[0.5, 0.25, 0.75])}
    most, least = differences_of("mnist", checks)
    assert "With 10, 30 % flipped" in most and "falls to 30.0, 20.0 % by the global map and 40.0, 10.0 % by" in most
    assert "3 of them score from 0.25 to 0.75" in most
    assert "become white: 95.0, 50.0 % by the global map, 97.0, 60.0 % by the local one" in most
    assert "border white: 90.0, 80.0 %" in least and "Erased: 99.1, 99.0 %" in least


def test_one_class_tells_other_measures():
    numbers = {"classes": ["0", "1"], "identified": 1, "other_readings": {"by Spearman": 2, "by SSIM": 0}}
    (paragraph,) = differences_of("mnist", {"one-class": result("one-class", **numbers)})
    assert "1 of 2 are identified; tried: by Spearman, 2; by SSIM, 0. The score is 0.250 (0.200 to 0.300)" in paragraph


def test_strokes_are_claimed_only_where_the_own_map_knows_more():
    assert "probability 0.80; by the map of another image, with probability 0.82. So a map shows where" in strokes(
        0.8, 0.82
    )
    assert strokes(0.8, 0.7).endswith("So a map shows the strokes of its image.")


def test_other_images_are_not_compared_with_the_paper():
    (paragraph,) = differences_of("digits", {"one-class": result("one-class")})
    assert paragraph.startswith("These images are digits, not the paper's MNIST")
    assert differences_of("mnist", {}) == ()
