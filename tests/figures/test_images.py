"""Rows of images by what is in them."""

import numpy as np
import torch

from imagrad.figures import draw_image_rows


def test_rows_of_images():
    images = torch.rand(3, 1, 5, 5)
    figure = draw_image_rows({"original": images, "reconstruction": torch.rand(3, 3, 5, 5)})
    assert len(figure.axes) == 6
    assert [axes.get_ylabel() for axes in figure.axes] == ["original", "", "", "reconstruction", "", ""]
    assert np.array_equal(figure.axes[1].images[0].get_array(), images[1, 0].numpy())
    assert figure.axes[3].images[0].get_array().shape == (5, 5, 3)
