"""docs/walkthrough.md from its first line to its last: its code and its commands, in their order, in one folder."""

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

PAGE = Path(__file__).parent.parent / "docs" / "walkthrough.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of torch's exporter
def test_walkthrough(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    known = {}
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        if language == "python":
            exec(compile(block, PAGE.name, "exec"), known)
            continue
        for line in block.splitlines():
            assert main(shlex.split(line)[1:]) == 0, line
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
