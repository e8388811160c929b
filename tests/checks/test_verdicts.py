"""Every outcome of a verdict, and the record that a check returns."""

import json

import numpy as np
import pytest

from imagrad.checks.intervals import Estimate
from imagrad.checks.verdicts import CheckResult, Control, Verdict, at_least, at_most, judge

MET, UNMET = at_least("this", 2.0, 1.0), at_most("that", 2.0, 1.0)


def control(name, low, high=1.0):
    return Control(name, Estimate(0.5, 0.4, 0.6), Estimate((low + high) / 2, low, high))


@pytest.mark.parametrize(
    ("made", "met"),
    [
        (at_least("x", 1.0, 1.0), True),
        (at_least("x", float(np.nextafter(1.0, 0)), 1.0), False),
        (at_least("x", np.nan, -np.inf), False),
        (at_most("x", 1.0, 1.0), True),
        (at_most("x", float(np.nextafter(1.0, 2)), 1.0), False),
        (at_most("x", np.nan, np.inf), False),
    ],
)
def test_a_threshold_itself_is_enough_and_no_number_is_not(made, met):
    assert made.is_met is met


def test_a_criterion_states_its_threshold():
    assert str(MET) == "met: this at least 1; measured 2"
    assert str(UNMET) == "NOT met: that at most 1; measured 2"


@pytest.mark.parametrize(
    ("criteria", "controls", "outcome", "no_better_than"),
    [
        ([MET], [], "passes", ()),
        ([MET], [control("a", 1e-9)], "passes", ()),
        ([MET], [control("a", 0.0)], "passes, but no better than", ("a",)),
        ([MET], [control("a", -0.1)], "passes, but no better than", ("a",)),
        ([MET], [control("a", -0.1), control("b", 0.1), control("c", 0.0)], "passes, but no better than", ("a", "c")),
        ([UNMET], [], "fails", ()),
        ([MET, UNMET], [control("a", 0.1)], "fails", ()),
        ([UNMET], [control("a", -0.1)], "fails", ()),
    ],
)
def test_every_outcome(criteria, controls, outcome, no_better_than):
    verdict = judge(criteria, controls)
    assert verdict.outcome == outcome and verdict.no_better_than == no_better_than


def test_a_verdict_says_why():
    assert str(judge([MET, UNMET], [])) == "fails: it needs that at most 1, but 2 was measured"
    found = str(judge([MET], [control("a", -0.5), control("b", 0.1)]))
    assert found.startswith("passes, but no better than a: all criteria are met")
    assert found.endswith("a 0.250 (-0.500 to 1.000)")
    assert str(judge([MET], [])).startswith("passes: all criteria are met")


@pytest.mark.parametrize(("outcome", "passed"), [("fails", False), ("passes", True), ("passes, but no better than", 1)])
def test_a_result_is_written_with_all_that_decided(outcome, passed):
    verdict = Verdict(outcome, "because", ("a",) if "but" in outcome else ())
    result = CheckResult("c", "m", Estimate(1, 0, 2), "points", (MET,), (control("a", 0.1),), verdict, {"extra": [1]})
    assert result.passed == passed
    assert str(result).splitlines() == [
        f"c, m: {verdict}",
        "  points: 1.000 (0.000 to 2.000)",
        "  met: this at least 1; measured 2",
        "  control a: 0.500 (0.400 to 0.600); lead 0.550 (0.100 to 1.000)",
    ]
    plain = result.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["passed"] == passed and plain["extra"] == [1] and plain["score"]["high"] == 2
    assert plain["criteria"] == [{"text": "this at least 1", "measured": 2.0, "is_met": True}]
