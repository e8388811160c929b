"""Every claim is decided by its threshold, and every quote stands in the paper."""

import re
from pathlib import Path

import pytest

from imagrad.checks.intervals import Estimate
from imagrad.checks.verdicts import CheckResult, Verdict
from imagrad.reproduce.claims import claims_of
from imagrad.training.config import TrainingConfig

PAPER = Path(__file__).parents[2].parent / "shared" / "paper"  # beside the repository; not part of it
SETTINGS = TrainingConfig("mnist").as_dict()


def result(check, numbers, outcome="passes"):
    score = Estimate(0.5, 0.4, 0.6)
    return CheckResult(check, "saliency", score, "a score", (), (), Verdict(outcome, "planted"), numbers)


def share(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def training(**changes):
    entries = {"name": "map entries computed anew", "count": 8, "worst": 1e-9, "limit": 1e-6}
    planted = {
        "training_images": 60000,
        "validation_images": 10000,
        "loss": 0.084,
        "validation_loss": 0.086,
        "epochs": 100,
        "certificate": {"passed": True, "checks": [entries, {"name": "norms", "count": 3, "worst": 1, "limit": 2}]},
    }
    return planted | changes


def corruption(clean=0.99, most=(0.999, 0.7, 0.4), least=(0.99, 0.99, 0.99), percentages=(10.0, 20.0, 30.0)):
    curves = {"most": [share(x) for x in most], "least": [share(x) for x in least]}
    local = {"most": [share(0.5)] * len(most), "least": [share(0.6)] * len(least)}
    numbers = {
        "percentages": list(percentages), "clean_accuracy": share(clean), "global_map": curves, "local_map": local,
        "erased": {"global_map": local, "local_map": curves},
    }  # fmt: skip
    return result("corruption", numbers)


def one_class(outcome="passes"):
    return result(
        "one-class", {"classes": list("0123456789"), "identified": 9, "own_images": {"identified": 10}}, outcome
    )


def translation(outcome="passes"):
    corner = {"shift_by_phase": [-7.1, -6.9], "shift_by_centroid": [-5.0, 4.0], "true_shift": [-7.0, -7.0]}
    return result("translation", {"corners": [corner]}, outcome)


def locality(low=0.6, outcome="passes"):
    own = {"value": 0.7, "low": low, "high": 0.8}
    return result("locality", {"strokes": {"own_map": own, "map_of_another_image": share(0.65)}}, outcome)


def found(quote, learnt=None, **checks):
    """Return the one claim whose quote has this part."""
    (claim,) = [
        claim for claim in claims_of(SETTINGS, learnt or {}, {each.check: each for each in checks.values()})
        if quote in claim.quote
    ]  # fmt: skip
    return claim


AT_TEN, AT_THIRTY = "reduced considerably from 99.9%", "[reduced] to 40%"
AGAIN, LEAST, LITTLE = "from 99.99% to 40%", "is unaltered when 30%", "had little effect"
FINAL, LIMIT = "in the range of 0.08-0.09", "limiting the binary cross-entropy"
SIZES, EXACT, ALIKE, STROKES = "60000 and 784", "analytic level accuracy", "not notably significant", "strokes show"
SHAPES, SHIFT = "very similar to the shape", "shift of the contours"

FAILED = {"passed": False, "checks": []}


@pytest.mark.parametrize(
    ("quote", "inside", "outside"),
    [
        (SIZES, training(), training(training_images=59999)),
        (SIZES, training(), training(validation_images=9999)),
        (FINAL, training(loss=0.0751), training(loss=0.0749)),  # 0.08 and 0.07, rounded as the paper rounds
        (FINAL, training(loss=0.0949), training(loss=0.0951)),
        (FINAL, training(validation_loss=0.0751), training(validation_loss=0.0749)),
        (FINAL, training(validation_loss=0.0949), training(validation_loss=0.0951)),
        (LIMIT, training(loss=0.1), training(loss=0.1001)),
        (LIMIT, training(validation_loss=0.1), training(validation_loss=0.1001)),
        (EXACT, training(), training(certificate=FAILED)),
    ],
)
def test_claims_about_the_training(quote, inside, outside):
    assert found(quote, inside).verdict == "reproduced"
    assert found(quote, outside).verdict == "differs"


@pytest.mark.parametrize(
    ("quote", "inside", "outside"),
    [
        (AT_TEN, corruption(most=(0.9491, 0, 0)), corruption(most=(0.9489, 0, 0))),  # 99.9 - 5 points
        (AT_THIRTY, corruption(most=(0, 0, 0.3501)), corruption(most=(0, 0, 0.3499))),  # 40 - 5
        (AT_THIRTY, corruption(most=(0, 0, 0.4499)), corruption(most=(0, 0, 0.4501))),  # 40 + 5
        (AGAIN, corruption(most=(0, 0, 0.3501)), corruption(most=(0, 0, 0.3499))),
        (AGAIN, corruption(most=(0, 0, 0.4499)), corruption(most=(0, 0, 0.4501))),
        (LEAST, corruption(least=(0, 0, 0.9801)), corruption(least=(0.99, 0.99, 0.9799))),  # 99 - 1 point
        (LITTLE, corruption(least=(0.9801, 0.99, 0.99)), corruption(least=(0.9799, 0.99, 0.99))),
        (LITTLE, corruption(least=(0.99, 0.9801, 0.99)), corruption(least=(0.99, 0.9799, 0.99))),
        (SHAPES, one_class(), one_class("fails")),
        (SHAPES, one_class("passes, but no better than"), one_class("fails")),
        (SHIFT, translation(), translation("fails")),
        (ALIKE, locality(), locality(outcome="fails")),
        (STROKES, locality(low=0.501), locality(low=0.499)),
    ],
)
def test_claims_about_the_checks(quote, inside, outside):
    assert found(quote, check=inside).verdict == "reproduced"
    assert found(quote, check=outside).verdict == "differs"


@pytest.mark.parametrize(
    ("quote", "told"),
    [
        (SIZES, "60000 training, 10000 test images"),
        (FINAL, "0.0840 on training, 0.0860 on test images, after 100 epochs"),
        (EXACT, "8 entries of the maps computed anew by complex128 steps: largest deviation 1.0e-09"),
        (AT_TEN, "99.9 % by the global map, 50.0 % by the one local map drawn; clean images 99.00 %; were they "
         "erased instead of flipped, 50.0 % and 99.9 %"),
        (AT_THIRTY, "40.0 % by the global map, 50.0 % by the one local map drawn; clean images 99.00 %"),
        (LEAST, "99.0 % by the global map, 60.0 % by the one local map drawn: 0.0 points below clean"),
        (SHAPES, "9 of 10 networks are identified by their mean map of the same images; 10 when each explains"),
        (SHIFT, "(-7.1, -6.9) by phase cross-correlation, (-5.0, +4.0) by the centre of mass, where the digits moved"),
        (STROKES, "probability 0.700 (0.600 to 0.800); with the map of another image 0.650"),
    ],
)  # fmt: skip
def test_what_was_measured_is_told(quote, told):
    everything = {each.check: each for each in (corruption(), one_class(), translation(), locality())}
    assert told in found(quote, training(), **everything).measured


def test_what_was_not_run_is_not_measured():
    nothing = claims_of(SETTINGS, {}, {})
    assert [claim.verdict for claim in nothing if claim.quote] == ["not measured"] * len(
        [c for c in nothing if c.quote]
    )
    everything = {each.check: each for each in (corruption(), one_class(), translation(), locality())}
    full = claims_of(SETTINGS, training(), everything)
    assert sorted(claim.quote for claim in full) == sorted(claim.quote for claim in nothing), "none is left out"
    assert [claim.quote for claim in full if claim.verdict == "not measured"] == ["saves a lot of computational effort"]


def test_percentages_that_the_paper_does_not_have_measure_nothing():
    other = corruption(percentages=(5.0, 20.0, 30.0))
    for quote in (AT_TEN, AT_THIRTY, AGAIN, LEAST, LITTLE):
        assert found(quote, check=other).verdict == "not measured"


def test_every_claim_has_its_section_and_its_words():
    claims = claims_of(SETTINGS, {}, {})
    for claim in claims:
        assert re.fullmatch(r"[1-8](\.[12])?(, check [1-3])?", claim.section), claim
        assert claim.measured
        assert claim.quote or claim.verdict == "not stated", "only what the paper does not state has no quote"
    assert len({claim.quote for claim in claims}) == len(claims)


def paper():
    """Return the sections of the paper by their numbers, white space made one."""
    pages = sorted(PAPER.glob("*.txt"))
    if not pages:
        pytest.skip("the paper's text is not at ../shared/paper")
    text = "\n".join(page.read_text() for page in pages)
    headings = list(re.finditer(r"^#*\s*\**([1-8](?:\.[12])?)\.? [A-Z].*$", text, re.MULTILINE))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return {
        heading[1]: " ".join(text[heading.start() : end].split())
        for heading, end in zip(headings, ends, strict=True)
    }  # fmt: skip


@pytest.mark.parametrize(
    "claim", [claim for claim in claims_of(SETTINGS, {}, {}) if claim.quote], ids=lambda c: c.quote
)
def test_quotes_are_verbatim_and_from_their_section(claim):
    section = paper()[claim.section.split(",")[0]]
    position = 0
    for fragment in re.split(r"\[[^\]]*\]", claim.quote):  # "[...]", or a word of ours in brackets
        words = " ".join(fragment.split())
        assert section.find(words, position) >= 0, f"{words!r} is not in section {claim.section}, or not in this order"
        position = section.find(words, position) + len(words)
