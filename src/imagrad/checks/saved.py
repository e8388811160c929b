"""A check's result as one file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imagrad import runs
from imagrad.checks.intervals import Estimate
from imagrad.checks.verdicts import CheckResult, Control, Criterion, Verdict
from imagrad.errors import CorruptDataError

_KIND = "check"


def save_check(result: CheckResult, path: Path) -> None:
    """Write numbers and arrays to one safetensors file, atomically."""
    verdict = {
        "outcome": result.verdict.outcome,
        "reason": result.verdict.reason,
        "no_better_than": list(result.verdict.no_better_than),
    }
    facts = result.as_dict() | {"kind": _KIND, "verdict": verdict, "numbers": result.numbers}
    runs.write_tensors(path, result.arrays, facts)


def load_check(path: Path) -> CheckResult:
    """Read what `save_check` wrote; raises `CorruptDataError` for anything else."""
    arrays, facts = runs.read_tensors(path)
    if facts.get("kind") != _KIND:
        raise CorruptDataError(f"{path} holds no result of a check.")
    verdict: dict[str, Any] = facts["verdict"]
    return CheckResult(
        facts["check"],
        facts["method"],
        Estimate(**facts["score"]),
        facts["score_is"],
        tuple(Criterion(**criterion) for criterion in facts["criteria"]),
        tuple(
            Control(control["name"], Estimate(**control["score"]), Estimate(**control["lead"]))
            for control in facts["controls"]
        ),
        Verdict(verdict["outcome"], verdict["reason"], tuple(verdict["no_better_than"])),
        facts["numbers"],
        arrays,
    )
