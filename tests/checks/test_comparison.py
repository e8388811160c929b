"""Methods ranked over checks; what does not run; what is remembered."""

from dataclasses import replace

import numpy as np
import pytest

from imagrad.checks.comparison import Row, compare, ranked
from imagrad.checks.intervals import Estimate
from imagrad.checks.material import Material
from imagrad.checks.options import LocalityOptions, RandomisationOptions
from imagrad.checks.verdicts import CheckResult, Verdict
from imagrad.errors import InputError, UnknownNameError
from imagrad.models.autoencoders import NetworkConfig, build

OPTIONS = {"locality": LocalityOptions(images=5), "randomisation": RandomisationOptions(images=5)}


def result(score, passed=True):
    verdict = Verdict("passes" if passed else "fails", "because")
    return CheckResult("c", "m", Estimate(score, score, score), "points", (), (), verdict)


def row(name, **scores):
    return Row(name, {check: result(*score) for check, score in scores.items()})


def test_methods_are_sorted_by_their_mean_rank():
    rows = ranked([row("a", x=(0.1,), y=(0.9,)), row("b", x=(0.8,), y=(0.8,)), row("c", x=(0.9,), y=(0.95,))])
    assert [(each.method, each.mean_rank) for each in rows] == [("c", 1), ("a", 2.5), ("b", 2.5)]


def test_one_that_passes_ranks_before_one_that_fails_with_a_higher_score():
    rows = ranked([row("fails", x=(0.9, False)), row("passes", x=(-2.0, True))])
    assert [(each.method, each.mean_rank) for each in rows] == [("passes", 1), ("fails", 2)]


def test_equal_ones_share_their_rank():
    rows = ranked([row("a", x=(0.5,)), row("b", x=(0.5,)), row("c", x=(0.1,))])
    assert [each.mean_rank for each in rows] == [1.5, 1.5, 3]


def test_what_did_not_run_comes_last_and_has_no_rank():
    rows = ranked([Row("none", {}, not_run="no ReLU"), row("a", x=(0.5,))])
    assert [each.method for each in rows] == ["a", "none"]
    plain = rows[1].as_dict()
    assert plain["mean_rank"] is None and plain["not_run"] == "no ReLU" and plain["checks"] == {}
    assert [each.method for each in ranked([Row("none", {}, not_run="why")])] == ["none"]


@pytest.fixture(scope="module")
def material():
    network = build(NetworkConfig("dense", (1, 8, 8), (6,), 3), seed=0).eval().requires_grad_(False)
    return Material("digits[:60]", "replaced", lambda e, x, s: x, encoder=network.encode)


def test_every_method_goes_through_every_check(material):
    told = []
    rows = compare(material, ["saliency", "gradient"], OPTIONS, told=told.append)
    assert told == ["comparing: saliency", "comparing: gradient"]
    assert {each.method for each in rows} == {"saliency", "gradient"}
    for each in rows:
        assert set(each.results) == set(OPTIONS) and all(found.method == each.method for found in each.results.values())
        assert 1 <= each.mean_rank <= 2 and each.not_run == ""
        assert set(each.as_dict()["checks"]) == set(OPTIONS)


def test_what_is_remembered_is_not_done_again(material):
    asked = []

    def remember(method, check, do):
        asked.append((method, check))
        return replace(result(0.5), method=method)

    rows = compare(material, ["saliency"], OPTIONS, remember)
    assert asked == [("saliency", "locality"), ("saliency", "randomisation")]
    assert rows[0].results["locality"].score.value == 0.5


def test_what_remembers_is_given_its_own_work(material):
    done = {}

    def remember(method, check, do):
        done[check] = do()
        return done[check]

    compare(material, ["gradient"], OPTIONS, remember)
    assert {check: found.check for check, found in done.items()} == {name: name for name in OPTIONS}


def test_a_method_that_the_encoder_does_not_allow_says_why(material):
    pytest.importorskip("captum")
    rows = compare(material, ["grad-cam", "gradient"], {"locality": LocalityOptions(images=5)})
    assert [each.method for each in rows] == ["gradient", "grad-cam"]
    assert (
        not rows[1].results
        and "needs images (n, channels, height, width) and a torch.nn.Conv2d" in rows[1].not_run
        and np.isnan(rows[1].mean_rank)
    )
    assert rows[0].results and rows[0].mean_rank == 1


@pytest.mark.parametrize(("methods", "options"), [([], OPTIONS), (["saliency"], {})])
def test_nothing_to_compare(material, methods, options):
    with pytest.raises(InputError, match="a comparison needs at least one method and one check"):
        compare(material, methods, options)


def test_an_unknown_method(material):
    with pytest.raises(UnknownNameError, match=r"unknown .*method 'salience'"):
        compare(material, ["salience"], OPTIONS)
