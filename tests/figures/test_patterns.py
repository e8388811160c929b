"""Signed patterns: one scale around white, the right panel in the right place."""

import numpy as np
import pytest
import torch

from imagrad.errors import InputError
from imagrad.figures import draw_patterns

PATTERNS = torch.arange(-11.0, 13.0).reshape(2, 3, 2, 2)  # from -11 to 12


def test_one_scale_with_white_at_zero():
    figure = draw_patterns(PATTERNS, titles=["a", "b", "c"], row_labels=["first", "second"], label="what")
    *panels, bar = figure.axes
    assert len(panels) == 6 and bar.get_ylabel() == "what"
    assert {panel.images[0].get_clim() for panel in panels} == {(-12, 12)}
    assert np.array_equal(panels[4].images[0].get_array(), PATTERNS[1, 1].numpy())
    colours = panels[0].images[0].cmap
    assert colours(0.5)[:3] == pytest.approx([1, 1, 1], abs=0.01)
    assert colours(0.0)[2] > colours(0.0)[0] and colours(1.0)[0] > colours(1.0)[2], "blue below, red above"
    assert [panel.get_title() for panel in panels] == ["a", "b", "c", "", "", ""]
    assert [panel.get_ylabel() for panel in panels[::3]] == ["first", "second"]


def test_images_stand_in_front():
    images = torch.rand(2, 1, 2, 2)
    panels = draw_patterns(PATTERNS[:, :, None], images=images, titles=[str(k) for k in range(6)]).axes
    assert len(panels) == 9 and np.array_equal(panels[4].images[0].get_array(), images[1, 0].numpy())
    assert [panel.get_title() for panel in panels[4:8]] == ["", "3", "4", "5"]


def test_what_is_never_negative_goes_from_white_to_red():
    (panel,) = draw_patterns(PATTERNS[1:, :1] ** 2).axes[0].images
    assert panel.get_clim() == (0, 16) and panel.cmap(0.0)[:3] == pytest.approx([1, 1, 1])
    assert draw_patterns(torch.zeros(1, 1, 3, 3)).axes[0].images[0].get_clim() == (0, 1)


@pytest.mark.parametrize(
    ("patterns", "options", "message"),
    [
        (torch.zeros(2, 3, 4), {}, r"`patterns` must be finite and of shape .*; got \(2, 3, 4\)"),
        (torch.full((1, 1, 2, 2), torch.nan), {}, "`patterns` must be finite"),
        (torch.zeros(8, 8, 2, 2), {}, "`patterns` must be 1 to 60; got 8 x 8"),
        (PATTERNS, {"images": torch.zeros(3, 2, 2)}, "`images` must be one a row, 2 of them; got 3"),
        (PATTERNS, {"row_labels": ["a"]}, "`row_labels` must be one a row, 2 of them; got 1"),
        (PATTERNS, {"titles": ["a"]}, "`titles` must be those of 3 columns or 6 patterns; got 1"),
    ],
)
def test_numbers_that_do_not_fit(patterns, options, message):
    with pytest.raises(InputError, match=message):
        draw_patterns(patterns, **options)
