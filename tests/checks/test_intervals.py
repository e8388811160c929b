"""Intervals against SciPy, and against how often they hold the truth."""

import numpy as np
import pytest
from scipy import stats

from imagrad.checks.intervals import Estimate, bootstrap, mean_of, share_of


@pytest.mark.parametrize("count", [2, 3, 10, 1000])
def test_mean_is_students(count):
    values = np.random.default_rng(count).normal(3, 2, count)
    found, wanted = mean_of(values), stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), wanted.low, wanted.high), rel=1e-12)


def test_one_value_has_an_endless_interval_and_equal_ones_none():
    assert mean_of([2.5]) == Estimate(2.5, -np.inf, np.inf)
    assert mean_of([2.5, 2.5, 2.5]) == Estimate(2.5, 2.5, 2.5)


@pytest.mark.parametrize(("hits", "count"), [(0, 1), (1, 1), (0, 10), (10, 10), (3, 10), (9940, 10000), (1, 360)])
def test_share_is_wilsons(hits, count):
    found = share_of(np.arange(count) < hits)
    wanted = stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
    # the ends at 0 and 1 are differences of equal numbers
    assert (found.value, found.low, found.high) == pytest.approx((hits / count, wanted.low, wanted.high), abs=1e-15)


@pytest.mark.slow
def test_bootstrap_holds_the_truth_in_19_of_20_samples():
    """The mean of 50 normal numbers: percentiles come to some 93.5 % for so few."""
    rng, hits = np.random.default_rng(0), 0
    for seed in range(100):
        values = rng.normal(1, 1, 50)
        found = bootstrap(lambda rows, values=values: float(values[rows].mean()), 50, seed)
        hits += found.low <= 1 <= found.high
    assert 87 <= hits <= 99  # of 100 tries, with a standard error of 2.5


def test_bootstrap_is_as_wide_as_students_interval():
    values = np.random.default_rng(1).normal(size=400)
    found, wanted = bootstrap(lambda rows: float(values[rows].mean()), 400, 0), mean_of(values)
    assert found.value == pytest.approx(wanted.value)
    assert found.high - found.low == pytest.approx(wanted.high - wanted.low, rel=0.1)


def test_bootstrap_is_seeded():
    values = np.random.default_rng(1).normal(size=20)
    first, again, other = (bootstrap(lambda rows: float(values[rows].mean()), 20, seed) for seed in (0, 0, 1))
    assert first == again and first != other and first.value == other.value


def test_bootstrap_holds_its_own_estimate():
    """A distance from a truth that is met exactly: every resample is farther away."""
    half = np.random.default_rng(0).normal(size=50)
    values = np.concatenate([half, -half])
    found = bootstrap(lambda rows: abs(float(values[rows].mean())), 100, 0)
    assert found.low == found.value < 1e-15 < found.high


def test_an_estimate_is_written_with_its_interval():
    estimate = Estimate(0.81234, 0.79, 0.834)
    assert str(estimate) == "0.812 (0.790 to 0.834)"
    assert estimate.as_dict() == {"value": 0.81234, "low": 0.79, "high": 0.834}
