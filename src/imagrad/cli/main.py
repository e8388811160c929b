"""The command `imagrad`: picks the sub-command, turns errors into one line and an exit code."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli import (
    certify,
    check,
    compare,
    demo,
    explain,
    layers,
    preflight,
    reproduce,
    serve,
    summarize,
    train,
)
from imagrad.cli import list as list_command
from imagrad.cli.conventions import Command, Group, add_common_options
from imagrad.errors import ImagradError
from imagrad.training.distributed import is_first

COMMANDS: dict[str, Command | Group] = {
    "demo": demo.COMMAND,
    "train": train.COMMAND,
    "explain": explain.COMMAND,
    "layers": layers.COMMAND,
    "preflight": preflight.COMMAND,
    "certify": certify.COMMAND,
    "check": check.GROUP,
    "compare": compare.COMMAND,
    "summarize": summarize.COMMAND,
    "reproduce": reproduce.COMMAND,
    "serve": serve.COMMAND,
    "list": list_command.COMMAND,
}

_INTERRUPTED = 130  # what a shell reports for a program stopped by Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 1 for a failure, 2 for wrong usage."""
    arguments = sys.argv[1:] if arguments is None else arguments
    name, command, chosen = _chosen(build_parser(arguments).parse_args(arguments))
    try:
        result = command.run(chosen)
        if is_first():  # of several processes under torchrun
            print(json.dumps(result) if chosen["json"] else command.describe(result), flush=True)
        if result.get("passed") is False:  # a check that was asked for, and failed
            return 1
    except BrokenPipeError:  # whoever was reading has read enough
        sys.stdout = None  # nothing is left to flush at the end
        return 1
    except ImagradError as error:
        return _fail(f"imagrad {name}: error: {error}", error.exit_code, debug=chosen["debug"])
    except KeyboardInterrupt:
        return _fail(f"imagrad {name}: interrupted. {command.after_interrupt}", _INTERRUPTED, debug=False)
    except Exception as error:  # the last line of defence: still one line, not a page
        told = f"imagrad {name}: unexpected {type(error).__name__}: {error} (--debug shows where; please report it)"
        return _fail(told, 1, debug=chosen["debug"])
    return 0


def build_parser(arguments: Sequence[str] | None = None) -> ArgumentParser:
    """Build the parser of all commands; imports nothing heavy, so that `--help` is quick.

    With `arguments` it is good for these alone: a command that they do not name has no options, which take their time.
    """
    parser = ArgumentParser(
        prog="imagrad",
        description="Explain encoders: which input pixels does a latent code depend on, and how much?",
        version=metadata.version("imagrad"),
        allow_abbrev=False,
    )
    commands = parser.add_subcommands(title="commands", metavar="COMMAND")
    for name, entry in COMMANDS.items():
        if isinstance(entry, Command):
            _add_command(commands, f"imagrad {name}", name, entry, arguments)
            continue
        group = ArgumentParser(description=entry.summary, allow_abbrev=False)
        commands.add_subcommand(name, group, help=entry.summary)
        group.prog = f"imagrad {name}"
        of_group = group.add_subcommands(title="commands", metavar="COMMAND")
        for part, command in entry.commands.items():
            _add_command(of_group, f"imagrad {name} {part}", part, command, arguments)
    return parser


def _add_command(commands: Any, program: str, name: str, command: Command, arguments: Sequence[str] | None) -> None:
    """Add a command's parser to the commands of a parser."""
    subparser = ArgumentParser(description=command.summary, allow_abbrev=False)
    if arguments is None or name in arguments:
        command.add_arguments(subparser)
        add_common_options(subparser)
    commands.add_subcommand(name, subparser, help=command.summary)
    subparser.prog = program


def _chosen(options: Namespace) -> tuple[str, Command, Namespace]:
    """Return the command that was asked for, with its name and its options."""
    name: str = options["subcommand"]
    entry, chosen = COMMANDS[name], options[name]
    if isinstance(entry, Command):
        return name, entry, chosen
    part: str = chosen["subcommand"]
    return f"{name} {part}", entry.commands[part], chosen[part]


def _fail(message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
