"""Curves of a corruption check: what is solid, dashed, shaded and labelled."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from imagrad.errors import InputError
from imagrad.figures import Curve, draw_corruption_curves

PERCENTAGES = (0.0, 10.0, 20.0, 30.0)
MOST = Curve("gradient norm", PERCENTAGES, (99, 80, 60, 40), (98, 78, 57, 36), (100, 82, 63, 44))
LEAST = Curve("gradient norm", PERCENTAGES, (99, 98.5, 98, 98), kind="least")
CONTROL = Curve("random pixels", PERCENTAGES, (99, 95, 90, 85), role="control")
SINGLE = Curve("one image", PERCENTAGES, (99, 70, 50, 30), role="single")
PAPER = Curve("the paper", PERCENTAGES, (99, 81, 59, 40), role="paper")


def test_each_curve_is_drawn_as_its_kind_and_role_say():
    figure = draw_corruption_curves([MOST, LEAST, CONTROL, SINGLE, PAPER])
    (axes,) = figure.axes
    most, least, control, single, paper = axes.lines[:5]
    for line, curve in zip(axes.lines[:5], (MOST, LEAST, CONTROL, SINGLE, PAPER), strict=True):
        assert np.array_equal(line.get_ydata(), curve.values) and np.array_equal(line.get_xdata(), PERCENTAGES)
    assert most.get_linestyle() == control.get_linestyle() == "-" and least.get_linestyle() == "--"
    assert most.get_color() == least.get_color() != control.get_color()
    assert most.get_linewidth() > control.get_linewidth() > single.get_linewidth()
    assert paper.get_linestyle() == "None" and to_hex(paper.get_markerfacecolor()) == "#ffffff"
    assert len(axes.collections) == 1, "one curve has an interval"
    assert axes.get_ylim() == (0, 100) and "in %" in axes.get_xlabel()


def test_curves_are_labelled_at_their_ends_and_the_key_says_what_occurs():
    figure = draw_corruption_curves([MOST, LEAST, CONTROL])
    names = {text.get_text() for text in figure.axes[0].texts}
    assert names == {"gradient norm, most", "gradient norm, least", "random pixels, most"}
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key == ["most important first", "least important first"]
    key = draw_corruption_curves([MOST, SINGLE, PAPER]).legends[0].get_texts()
    assert [text.get_text() for text in key] == ["most important first", "single maps", "the paper, most"]


def test_labels_of_curves_that_end_together_do_not_cover_each_other():
    curves = [replace(CONTROL, name=f"control {k}", values=(99, 99, 99, 99 + k / 10)) for k in range(7)]
    figure = draw_corruption_curves(curves)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 7 and not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    assert all(0 <= box.y0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)
    order = sorted(figure.axes[0].texts, key=lambda text: text.get_position()[1])
    assert [text.get_text() for text in order] == [f"control {k}, most" for k in range(7)]


def test_another_quantity_chooses_its_own_limits():
    curve = replace(MOST, values=(0.1, 0.2, 0.3, 0.4), low=None, high=None)
    (axes,) = draw_corruption_curves([curve], quantity="cross-entropy", limits=None).axes
    assert axes.get_ylabel() == "cross-entropy" and axes.get_ylim()[1] < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "best"}, "`kind` must be one of: most, least; got 'best' for 'gradient norm'"),
        ({"role": "star"}, "`role` must be one of: map, control, single, paper; got 'star'"),
        ({"high": None}, "`low` and `high` bound one interval: give both or none for 'gradient norm'"),
        (
            {"values": (99, 80, float("nan"), 40)},
            "`percentages` and `values` must be finite numbers; .* 'gradient norm'",
        ),
        ({"values": (1, 2)}, r"must have one length, 1 or more; got \[4, 2, 4, 4\]"),
        ({"percentages": (), "values": (), "low": None, "high": None}, r"one length, 1 or more; got \[0, 0\]"),
    ],
)
def test_what_is_no_curve(change, message):
    with pytest.raises(InputError, match=message):
        replace(MOST, **change)


@pytest.mark.parametrize(
    ("curves", "count"), [([], 0), ([SINGLE], 0), ([replace(CONTROL, name=str(k)) for k in range(8)], 8)]
)
def test_too_few_and_too_many_curves(curves, count):
    with pytest.raises(InputError, match=f"`curves` must hold maps or controls of 1 to 7 names; got {count} names"):
        draw_corruption_curves(curves)
