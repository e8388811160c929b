"""`imagrad compare`: attribution methods, ranked by the sanity checks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.checks.options import OPTIONS
from imagrad.cli.conventions import Command, choose_folder, say
from imagrad.cli.studies import add_study_options, material_of
from imagrad.reproduce.presets import METHODS, PAPER, QUICK

_MANY = 2000  # test images


def _add_arguments(parser: ArgumentParser) -> None:
    add_study_options(parser)
    parser.add_argument(
        "--methods", type=str, nargs="+", default=list(METHODS), help="What is compared (`imagrad list methods`)."
    )
    parser.add_argument("--checks", type=str, nargs="+", default=list(OPTIONS), help="By which checks.")


def _run(options: Namespace) -> dict[str, Any]:
    from imagrad import runs
    from imagrad.attribution.contract import check_installed
    from imagrad.attribution.methods import METHODS as KNOWN
    from imagrad.checks.checks import CHECKS
    from imagrad.checks.comparison import compare
    from imagrad.figures import save_png_and_svg
    from imagrad.figures.checks import comparison_figure

    for method in options["methods"]:
        KNOWN[method]
        check_installed(method)
    for check in options["checks"]:
        CHECKS[check]
    out = choose_folder(options["out"], "compare")
    runs.refuse_used(out, but=("networks",))
    material = material_of(options, out, "saliency", classify="corruption" in options["checks"])
    preset = PAPER if len(material.test) >= _MANY else QUICK  # for how many images each check takes
    chosen = {check: (preset.checks | preset.compared_by)[check] for check in options["checks"]}
    rows = compare(material, options["methods"], chosen, told=say)
    settings = {name: value for name, value in options.as_dict().items() if name not in ("config", "json", "debug")}
    sizes = {name: asdict(told) for name, told in chosen.items()}
    runs.write_json(
        out / runs.CONFIG, {"format": runs.FORMAT, "command": "compare", "options": settings, "checks": sizes}
    )  # fmt: skip
    runs.write_json(out / runs.ENVIRONMENT, runs.environment())
    runs.write_json(out / runs.METRICS, {"rows": [row.as_dict() for row in rows]})
    figures: list[str] = []
    if rows[0].results:  # those that do not run on this network come last
        paths = save_png_and_svg(comparison_figure(rows), out / "figures", "comparison")
        figures = [str(path) for path in paths]
    return {"out": str(out), "rows": [row.as_dict() for row in rows], "figures": figures}


def _describe(result: dict[str, Any]) -> str:
    rows: list[dict[str, Any]] = result["rows"]
    checks = list(rows[0]["checks"])
    width = max(len(row["method"]) for row in rows)
    lines = [f"{'method':{width}}  mean rank  " + "  ".join(f"{check:>13}" for check in checks)]
    for row in rows:
        if row["not_run"]:
            continue
        cells = [
            f"{check['score']['value']:8.3f} {'pass' if check['passed'] else 'FAIL'}"
            for check in row["checks"].values()
        ]
        lines.append(f"{row['method']:{width}}  {row['mean_rank']:9.2f}  " + "  ".join(f"{cell:>13}" for cell in cells))
    lines += [f"{row['method']}: not run: {row['not_run']}" for row in rows if row["not_run"]]
    lines += [f"{row['method']}: {finding}" for row in rows for finding in row["findings"]]
    return "\n".join([*lines, f"numbers and figure: {result['out']}", *result["figures"]])


COMMAND = Command(
    "Rank attribution methods by the sanity checks, in one table and one figure.", _add_arguments, _run, _describe
)
