"""Figures in files: whole, undated, refused where they cannot be written."""

import pytest
import torch
from PIL import Image

from imagrad.attribution.results import SaliencyResult
from imagrad.errors import StorageError
from imagrad.figures import draw, save_figure, save_png_and_svg


def map_figure():
    maps = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return draw(SaliencyResult(maps, torch.zeros(1, 2), maps, "complex"))


def test_png_and_svg_are_whole_and_the_same_each_time(tmp_path):
    for folder in ("a", "b"):
        png, svg = save_png_and_svg(map_figure(), tmp_path / folder, "map")
        with Image.open(png) as picture:
            assert picture.size[0] > 300
        assert svg.read_text().rstrip().endswith("</svg>") and "code units" in svg.read_text()
    assert (tmp_path / "a/map.svg").read_bytes() == (tmp_path / "b/map.svg").read_bytes()
    assert (tmp_path / "a/map.png").read_bytes() == (tmp_path / "b/map.png").read_bytes()


def test_a_place_that_cannot_be_written_to():
    with pytest.raises(StorageError, match=r"cannot write /proc/map\.png"):
        save_figure(map_figure(), "/proc/map.png")
