"""Traversals as a grid: each image where its latent and its value are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from imagrad.attribution.traversals import Traversal
from imagrad.errors import InputError
from imagrad.figures import draw_traversal

IMAGES = torch.rand(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
VALUES = torch.tensor([[0.0, 0.5, 1.0], [2.0, 3.0, 4.0]])
TRAVERSAL = Traversal(IMAGES, VALUES, (7, 1), torch.arange(10.0), torch.zeros(1, 4, 4))


def test_rows_are_latents_and_columns_are_values():
    panels = [axes for axes in draw_traversal(TRAVERSAL).axes if axes.images]
    assert len(panels) == 8 and [axes.get_ylabel() for axes in panels[::4]] == ["latent 7", "latent 1"]
    assert [axes.get_xlabel() for axes in panels] == ["7.00", "0.00", "0.50", "1.00", "1.00", "2.00", "3.00", "4.00"]
    assert np.array_equal(panels[6].images[0].get_array(), IMAGES[1, 1, 0].numpy())
    assert not panels[4].images[0].get_array().any(), "the code as it is stands in front"


@pytest.mark.parametrize(
    ("traversal", "message"),
    [
        (replace(TRAVERSAL, values=torch.zeros(17, 3)), "at most 16 latents and 15 steps can be drawn; got 17 and 3"),
        (replace(TRAVERSAL, images=torch.zeros(2, 3, 9)), r"only images can be drawn; these have shape \(9,\)"),
    ],
)
def test_what_cannot_be_drawn(traversal, message):
    with pytest.raises(InputError, match=message):
        draw_traversal(traversal)
