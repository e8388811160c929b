"""Contour maps by what is in them: levels, orientation, inset, labels; pixels only where a reader would look."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from imagrad.attribution.results import SaliencyResult
from imagrad.errors import InputError
from imagrad.figures import draw, shared_levels


def result(maps, images=None):
    maps = torch.as_tensor(maps, dtype=torch.float32)
    return SaliencyResult(maps, torch.zeros(len(maps), 2), maps if images is None else images, "complex")


def corner(size=12):
    """A map that is large at the top left and nowhere else, with its maximum at row 2, column 3."""
    values = torch.zeros(1, 1, size, size)
    values[0, 0, 1:4, 2:5] = 1
    values[0, 0, 2, 3] = 2
    return values


def pixels(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return np.asarray(Image.open(buffer).convert("RGB")).astype(int)


def test_row_zero_is_at_the_top_as_in_the_image():
    values = torch.zeros(1, 1, 12, 12)
    values[0, 0, 9:11, 1:3] = 1  # bottom left: away from the inset
    figure = draw(result(values))
    axes = figure.axes[0]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the axis of the rows points down"
    picture = pixels(figure)
    red = (picture[..., 0] - picture[..., 2] > 60) & (np.arange(picture.shape[1]) < picture.shape[1] * 0.6)
    rows, columns = np.nonzero(red)
    assert rows.mean() > picture.shape[0] * 0.6 and columns.mean() < picture.shape[1] * 0.35


def test_zero_is_white_and_the_largest_is_dark_red():
    figure = draw(result(corner()))
    colours = figure.axes[0].collections[0].get_facecolor()
    assert colours[0][:3] == pytest.approx([1, 1, 1], abs=0.02)
    assert colours[-1][0] > 0.3 and colours[-1][1:3].max() < 0.1


def test_levels_are_shared_so_that_maps_can_be_compared():
    figure = draw(result(torch.cat([corner(), 3 * corner()])))
    first, second = (axes.collections[0] for axes in figure.axes[:2])
    assert np.array_equal(first.levels, second.levels)
    assert np.array_equal(first.get_facecolor(), second.get_facecolor()), "the same value has the same colour"
    assert first.levels[0] == 0 and first.levels[-1] >= 6
    assert figure.axes[-1].get_yticks()[-1] == first.levels[-1], "the top of the bar is labelled"


@pytest.mark.parametrize("largest", [0.0, 1e-9, 0.37, 5.0, 1234.5])
def test_levels_cover_every_value(largest):
    levels = shared_levels(np.array([[0.0, largest]]))
    assert levels[0] == 0 and largest <= levels[-1] <= max(1.35 * largest, 1e-3 if largest else 1)
    assert np.all(np.diff(levels) > 0) and len(levels) % 2 == 1


def test_all_zero_maps_are_drawn_white():
    picture = pixels(draw(result(torch.zeros(1, 1, 6, 6), torch.ones(1, 1, 6, 6))))
    here = picture[int(picture.shape[0] * 0.6), int(picture.shape[1] * 0.3)]
    assert here.tolist() == [255, 255, 255]


def test_features_not_asked_for_are_grey():
    values = corner()
    values[0, 0, 6:] = torch.nan
    picture = pixels(draw(result(values)))
    r, g, b = picture[int(picture.shape[0] * 0.85), int(picture.shape[1] * 0.3)]
    assert r == g == b == 217


def test_inset_shows_the_input_upright_at_the_top_left():
    image = torch.zeros(1, 1, 12, 12)
    image[0, 0, 0, :] = 1  # a white line along the top
    figure = draw(result(corner(), image))
    (inset,) = figure.axes[0].child_axes
    shown = inset.images[0].get_array()
    assert np.array_equal(shown, image[0, 0].numpy())
    assert inset.images[0].origin == "upper" and inset.images[0].get_clim() == (0, 1)
    figure.draw_without_rendering()
    box, outer = inset.get_window_extent(), figure.axes[0].get_window_extent()
    assert box.x0 == pytest.approx(outer.x0, abs=2) and box.y1 == pytest.approx(outer.y1, abs=2)  # dots
    assert 0.2 < box.width / outer.width < 0.35


def test_colour_bar_has_units_and_titles_are_shown():
    figure = draw(replace(result(corner()), norm="l1"), titles=["label 3"])
    assert "code units per unit of pixel value" in figure.axes[-1].get_ylabel() and "_1" in figure.axes[-1].get_ylabel()
    assert figure.axes[0].get_title() == "label 3"


@pytest.mark.parametrize(("channels", "expected"), [("l2", 5.0), ("sum", 7.0), ("max", 4.0)])
def test_channels_are_reduced_for_drawing(channels, expected):
    values = torch.zeros(1, 2, 5, 5)
    values[0, :, 2, 2] = torch.tensor([3.0, 4.0])
    figure = draw(result(values, torch.rand(1, 3, 5, 5)), channels=channels)
    assert figure.axes[0].collections[0].zmax == pytest.approx(expected)


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (torch.zeros(13, 1, 4, 4), {}, "at most 12 maps fit into one figure; got 13"),
        (torch.zeros(2, 7), {}, r"only maps of images can be drawn.*got \(2, 7\)"),
        (torch.zeros(2, 1, 1, 7), {}, "only maps of images can be drawn"),
        (torch.zeros(1, 1, 4, 4), {"channels": "l7"}, "`channels` must be one of: l2, sum, max; got 'l7'"),
        (torch.zeros(1, 1, 4, 4), {"path": "map.jpeg"}, r"`path` must end in \.png, \.svg or \.pdf; got 'map\.jpeg'"),
    ],
)
def test_what_cannot_be_drawn(maps, options, message):
    with pytest.raises(InputError, match=message):
        draw(result(maps), **options)


def test_each_pixel_is_where_it_is_in_the_image():
    """The map reaches from edge to edge of the outer pixels, as `imshow` draws the image."""
    axes = draw(result(torch.rand(1, 1, 8, 6))).axes[0]
    assert axes.get_xlim() == (-0.5, 5.5) and axes.get_ylim() == (7.5, -0.5)
    box = axes.collections[0].get_datalim(axes.transData)
    assert (box.x0, box.x1, box.y0, box.y1) == pytest.approx((-0.5, 5.5, -0.5, 7.5))


@pytest.mark.parametrize("shape", [(10, 60), (60, 10)])
def test_long_images_make_long_figures(shape):
    width, height = draw(result(torch.rand(4, 1, *shape))).get_size_inches()
    assert (width > 4 * height) == (shape == (10, 60))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_images_of_any_number_of_channels(channels):
    images = torch.rand(1, channels, 5, 5) * 3 - 1  # outside [0, 1] as well: standardised input
    (inset,) = draw(result(torch.rand(1, channels, 5, 5), images)).axes[0].child_axes
    shown = np.asarray(inset.images[0].get_array())
    assert shown.shape == ((5, 5, 3) if channels == 3 else (5, 5))
    assert shown.min() == pytest.approx(0) and shown.max() == pytest.approx(1)


def test_channels_that_were_not_asked_for_do_not_count():
    values = torch.full((1, 2, 4, 4), torch.nan)
    with pytest.raises(InputError, match="there is nothing to draw"):
        draw(result(values))
    values[:, 0] = 3.0
    assert draw(result(values, torch.rand(1, 3, 4, 4))).axes[0].collections[0].zmax == pytest.approx(3.0)


def test_only_results_can_be_drawn():
    with pytest.raises(InputError, match=r"`result` must be what `imagrad\.saliency` returned; got a Tensor"):
        draw(torch.zeros(1, 1, 4, 4))


def test_the_colour_bar_says_the_units_of_the_result():
    figure = draw(replace(result(corner()), units="standard deviations per shade"))
    assert figure.axes[-1].get_ylabel().endswith("\n(standard deviations per shade)")
    figure = draw(replace(result(corner()), units="standard deviations per unit of pixel value"))
    assert figure.axes[-1].get_ylabel().endswith("\n(standard deviations\nper unit of pixel value)")
