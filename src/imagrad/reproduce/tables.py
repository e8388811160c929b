"""Results of checks as tables of texts, for the page and for CSV files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagrad.checks.comparison import Row
from imagrad.checks.verdicts import CheckResult, Control
from imagrad.reproduce.page import Table


def certificate_table(certificate: Mapping[str, Any]) -> Table:
    """List what was held against what, how often, and how far off the worst was."""
    rows = tuple(
        (
            check["name"],
            str(check["count"]),
            "" if check["worst"] is None else f"{check['worst']:.1e}",
            f"{check['limit']:.1e}",
        )
        for check in certificate["checks"]
    )
    return Table(
        f"The certificate of the maps in Figure 7: {'passed' if certificate['passed'] else 'FAILED'}.",
        ("what was held against what", "numbers", "worst deviation", "limit"),
        rows,
        note="As imagrad gives it with every map: relative deviations, or counts where a count must be 0.",
    )


def verdict_table(checks: Mapping[str, CheckResult]) -> Table:
    """List check, verdict and score."""
    rows = tuple(
        (name, str(result.verdict), f"{result.score.value:.4f}", f"{result.score.low:.4f}", f"{result.score.high:.4f}")
        for name, result in checks.items()
    )
    return Table("Verdicts.", ("check", "verdict", "score", "low", "high"), rows)


def check_table(result: CheckResult) -> Table:
    """List the criteria, which were fixed before the run, and the controls."""
    criteria = [
        (criterion.text, f"{criterion.measured:.4g}", "met" if criterion.is_met else "not met")
        for criterion in result.criteria
    ]
    controls = [(f"control: {control.name}", str(control.score), _lead(control)) for control in result.controls]
    return Table(
        f"Criteria, fixed before the run, and controls. Score ({result.score_is}): {result.score}; 95 % intervals.",
        ("what", "measured", "verdict"),
        tuple(criteria + controls),
    )


def _lead(control: Control) -> str:
    if control.lead.low > 0:
        return f"beaten by {control.lead}"
    relation = "not beaten" if control.lead.high < 0 else "no clear difference"
    return f"{relation}; lead {control.lead}"


def corruption_table(result: CheckResult) -> Table:
    """List the accuracies of every ranking: per cent, with Wilson's interval."""
    numbers = result.numbers
    header = ["ranking of the pixels"] + [
        f"{side} {percentage:g} %" for side in ("most", "least") for percentage in numbers["percentages"]
    ]
    named = {"global map": numbers["global_map"], "one local map": numbers["local_map"], **numbers["controls_curves"]}
    rows = [
        (name, *(_percent(cell) for side in ("most", "least") for cell in curves[side]))
        for name, curves in named.items()
    ]
    clean = _percent(numbers["clean_accuracy"])
    return Table(
        f"Accuracy in per cent on {numbers['corrupted_images']} test images after flipping pixels; clean images: "
        f"{clean}.",
        tuple(header),
        tuple(rows),
    )


def _percent(estimate: Mapping[str, float]) -> str:
    value, low, high = (100 * estimate[part] for part in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f}-{high:.1f})"


def layers_table(result: CheckResult) -> Table:
    """List how alike maps are before and after the layers are redrawn."""
    numbers: dict[str, Any] = result.numbers
    rows = [
        (
            f"redrawn down to {layer['redrawn_down_to']}",
            *(f"{layer[m]['value']:.3f}" for m in ("spearman", "pearson", "ssim")),
        )
        for layer in numbers["layers"]
    ]
    for key, name in (
        ("asked_twice", "the same network, asked with another seed"),
        ("shuffled", "trained on shuffled pixels"),
        ("shuffled_and_put_back", "the same, with the pixels put back"),
    ):
        if key in numbers:
            rows.append((name, f"{numbers[key]['value']:.3f}", "", ""))
    return Table(
        "Likeness with the maps of the trained network.", ("network", "Spearman", "Pearson", "SSIM"), tuple(rows)
    )


def comparison_table(rows: Sequence[Row]) -> Table:
    """List all methods by all checks: score, and whether it passes."""
    checks = list(rows[0].results)
    cells = [
        (row.method, f"{row.mean_rank:.1f}", *(_cell(row.results[check]) for check in checks))
        for row in rows
        if row.results
    ]
    cells += [(row.method, "", *("not run" for _ in checks)) for row in rows if not row.results]
    return Table(
        "Attribution methods by the checks: score, and fails (✗), passes (✓), or passes but no better than a control "
        "(=).",
        ("method", "mean rank", *checks),
        tuple(cells),
    )


def _cell(result: CheckResult) -> str:
    sign = {"fails": "✗", "passes": "✓"}.get(result.verdict.outcome, "=")
    return f"{result.score.value:.3f} {sign}"
