"""Diagrams by what a reader needs: text inside its shape, nothing covered, arrows that touch, the same each time."""

import io

import pytest
from matplotlib.patches import FancyArrowPatch

from imagrad.figures import draw_approach, draw_autoencoder, draw_small_network, draw_stages
from imagrad.figures.shapes import Box, add_arrow, add_box, canvas

DIAGRAMS = [draw_approach, draw_autoencoder, draw_small_network, draw_stages]
WORDS = {
    draw_approach: ["Train", "Explain", "Check", "add noise", "1  One class", "2  Translation", "3  Corruption"],
    draw_autoencoder: ["input $x$", "encoder", "code $g$", "decoder", r"output $\hat{x}$", "loss"],
    draw_small_network: ["$x_3$", "$w_{11}$", "$w_{23}$", "$z_2$", "$y_2$", "ReLU", "$+\\,ih$"],
    draw_stages: ["Stage 1", "Stage 2", "784 pixels", "128, ReLU", "32, ReLU", r"\mathrm{Im}\,g_j\,/\,h"],
}


def drawn(figure):
    figure.draw_without_rendering()
    return figure.axes[0]


def texts_outside(axes):
    """List the labels that reach over the edge of every shape."""
    shapes = [patch.get_window_extent() for patch in axes.patches if patch.get_gid() == "shape"]
    outside = []
    for text in axes.texts:
        box = text.get_window_extent()
        if text.get_gid() == "label" and not any(
            s.x0 <= box.x0 and box.x1 <= s.x1 and s.y0 <= box.y0 and box.y1 <= s.y1 for s in shapes
        ):
            outside.append(text.get_text())
    return outside


@pytest.mark.parametrize("draw", DIAGRAMS)
def test_text_stays_inside_its_shape_and_the_page(draw):
    figure = draw()
    axes = drawn(figure)
    assert texts_outside(axes) == []
    for text in axes.texts:
        box = text.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1


def test_a_text_that_is_too_long_is_found():
    _, axes = canvas(3, 1)
    add_box(axes, Box(1.5, 0.5, 1, 0.4), "more words than fit into this box", "white")
    assert texts_outside(drawn(axes.figure)) == ["more words than fit into this box"]


@pytest.mark.parametrize("draw", DIAGRAMS)
def test_no_text_covers_another(draw):
    axes = drawn(draw())
    boxes = [(text.get_text(), text.get_window_extent()) for text in axes.texts if not text.get_text().startswith("\n")]
    assert [(a, b) for k, (a, x) in enumerate(boxes) for b, y in boxes[:k] if x.overlaps(y)] == []


def loose_arrows(axes):
    """List the ends of arrows that lie on the edge of no shape, to a dot."""
    shapes = [patch.get_window_extent() for patch in axes.patches if patch.get_gid() == "shape"]
    loose = []
    for arrow in arrows_of(axes):
        end = arrow._posA_posB[1]
        x, y = axes.transData.transform(end)
        if not any(
            min(abs(x - s.x0), abs(x - s.x1), abs(y - s.y0), abs(y - s.y1)) < 1
            and s.x0 - 1 < x < s.x1 + 1
            and s.y0 - 1 < y < s.y1 + 1
            for s in shapes
        ):
            loose.append(end)
    return loose


def arrows_of(axes):
    return [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]


@pytest.mark.parametrize("draw", DIAGRAMS)
def test_arrows_end_on_the_edge_of_a_shape(draw):
    axes = drawn(draw())
    assert arrows_of(axes) and loose_arrows(axes) == []


def test_an_arrow_that_misses_its_box_is_found():
    _, axes = canvas(3, 1)
    box = Box(2, 0.5, 1, 0.4)
    add_box(axes, box, "here", "white")
    add_arrow(axes, [(0.5, 0.5), box.left])
    add_arrow(axes, [(0.5, 0.2), (1.4, 0.2)])
    assert loose_arrows(drawn(axes.figure)) == [(1.4, 0.2)]


@pytest.mark.parametrize("draw", DIAGRAMS)
def test_diagrams_say_what_they_show(draw):
    written = "\n".join(text.get_text() for text in draw().axes[0].texts)
    assert [word for word in WORDS[draw] if word not in written] == []


@pytest.mark.parametrize("draw", DIAGRAMS)
def test_diagrams_are_the_same_each_time_and_seven_inches_wide(draw):
    files = []
    for _ in range(2):
        buffer = io.BytesIO()
        draw().savefig(buffer, format="png", dpi=100)
        files.append(buffer.getvalue())
    assert files[0] == files[1] and draw().get_size_inches()[0] == 7


def test_the_thick_connections_are_those_that_carry_the_step():
    lines = draw_small_network().axes[0].lines
    thick = [line for line in lines if line.get_linewidth() > 1]
    assert len(thick) == 2 and {(line.get_xdata()[0], line.get_ydata()[0]) for line in thick} == {(0.75, 2.75)}
