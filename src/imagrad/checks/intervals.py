"""Numbers with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Numbers = NDArray[np.float64]

CONFIDENCE = 0.95
_RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A number and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Write "0.812 (0.790 to 0.834)"."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def as_dict(self) -> dict[str, float]:
        """Return it as plain JSON values."""
        return {"value": self.value, "low": self.low, "high": self.high}


def mean_of(values: Any) -> Estimate:
    """Estimate a mean from independent values (n,): Student's t interval; one value has an endless one."""
    numbers = np.asarray(values, dtype=np.float64)
    mean = float(numbers.mean())
    if len(numbers) < 2:
        return Estimate(mean, -np.inf, np.inf)
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(numbers) - 1) * numbers.std(ddof=1) / len(numbers) ** 0.5)
    return Estimate(mean, mean - reach, mean + reach)


def share_of(hits: Any) -> Estimate:
    """Estimate a share from independent booleans (n,): the interval of Wilson 1927, which stays within 0 and 1."""
    numbers = np.asarray(hits, dtype=bool)
    count, share = len(numbers), float(numbers.mean())
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return Estimate(share, max(0.0, middle - reach), min(1.0, middle + reach))


def bootstrap(statistic: Callable[[NDArray[np.intp]], float], count: int, seed: int) -> Estimate:
    """Estimate `statistic`, a function of the indices of a sample of `count`: percentiles of 1000 resamples.

    Where they leave out the estimate itself, as for the distance from a truth that is met exactly, they are widened.
    """
    generator = np.random.default_rng(seed)
    resampled = [statistic(generator.integers(0, count, count)) for _ in range(_RESAMPLES)]
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value = statistic(np.arange(count))
    return Estimate(value, min(value, float(low)), max(value, float(high)))
