"""`imagrad list`: what the registries hold."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import Command

_FILLED_BY = (
    "attribution.methods", "complexstep.norms", "complexstep.rules", "data.corruptions", "data.datasets",
    "checks.checks", "checks.controls", "models.formats", "models.onnx", "training.losses",
)  # fmt: skip


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "kind", nargs="?", type=str | None, default=None, help="Which: corruptions, rules, ...; default: all."
    )


def _run(options: Namespace) -> dict[str, Any]:
    for module in _FILLED_BY:
        import_module(f"imagrad.{module}")
    from imagrad.errors import UnknownNameError
    from imagrad.registry import REGISTRIES

    kind = options["kind"]
    if kind is not None and kind not in REGISTRIES:
        raise UnknownNameError(f"unknown kind {kind!r}; there are: {', '.join(sorted(REGISTRIES))}.")
    chosen = sorted(REGISTRIES) if kind is None else [kind]
    return {name: REGISTRIES[name].summaries() for name in chosen}


def _describe(result: dict[str, Any]) -> str:
    lines: list[str] = []
    for kind, entries in result.items():
        width = max(len(name) for name in entries)
        lines += [kind, *(f"  {name:{width}}  {summary}" for name, summary in entries.items()), ""]
    return "\n".join(lines).rstrip()


COMMAND = Command(
    "List what can be named: corruptions, datasets, formats, methods, networks, onnx-operations, rules, ...",
    _add_arguments,
    _run,
    _describe,
)
