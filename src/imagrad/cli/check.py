"""`imagrad check`: the sanity checks, one command each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.checks.options import OPTIONS
from imagrad.cli.conventions import Command, Group, add_fields, choose_folder, say
from imagrad.cli.studies import add_study_options, material_of, options_of

_SUMMARIES = {
    "one-class": "Sanity Check-1: networks trained on one class alone have maps that look like it (Fig. 8).",
    "translation": "Sanity Check-2: with all images in a corner, the maps stand there too (Fig. 9).",
    "corruption": "Sanity Check-3: flipping the most important pixels fools a classifier (Fig. 10, 11).",
    "randomisation": "Maps change when the weights are redrawn layer by layer (Adebayo et al. 2018).",
    "locality": "How far the maps of single images differ from their mean (section 6).",
}


def _arguments_of(check: str) -> Callable[[ArgumentParser], None]:
    def add_arguments(parser: ArgumentParser) -> None:
        add_study_options(parser)
        parser.add_argument("--method", default="saliency", help="What is checked (`imagrad list methods`).")
        add_fields(parser, OPTIONS[check])

    return add_arguments


def _run_of(check: str) -> Callable[[Namespace], dict[str, Any]]:
    def run(options: Namespace) -> dict[str, Any]:
        from imagrad import runs
        from imagrad.attribution.contract import check_installed
        from imagrad.checks.checks import CHECKS
        from imagrad.checks.saved import save_check
        from imagrad.figures import save_png_and_svg
        from imagrad.figures.checks import check_figures

        chosen = options_of(options, OPTIONS[check])
        check_installed(options["method"])  # before the work, too
        out = choose_folder(options["out"], f"check-{check}")
        runs.refuse_used(out, but=("networks",))  # before the work, not after it
        material = material_of(options, out, options["method"], classify=check == "corruption")
        say(f"checking {options['method']} by {check}; run folder {out}")
        result = CHECKS[check](material, chosen)
        settings = {name: value for name, value in options.as_dict().items() if name not in ("config", "json", "debug")}
        runs.write_json(out / runs.CONFIG, {"format": runs.FORMAT, "command": f"check {check}", "options": settings})
        runs.write_json(out / runs.ENVIRONMENT, runs.environment())
        save_check(result, out / "check.safetensors")
        runs.write_json(out / runs.METRICS, result.as_dict())
        figures = [
            str(path)
            for name, figure in check_figures(result).items()
            for path in save_png_and_svg(figure, out / "figures", name)
        ]
        return {"out": str(out), **result.as_dict(), "text": str(result), "figures": figures}

    return run


def _describe(result: dict[str, Any]) -> str:
    return "\n".join([result["text"], f"numbers and figures: {result['out']}", *result["figures"]])


GROUP = Group(
    "Sanity checks of an attribution method, with numbers, controls and a verdict; exit code 1 if it fails.",
    {check: Command(_SUMMARIES[check], _arguments_of(check), _run_of(check), _describe) for check in OPTIONS},
)
