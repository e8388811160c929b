"""The spectrum's figure shows the numbers it was given, and says their units."""

from dataclasses import replace

import pytest
import torch

from imagrad.attribution.spectrum import decompose
from imagrad.figures import draw_spectrum


def test_values_median_and_effective_ranks_are_drawn():
    result = decompose(torch.diag_embed(torch.tensor([[3.0, 2, 1], [1, 1, 1], [6, 0, 0]])))
    left, right = draw_spectrum(replace(result, units="apples per pear")).axes
    *single, median = left.get_lines()
    assert [line.get_ydata().tolist() for line in single] == [[3, 2, 1], [1, 1, 1], [6, 0, 0]]
    assert median.get_ydata().tolist() == [3, 1, 1] and median.get_xdata().tolist() == [1, 2, 3]
    assert "apples per pear" in left.get_ylabel()
    shown = right.get_lines()[0].get_xdata().tolist()
    assert shown == pytest.approx(sorted(result.effective_rank.tolist())) and right.get_xlim() == (0, 3)
    assert right.texts[0].get_text() == f"median {result.effective_rank.median():.1f}"


def test_of_many_images_some_lines_are_shown():
    result = decompose(torch.rand(120, 2, 5, generator=torch.Generator().manual_seed(0)))
    assert len(draw_spectrum(result).axes[0].get_lines()) == 51
