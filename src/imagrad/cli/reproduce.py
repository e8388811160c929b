"""`imagrad reproduce`: the paper from its first step to a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import Command, add_data_dir_option, add_device_option, choose_folder, resolve_device, say
from imagrad.cli.studies import time_left, training_told
from imagrad.errors import InputError
from imagrad.reproduce.family_presets import FAMILIES
from imagrad.reproduce.presets import PRESETS, Preset, preset_named

if TYPE_CHECKING:
    from imagrad.reproduce.study import Study


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--preset", default="quick", help=f"What is done: {', '.join([*PRESETS, *FAMILIES])}.")
    parser.add_argument(
        "--only", type=str, nargs="+", default=[],
        help="Only these steps: networks, maps, check1 to check5, compare, report; default: all.",
    )  # fmt: skip
    parser.add_argument(
        "--methods", type=str, nargs="+", default=None, help="Attribution methods to compare; default: the preset's."
    )
    parser.add_argument("--seed", type=int | None, default=None, help="Another seed than 0.")
    parser.add_argument("--workers", type=int | None, default=None, help="Trainings at a time; default: one a core.")
    parser.add_argument(
        "--out", type=str | None, default=None, help="Run folder to make or go on with; default: the next free one."
    )
    add_data_dir_option(parser)
    add_device_option(parser)


def _run(options: Namespace) -> dict[str, Any]:
    if options["preset"] in FAMILIES:
        return _compare_families(options)
    methods = None if options["methods"] is None else tuple(options["methods"])
    preset = preset_named(options["preset"], seed=options["seed"], methods=methods)
    out = choose_folder(options["out"], f"reproduce-{preset.name}")
    return reproduce(preset, out, options, only=tuple(options["only"]))


def _compare_families(options: Namespace) -> dict[str, Any]:
    """Train, explain and check the families; return what the command prints."""
    from imagrad.reproduce.family import FamilyStudy
    from imagrad.reproduce.family_report import write_family_report
    from imagrad.reproduce.study import Telling

    given = [name for name in ("methods", "seed") if options[name] is not None]
    if given or set(options["only"]) - {"report"}:
        raise InputError(f"--preset {options['preset']} takes --only report alone, and neither --methods nor --seed.")
    preset = FAMILIES[options["preset"]]
    out = choose_folder(options["out"], f"reproduce-{preset.name}")
    telling = Telling(lambda text, number, count: say(f"[{number}/{count}] {text}"), training_told())
    study = FamilyStudy(
        preset, out, options["data_dir"], resolve_device(options["device"]), options["workers"], telling
    )  # fmt: skip
    if not options["only"]:
        study.run()
    report = write_family_report(study)
    verdicts = {
        f"{member.name}, {name}": str(result.verdict.outcome)
        for member in study.members
        for name, result in member.checks.items()
    }
    return {"out": str(out), "report": str(report), "verdicts": verdicts, "seconds": {}}


def reproduce(preset: Preset, out: Path, options: Namespace, *, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Do the steps and write the report; return what the command prints."""
    from imagrad.reproduce.report import write_report
    from imagrad.reproduce.study import Study, Telling

    study = Study(
        preset, out, options["data_dir"], resolve_device(options["device"]), options["workers"],
        Telling(lambda text, number, count: say(f"[{number}/{count}] {text}"), training_told(), method_told()),
    )  # fmt: skip
    steps = tuple(step for step in only if step != "report")
    if steps or not only:
        study.run(steps)
    return summary_of(study, str(write_report(study)))


def method_told() -> Callable[[str, int, int], None]:
    """Say which method is compared, and from the second on about how long the rest takes."""
    began: list[float] = []

    def told(method: str, number: int, count: int) -> None:
        began.append(time.monotonic())
        left = (count - number + 1) * (began[-1] - began[0]) / max(1, number - 1)
        say(f"  method {method}: {number} of {count}{time_left(left)}")

    return told


def summary_of(study: Study, report: str) -> dict[str, Any]:
    """Put what was found into plain values."""
    from imagrad import runs

    metrics = study.out / "maps" / runs.METRICS
    return {
        "out": str(study.out),
        "report": report,
        "training": runs.read_json(metrics) if metrics.is_file() else {},
        "verdicts": {name: str(result.verdict) for name, result in study.checks().items()},
        "seconds": study.seconds(),
    }


def _describe(result: dict[str, Any]) -> str:
    lines = [f"{name}: {verdict}" for name, verdict in result["verdicts"].items()]
    if result["seconds"]:
        lines.append("time: " + ", ".join(f"{step} {seconds:.0f} s" for step, seconds in result["seconds"].items()))
        lines.append(f"in all {sum(result['seconds'].values()) / 60:.1f} minutes")
    return "\n".join([*lines, f"report: {result['report']}"])


COMMAND = Command(
    "Do the paper from the first training to a report with its numbers beside ours.",
    _add_arguments,
    _run,
    _describe,
    "Everything finished is kept: the same command with the same --out goes on.",
)
