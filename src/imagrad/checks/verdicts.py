"""What a check returns, and how its verdict follows: fails; passes; passes, but no better than a control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch

from imagrad.checks.intervals import Estimate

Outcome = Literal["fails", "passes", "passes, but no better than"]


@dataclass(frozen=True)
class Criterion:
    """A threshold, fixed before the run, and what was measured."""

    text: str
    """What must be, with the threshold in words."""
    measured: float
    is_met: bool

    def __str__(self) -> str:
        """Write it on one line."""
        return f"{'met' if self.is_met else 'NOT met'}: {self.text}; measured {self.measured:.4g}"


def at_least(text: str, measured: float, threshold: float) -> Criterion:
    """State a criterion that needs `threshold` or more; NaN is less than anything."""
    return Criterion(f"{text} at least {threshold:.3g}", measured, measured >= threshold)


def at_most(text: str, measured: float, threshold: float) -> Criterion:
    """State a criterion that allows `threshold` at most; NaN is more than anything."""
    return Criterion(f"{text} at most {threshold:.3g}", measured, measured <= threshold)


@dataclass(frozen=True)
class Control:
    """A ranking that needs no attribution, put through the same check."""

    name: str
    score: Estimate
    lead: Estimate
    """The method's score minus the control's, paired; above 0 where the method is better."""


@dataclass(frozen=True)
class Verdict:
    """The outcome, and why."""

    outcome: Outcome
    reason: str
    no_better_than: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write it in one sentence."""
        controls = f" {', '.join(self.no_better_than)}" if self.no_better_than else ""
        return f"{self.outcome}{controls}: {self.reason}"


@dataclass(frozen=True)
class CheckResult:
    """What a check of one attribution method found."""

    check: str
    method: str
    score: Estimate
    """Higher is better; `score_is` says what it is."""
    score_is: str
    criteria: tuple[Criterion, ...]
    controls: tuple[Control, ...]
    verdict: Verdict
    numbers: dict[str, Any] = field(default_factory=dict[str, Any])
    """All else that was measured, as plain JSON values."""
    arrays: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor], repr=False)
    """Maps and curves, for figures."""

    @property
    def passed(self) -> bool:
        """Say whether the check was passed, if only as well as a control passes it."""
        return self.verdict.outcome != "fails"

    def __str__(self) -> str:
        """Write verdict, score, criteria and controls, a line each."""
        lines = [f"{self.check}, {self.method}: {self.verdict}", f"  {self.score_is}: {self.score}"]
        lines += [f"  {criterion}" for criterion in self.criteria]
        lines += [f"  control {control.name}: {control.score}; lead {control.lead}" for control in self.controls]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return all but the arrays as plain JSON values."""
        return {
            "check": self.check,
            "method": self.method,
            "passed": self.passed,
            "verdict": str(self.verdict),
            "no_better_than": list(self.verdict.no_better_than),
            "score": self.score.as_dict(),
            "score_is": self.score_is,
            "criteria": [asdict(criterion) for criterion in self.criteria],
            "controls": [asdict(control) for control in self.controls],
            **self.numbers,
        }


def judge(criteria: Sequence[Criterion], controls: Sequence[Control]) -> Verdict:
    """Fail where a criterion is not met; else name the controls that the method does not lead with 95 % confidence."""
    unmet = [criterion for criterion in criteria if not criterion.is_met]
    if unmet:
        missed = "; ".join(f"{criterion.text}, but {criterion.measured:.3g} was measured" for criterion in unmet)
        return Verdict("fails", f"it needs {missed}")
    better = tuple(control.name for control in controls if control.lead.low <= 0)
    if better:
        leads = "; ".join(f"{control.name} {control.lead}" for control in controls if control.name in better)
        return Verdict(
            "passes, but no better than",
            f"all criteria are met, and the paired lead over a control is not above 0 with 95 % confidence: {leads}",
            better,
        )
    return Verdict("passes", "all criteria are met, and every control is beaten with 95 % confidence")
