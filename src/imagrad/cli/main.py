"""The command `imagrad`: picks the sub-command, turns errors into one line and an exit code."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli import certify, demo, explain, preflight, train
from imagrad.cli import list as list_command
from imagrad.cli.conventions import Command, add_common_options
from imagrad.errors import ImagradError

COMMANDS: dict[str, Command] = {
    "demo": demo.COMMAND,
    "train": train.COMMAND,
    "explain": explain.COMMAND,
    "preflight": preflight.COMMAND,
    "certify": certify.COMMAND,
    "list": list_command.COMMAND,
}

_INTERRUPTED = 130  # what a shell reports for a program stopped by Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 1 for a failure, 2 for wrong usage."""
    options = build_parser().parse_args(arguments)
    name = options["subcommand"]
    chosen: Namespace = options[name]
    try:
        result = COMMANDS[name].run(chosen)
        print(json.dumps(result) if chosen["json"] else COMMANDS[name].describe(result), flush=True)
        if result.get("passed") is False:  # a check that was asked for, and failed
            return 1
    except BrokenPipeError:  # whoever was reading has read enough
        sys.stdout = None  # nothing is left to flush at the end
        return 1
    except ImagradError as error:
        return _fail(f"imagrad {name}: error: {error}", error.exit_code, debug=chosen["debug"])
    except KeyboardInterrupt:
        return _fail(f"imagrad {name}: interrupted. {COMMANDS[name].after_interrupt}", _INTERRUPTED, debug=False)
    except Exception as error:  # the last line of defence: still one line, not a page
        told = f"imagrad {name}: unexpected {type(error).__name__}: {error} (--debug shows where; please report it)"
        return _fail(told, 1, debug=chosen["debug"])
    return 0


def build_parser() -> ArgumentParser:
    """Build the parser of all commands; imports nothing heavy, so that `--help` is quick."""
    parser = ArgumentParser(
        prog="imagrad",
        description="Explain encoders: which input pixels does a latent code depend on, and how much?",
        version=metadata.version("imagrad"),
        allow_abbrev=False,
    )
    commands = parser.add_subcommands(title="commands", metavar="COMMAND")
    for name, command in COMMANDS.items():
        subparser = ArgumentParser(description=command.summary, allow_abbrev=False)
        command.add_arguments(subparser)
        add_common_options(subparser)
        commands.add_subcommand(name, subparser, help=command.summary)
        subparser.prog = f"imagrad {name}"
    return parser


def _fail(message: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
