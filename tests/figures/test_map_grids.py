"""Grids of maps: shared or own levels, labels, images; and that every figure is the same each time."""

import io

import numpy as np
import pytest
import torch

from imagrad.errors import InputError
from imagrad.figures import (
    Curve,
    Score,
    ScorePanel,
    draw_corruption_curves,
    draw_maps_grid,
    draw_scores,
    draw_table_heat,
)


def maps(count, size=8):
    values = torch.zeros(count, 1, size, size)
    values[:, 0, 5, 4] = torch.arange(1.0, count + 1)
    return values


def shown(figure):
    """The axes with a map in them."""
    return [axes for axes in figure.axes if axes.collections and axes.get_aspect() == 1]


def test_shared_levels_and_one_colour_bar():
    figure = draw_maps_grid(maps(10), [f"digit {k}" for k in range(10)], images=torch.rand(10, 1, 8, 8))
    panels = shown(figure)
    assert len(panels) == 10 and len(figure.axes) == 11
    assert len({tuple(axes.collections[0].levels) for axes in panels}) == 1
    assert [axes.get_title() for axes in panels] == [f"digit {k}" for k in range(10)]
    assert all(len(axes.child_axes) == 1 for axes in panels)
    assert figure.axes[0].get_subplotspec().get_gridspec().ncols == 5


def test_own_levels_and_the_largest_value_below():
    figure = draw_maps_grid(maps(3), shared=False)
    panels = shown(figure)
    assert len(figure.axes) == 3 and [axes.get_xlabel() for axes in panels] == ["largest 1", "largest 2", "largest 3"]
    assert [axes.collections[0].levels[-1] for axes in panels] == [1, 2, 3]
    figure.draw_without_rendering()
    assert all(axes.xaxis.label.get_window_extent().y0 >= 0 for axes in panels)


def test_rows_and_columns_are_labelled_once():
    figure = draw_maps_grid(maps(40)[:, 0], list("abcde"), row_labels=[f"row {k}" for k in range(8)], shared=False)
    panels = shown(figure)
    assert [axes.get_title() for axes in panels] == [*"abcde", *[""] * 35]
    assert [axes.get_ylabel() for axes in panels[::5]] == [f"row {k}" for k in range(8)]


def test_places_that_are_left_over_are_empty():
    figure = draw_maps_grid(maps(7), shared=False)
    assert [axes.axison for axes in figure.axes] == [True] * 7 + [False] * 3


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (41, {}, "`maps` must be 1 to 40 maps; got 41"),
        (0, {}, "`maps` must be 1 to 40 maps; got 0"),
        (7, {"row_labels": "ab"}, "`row_labels` must divide 7 maps into equal rows; got 2"),
        (7, {"titles": "abc"}, "`titles` must be those of 7 maps or of 5 columns; got 3"),
        (7, {"images": torch.rand(2, 8, 8)}, "`images` must be one a map, 7 of them; got 2"),
    ],
)
def test_numbers_that_do_not_fit(count, options, message):
    with pytest.raises(InputError, match=message):
        draw_maps_grid(maps(count), **options)


def test_a_map_without_values():
    values = maps(3)
    values[1] = torch.nan
    with pytest.raises(InputError, match=r"there is nothing to draw: no feature of map 1 was asked for"):
        draw_maps_grid(values)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: draw_maps_grid(maps(2), "ab"),
        lambda: draw_corruption_curves([Curve("a", (0, 1), (1, 2), (0, 1), (2, 3))]),
        lambda: draw_scores([ScorePanel("x", (Score("a", 1, 0, 2),), {"control": 0.5})]),
        lambda: draw_table_heat(np.eye(3), "abc", "abc"),
    ],
)
def test_the_same_figure_is_the_same_bytes(draw):
    files = []
    for _ in range(2):
        buffer = io.BytesIO()
        draw().savefig(buffer, format="png", dpi=60)
        files.append(buffer.getvalue())
    assert files[0] == files[1]


def test_colour_bar_is_labelled_as_asked_whatever_the_rows_are_called():
    figure = draw_maps_grid(maps(4), row_labels=["up", "down"], label="how much")
    assert figure.axes[-1].get_ylabel() == "how much" and draw_maps_grid(maps(2)).axes[-1].get_ylabel() == "saliency"
