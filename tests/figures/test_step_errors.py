"""Error against step, as drawn: curves, slopes, labels."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from imagrad.figures import draw_step_errors
from imagrad.reproduce.step_error import StepErrors


@pytest.fixture
def step_errors():
    steps = np.concatenate([10.0 ** -np.arange(1, 20.1, 0.25), 10.0 ** -np.arange(30, 301, 10.0)])
    rounding = np.minimum(2e-16 / steps, 1)
    smooth = StepErrors(steps, steps + rounding, steps**2 + rounding, np.where(steps > 1e-8, steps**2, 0), 0.02)
    linear = StepErrors(steps, rounding, rounding, np.full_like(steps, 1e-16), np.inf)
    return {"linear": linear, "smooth": smooth}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_step_errors_are_drawn_down_to_1e_300(step_errors):
    figure = draw_step_errors(step_errors)
    assert [axes.get_title("left") for axes in figure.axes] == ["(a)  linear", "", "(b)  smooth", ""]
    for axes in figure.axes:
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert axes.get_xlim()[0] > axes.get_xlim()[1], "the smallest step is at the right"
    wide, strip = figure.axes[2:]
    assert strip.get_xlim()[1] < 1e-300 < 1e-1 < wide.get_xlim()[0]
    for axes in (wide, strip):
        complex_, forward, central = axes.lines[:3]
        shown = np.isin(step_errors["smooth"].steps, complex_.get_xdata())
        assert np.array_equal(forward.get_ydata(), step_errors["smooth"].forward[shown])
        assert np.array_equal(central.get_ydata(), step_errors["smooth"].central[shown])
    drawn = np.union1d(wide.lines[0].get_xdata(), strip.lines[0].get_xdata())
    assert len(drawn) == len(step_errors["smooth"].steps), "every step is in one of the parts"


def test_an_error_of_zero_is_drawn_at_a_tenth_of_epsilon(step_errors):
    _, _, wide, strip = draw_step_errors(step_errors).axes
    for axes in (wide, strip):
        lowest = axes.lines[0].get_ydata().min()
        assert lowest == pytest.approx(2.2e-17, rel=0.01) and lowest > axes.get_ylim()[0]


def test_step_errors_are_labelled_with_the_slopes_that_were_found(step_errors):
    linear, _, smooth, _ = draw_step_errors(step_errors).axes
    names = ["complex step", "forward difference", "central difference"]
    assert texts(linear)[-3:] == names, "without truncation there is no slope to tell"
    assert texts(smooth)[-3:] == [f"{n}\nslope {s}" for n, s in zip(names, ("2.00", "1.00", "2.00"), strict=True)]
    assert "a ReLU switches" in texts(smooth) and "a ReLU switches" not in texts(linear)
    assert any(r"\varepsilon$ of float64" in text for text in texts(linear))


def test_labels_of_the_step_errors_do_not_cover_each_other(step_errors):
    figure = draw_step_errors(step_errors)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def test_step_errors_are_told_apart_by_the_colour_blind(step_errors):
    """Each curve has its own marker, and its own lightness where colours look alike."""
    lines = draw_step_errors(step_errors).axes[0].lines[:3]
    assert len({line.get_marker() for line in lines}) == 3
    lightness = sorted(float(np.dot([0.2126, 0.7152, 0.0722], to_rgb(line.get_color()))) for line in lines)
    assert min(np.diff(lightness)) > 0.05
