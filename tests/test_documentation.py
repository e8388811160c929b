"""What the documentation shows is run; what it lists exists; what is made from the code is up to date."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from imagrad.attribution.methods import METHODS
from imagrad.checks.checks import CHECKS
from imagrad.checks.options import OPTIONS
from imagrad.cli.conventions import Group
from imagrad.cli.main import COMMANDS, build_parser
from imagrad.complexstep.rules import RULES
from imagrad.data.corruptions import CORRUPTIONS
from imagrad.data.datasets import DATASETS
from imagrad.data.fitting import FITS
from imagrad.models.onnx import OPERATIONS

ROOT = Path(__file__).parent.parent
IN_ORDER = {"walkthrough.md", "tutorial.md"}  # whose commands belong between its code: tests/test_walkthrough.py
MADE = ROOT / "docs" / "gallery"  # by the examples, which are run when it is made
FOUND = sorted(page for page in (ROOT / "docs").rglob("*.md") if MADE not in page.parents)
PAGES = [page for page in [*sorted(ROOT.glob("*.md")), *FOUND] if not page.read_text().startswith("```{include}")]


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python") and page.name not in IN_ORDER], ids=name_of
)
def test_python_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for registry in (METHODS, CHECKS, RULES, CORRUPTIONS, DATASETS, OPERATIONS):  # pages show how to add to them
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    options = dict(OPTIONS)
    for module in ("options", "checks"):
        monkeypatch.setattr(f"imagrad.checks.{module}.OPTIONS", options)
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})
    if page.name == "README.md":
        assert (tmp_path / "maps.png").is_file()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_spelt_right(page):
    """Every `imagrad ...` line parses; those of the README that need no MNIST are also run, below."""
    lines = [line.split("#")[0].strip() for block in blocks(page, "sh") for line in block.splitlines()]
    for line in lines:
        if line.startswith("imagrad "):
            arguments = shlex.split(line)[1:]
            build_parser(arguments).parse_args(arguments)
        elif line.startswith("make "):
            assert f"\n{line.split()[1]}:" in (ROOT / "Makefile").read_text(), line
    assert "imagrad" in page.read_text()


@pytest.mark.slow
def test_first_picture_of_the_readme(tmp_path):
    (line,) = [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines() if "seven" in line]
    command = [sys.executable, "-m", *shlex.split(line), "--out", str(tmp_path / "out")]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (told,), (shown,) = (
        re.findall(r"^seven\.jpg +([\d.]+) +(\d+, \d+) ", text, re.MULTILINE)
        for text in (out, (ROOT / "docs/quickstart.md").read_text())
    )
    assert abs(float(told[0]) - float(shown[0])) < 1e-3 and told[1] == shown[1]
    assert "explained 1 image with" in out and (tmp_path / "out/figures/saliency.png").is_file()


def test_first_result_stands_within_thirty_lines():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert any("make demo" in line for line in lines[:30])


def test_links_and_pictures_exist():
    for page in PAGES:
        text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_cli_reference_is_up_to_date():
    environment = {**os.environ, "COLUMNS": "100"}
    command = [sys.executable, str(ROOT / "docs/make_cli.py")]
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert made == (ROOT / "docs/cli.md").read_text(), "run `make docs`"
    for name, entry in COMMANDS.items():
        assert f"\n## imagrad {name}\n" in made
        for part in entry.commands if isinstance(entry, Group) else ():
            assert f"\n### imagrad {name} {part}\n" in made
            assert f"usage: imagrad {name} {part} " in made


@pytest.mark.parametrize("name", [*CORRUPTIONS, *DATASETS, *FITS])
def test_every_entry_is_documented(name):
    assert name in (ROOT / "docs/data.md").read_text()


def test_no_page_names_a_place_of_one_machine():
    for page in PAGES:
        assert not re.search(r"/(work|root|home|tmp)/", page.read_text()), page.name
