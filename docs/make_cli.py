"""Write docs/cli.md from the commands' own help: python docs/make_cli.py > docs/cli.md."""

import os

os.environ["COLUMNS"] = "100"  # argparse wraps its help to the terminal

from imagrad.cli.conventions import Group
from imagrad.cli.main import COMMANDS, build_parser

HEAD = """# The command line

Made from `--help` by `make docs`; do not edit.

Every command takes `--config FILE` (YAML, as `--print_config` prints it), `--json` (the result to stdout; progress
always goes to stderr) and `--debug` (the traceback of an error). Exit codes: 0, 1 for a failure, 2 for wrong usage,
130 after Ctrl-C. Every command that computes makes a run folder: `config.json` (what decided the result, hashes of
data and network), `environment.json` (versions, command line), `metrics.json`, tensors as safetensors, figures as PNG
and SVG.
"""


def reference() -> str:
    """Return the reference of all commands as Markdown."""
    parser = build_parser()
    parts = [HEAD, _shown(parser)]
    for name, command in _parsers(parser).items():
        parts.append(f"## imagrad {name}\n\n{_shown(command)}")
        if isinstance(COMMANDS[name], Group):
            parts += [f"### imagrad {name} {part}\n\n{_shown(one)}" for part, one in _parsers(command).items()]
    return "\n".join(parts)


def _parsers(parser):
    """Return the parsers of a parser's commands, by name."""
    return parser._subcommands_action._name_parser_map


def _shown(parser) -> str:
    return f"```\n{parser.format_help().strip()}\n```\n"


if __name__ == "__main__":
    print(reference(), end="")
