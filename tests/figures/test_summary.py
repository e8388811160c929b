"""Figures of what the maps of a data set have in common."""

import numpy as np
import pytest
import torch

from imagrad.errors import InputError
from imagrad.figures.summary import ClassMaps, Panel, Typical, draw_class_maps, draw_typical


def maps(count, scale=1.0):
    return scale * np.random.default_rng(0).random((count, 1, 6, 6))


def texts(figure):
    return [text for axes in figure.axes for text in (axes.get_title(), axes.get_xlabel(), axes.get_ylabel())]


def test_classes_in_columns_and_a_scale_of_its_own_for_the_spread():
    figure = draw_class_maps(
        [ClassMaps("mean", maps(3)), ClassMaps("median", maps(3))], ClassMaps("deviation", maps(3, 0.01)),
        ["cat", "dog", "emu"], [5, 6, 7], "saliency",
    )  # fmt: skip
    assert {"cat\nn = 5", "dog\nn = 6", "emu\nn = 7", "mean", "median", "deviation", "saliency"} <= set(texts(figure))
    assert len(figure.axes) == 9 + 2
    *_, values, spread = figure.axes
    assert values.get_ylim()[1] >= 0.9 and spread.get_ylim()[1] <= 0.02


def test_a_single_class_lies_down():
    figure = draw_class_maps(
        [ClassMaps("mean", maps(1))], ClassMaps("standard\ndeviation", maps(1)), ["all"], [9], "saliency per unit"
    )
    assert {"mean", "standard deviation", "all\nn = 9", "saliency\nper unit"} <= set(texts(figure))
    assert figure.get_figwidth() > figure.get_figheight()


def test_too_many_classes():
    rows = ClassMaps("mean", maps(11))
    with pytest.raises(InputError, match="`classes` must be 1 to 10; got 11"):
        draw_class_maps([rows], rows, ["x"] * 11, [1] * 11, "saliency")


def test_typical_images_with_gaps():
    panels = [Panel(m, f"image {k}", torch.rand(1, 6, 6)) for k, m in enumerate(maps(3))]
    figure = draw_typical(
        [Typical("cat", panels), Typical("dog", [panels[0], None, panels[2]])], "saliency", ["most", "", "least"]
    )
    found = texts(figure)
    assert {"cat", "dog", "most", "least", "image 1"} <= set(found) and found.count("image 1") == 1
    assert len(figure.axes[4].collections) == 0  # the gap
