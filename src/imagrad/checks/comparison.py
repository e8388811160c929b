"""All attribution methods by all checks: one row a method, ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from imagrad.attribution.methods import attribute
from imagrad.checks.checks import CHECKS
from imagrad.checks.material import Material, by_method
from imagrad.checks.options import Options
from imagrad.checks.verdicts import CheckResult
from imagrad.errors import EncoderError, InputError

Remember = Callable[[str, str, Callable[[], CheckResult]], CheckResult]
"""Called with method, check, and what would do it; returns the result, from before or done now."""

_LOOKED_AT = 4  # images that a method's self-tests are run on


@dataclass(frozen=True)
class Row:
    """One method in all checks."""

    method: str
    results: Mapping[str, CheckResult]
    """By check; empty for a method that does not run on the encoder."""
    findings: tuple[str, ...] = ()
    """What its self-tests say on the encoder under check: a method that does not work as its authors say."""
    not_run: str = ""
    """Why it does not run on the encoder."""
    mean_rank: float = np.nan
    """Over the checks, 1 being the best."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "method": self.method,
            "mean_rank": None if np.isnan(self.mean_rank) else self.mean_rank,
            "findings": list(self.findings),
            "not_run": self.not_run,
            "checks": {name: result.as_dict() for name, result in self.results.items()},
        }


def compare(
    material: Material, methods: Sequence[str], options: Mapping[str, Options],
    remember: Remember = lambda method, check, do: do(), told: Callable[[str], None] = lambda text: None,
) -> list[Row]:  # fmt: skip
    """Put each method through each check of `options`; return a row each, the best mean rank first.

    In a check, those that pass rank before those that fail, and among them by score. A method that the encoder does
    not allow has no rank, and its reason in `not_run`. Raises `InputError` without checks or methods.
    """
    if not methods or not options:
        raise InputError("a comparison needs at least one method and one check.")
    rows = [_row(material, method, options, remember, told) for method in methods]
    return ranked(rows)


def _row(
    material: Material, method: str, options: Mapping[str, Options], remember: Remember, told: Callable[[str], None]
) -> Row:
    """Put one method through the checks."""
    told(f"comparing: {method}")
    try:
        images = material.test_images[material.sample(_LOOKED_AT)].to(material.device)
        looked_at = attribute(material.needed("encoder"), images, method=method, seed=material.seed)
    except EncoderError as error:
        return Row(method, {}, not_run=str(error))
    own = replace(material, method=method, explain=by_method(method))
    results = {
        check: remember(method, check, lambda check=check, chosen=chosen: CHECKS[check](own, chosen))
        for check, chosen in options.items()
    }
    return Row(method, results, tuple(finding.text for finding in looked_at.findings))


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Rank the methods in each check, and sort them by their mean rank; those that did not run come last."""
    ran = [row for row in rows if row.results]
    checks = list(ran[0].results) if ran else []
    ranks = np.array([_ranks([row.results[check] for row in ran]) for check in checks])  # (checks, methods)
    known = [replace(row, mean_rank=float(ranks[:, k].mean())) for k, row in enumerate(ran)]
    return sorted(known, key=lambda row: row.mean_rank) + [row for row in rows if not row.results]


def _ranks(results: Sequence[CheckResult]) -> Any:
    """Return the rank of each result, 1 for the best; equal ones share theirs."""
    merits = [result.score.value + 1000 * result.passed for result in results]  # scores are of the order of 1
    return stats.rankdata([-merit for merit in merits])
