"""Pages whose commands belong between their code, from the first line to the last, in their order, in one folder."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
from PIL import Image

import imagrad
from imagrad.cli.main import main

DOCS = Path(__file__).parent.parent / "docs"
TAKES_LONG = ("mnist", "reproduce")  # commands that tests/test_documentation.py parses, and no test of a page runs


def follow(page):
    """Do what a page says, and return the names that its code has made."""
    known = {}
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        if language == "python":
            exec(compile(block, page.name, "exec"), known)
        elif language == "sh":
            for line in block.splitlines():
                if not any(word in line for word in TAKES_LONG):
                    assert main(shlex.split(line)[1:]) == 0, line
    return known


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of torch's exporter
def test_walkthrough(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    known = follow(DOCS / "walkthrough.md")
    told = capsys.readouterr().out
    assert "maps.zarr holds maps of 60 of 60 images" in told and "ready to be explained" in told
    assert (tmp_path / "mean-maps.png").stat().st_size > 10_000
    assert_maps_are_right(known["encoder"])


def assert_maps_are_right(encoder):
    """Against torch's own derivatives of the module that was exported, at the pictures in the folder."""
    store = xarray.open_zarr("maps.zarr", consolidated=False)
    for k in (0, 17, 59):
        picture = Image.open(Path("pictures", str(store.image.values[k])))
        image = torch.from_numpy(np.asarray(picture, np.float32) / 255)[None, None]
        rows = torch.func.jacrev(lambda x: encoder(x)[0])(image)  # (10, 1, 1, 8, 8)
        expected = rows.square().sum(dim=0).sqrt()[0]
        assert np.allclose(store.maps.values[k], expected.detach().numpy(), rtol=1e-4, atol=1e-6)
        assert np.allclose(store.codes.values[k], encoder(image)[0].detach().numpy(), rtol=1e-4, atol=1e-5)
    assert imagrad.open_store("maps.zarr").is_complete


@pytest.mark.slow
def test_tutorial(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    known = follow(DOCS / "tutorial.md")
    told = capsys.readouterr().out
    assert "locality, saliency: passes" in told and known["errors"]
    assert Path("runs/maps/figures/saliency.png").stat().st_size > 10_000
    trained = [line for line in told.splitlines() if line.startswith(("cross-entropy", "latents active"))]
    shown, checked = re.findall(r"^```text\n(.*?)^```", (DOCS / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL)
    assert [re.split(r"\d", line)[0] for line in trained] == [re.split(r"\d", line)[0] for line in shown.splitlines()]
    numbers = [[float(x) for x in re.findall(r"\d\.\d+", " ".join(lines))] for lines in (trained, shown.splitlines())]
    assert np.allclose(*numbers, rtol=0.05)  # other processors round otherwise
    (start,) = (k for k, line in enumerate(told.splitlines()) if line.startswith("locality, saliency"))
    for line, ours in zip(checked.splitlines(), told.splitlines()[start:], strict=False):
        assert re.split(r"-?\d\.", line)[0] == re.split(r"-?\d\.", ours)[0]
        numbers = [[float(x) for x in re.findall(r"-?\d\.\d+", text)] for text in (line, ours)]
        assert np.allclose(*numbers, atol=0.05)
