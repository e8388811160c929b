"""What all commands share: the options every one takes, how a path is chosen, how progress is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from docstring_parser import parse_from_object
from jsonargparse import ArgumentParser, Namespace

from imagrad.training.distributed import is_first


@dataclass(frozen=True)
class Command:
    """One sub-command: what its help says, its arguments, what it does, and how its result reads."""

    summary: str
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], dict[str, Any]]
    """Do it; return what --json prints."""
    describe: Callable[[dict[str, Any]], str]
    """Put that into words."""
    after_interrupt: str = ""
    """What a user should know after Ctrl-C."""


@dataclass(frozen=True)
class Group:
    """Commands under one name, such as `imagrad check corruption`."""

    summary: str
    commands: Mapping[str, Command]


def add_common_options(parser: ArgumentParser) -> None:
    """Add the options that every command takes."""
    parser.add_argument("--config", action="config", help="Read options from a YAML file.")
    parser.add_argument("--json", action="store_true", help="Print the result as JSON (progress goes to stderr).")
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")


def add_fields(parser: ArgumentParser, config: type[Any], names: Sequence[str] | None = None) -> None:
    """Add an option for each field of a config dataclass, or those of `names`: its type, default and docstring."""
    texts = {entry.arg_name: entry.description for entry in parse_from_object(config).params}
    types = get_type_hints(config)
    for field in fields(config):
        if names is not None and field.name not in names:
            continue
        option, kind = f"--{_option_of(field).replace('_', '-')}", types[field.name]
        if field.default is MISSING:
            parser.add_argument(option, type=kind, required=True, help=texts[field.name])
        elif get_origin(kind) is tuple:  # as people write it: --hidden 256 128
            parser.add_argument(
                option, type=get_args(kind)[0], nargs="*", default=list(field.default), help=texts[field.name]
            )  # fmt: skip
        else:
            parser.add_argument(option, type=kind, default=field.default, help=texts[field.name])


def read_fields(options: Namespace, config: type[Any], names: Sequence[str] | None = None) -> dict[str, Any]:
    """Read back what `add_fields` added: the values by field."""
    chosen = [field for field in fields(config) if names is None or field.name in names]
    values = {field.name: options[_option_of(field)] for field in chosen}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _option_of(field: Field[Any]) -> str:
    """Name a field's option: itself, unless it says otherwise."""
    return field.metadata.get("option", field.name)


def add_device_option(parser: ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument("--device", default="auto", help='Where to compute: "auto", "cpu", "cuda" or "cuda:1".')


def add_data_dir_option(parser: ArgumentParser) -> None:
    """Add --data-dir."""
    parser.add_argument(
        "--data-dir", type=str | None, default=None,
        help="Folder with the MNIST files; default: $IMAGRAD_DATA, then the user's cache.",
    )  # fmt: skip


def resolve_device(name: str) -> str:
    """Return the device to compute on; raise `InputError` for one that is not there."""
    import torch

    from imagrad.complexstep.points import check_device

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    check_device(name)
    return name


def choose_folder(out: str | None, stem: str) -> Path:
    """Return the folder given, or the next free one below runs/."""
    from imagrad import runs

    return Path(out) if out is not None else runs.next_free(Path("runs"), stem)


def counted(number: int, noun: str) -> str:
    """Write "1 image", "2 images"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def say(text: str) -> None:
    """Print to stderr: stdout belongs to the result. Of several processes under torchrun the first alone does."""
    if is_first():
        print(text, file=sys.stderr, flush=True)
