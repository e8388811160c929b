"""Diagrams of the method, in our own layout, where the paper has its Figures 1 to 4."""

from __future__ import annotations

from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imagrad.figures.shapes import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    Box,
    add_arrow,
    add_box,
    add_layer,
    add_line,
    add_link,
    add_node,
    add_text,
    canvas,
)
from imagrad.figures.style import house_style

_WIDTH = 7.0  # of every diagram, in inches: 700 pixels at 100 dots an inch

_TRAINING = (
    "images $x$\npixels from 0 to 1",
    "add noise\n$\\tilde{x} = x + \\kappa\\,\\varepsilon$",
    "train the autoencoder\nuntil $\\hat{x}$ is close to the clean $x$",
    "keep the encoder\n$g = e(x)$",
)
_EXPLAINING = (
    "move one pixel after the other\nalong the imaginary axis: $x + ih\\,e_i$",
    "read one column of the Jacobian\n$\\partial g_j/\\partial x_i = \\mathrm{Im}\\,g_j\\,/\\,h$",
    "take its norm over the code\n$R_i = \\|\\partial g/\\partial x_i\\|_2$",
    "draw all $R_i$ as contours\nsaliency map",
)
_CHECKING = (
    ("1  One class", "Trained on one digit alone, does\nthe map show that digit's shape?"),
    ("2  Translation", "Digits moved to a corner:\ndoes the map move along?"),
    ("3  Corruption", "Does erasing the salient pixels\nmislead a classifier most?"),
)


def draw_approach() -> Figure:
    """Draw the approach from images to checked maps (in place of Fig. 1 of the paper)."""
    with house_style():
        figure, axes = canvas(_WIDTH, 3.8)
        columns = 1.13, 3.5, 5.87
        for x, title in zip(columns, ("Train", "Explain", "Check"), strict=True):
            add_text(axes, (x, 3.6), title, fontsize=10, weight="bold")
        heights = [3.02 - 0.87 * row for row in range(4)]
        training, explaining = ([Box(x, y, 2.1, 0.6) for y in heights] for x in columns[:2])
        checking = [Box(columns[2], y, 2.1, 0.72) for y in (heights[0], (heights[0] + heights[-1]) / 2, heights[-1])]
        for boxes, texts, fill in ((training, _TRAINING, BLUE), (explaining, _EXPLAINING, ORANGE)):
            for box, text in zip(boxes, texts, strict=True):
                add_box(axes, box, text, fill)
        for box, (name, question) in zip(checking, _CHECKING, strict=True):
            add_box(axes, box, f"\n{question}", GREEN)
            add_text(axes, (box.x, box.y + 0.19), name, weight="bold")
        for boxes in (training, explaining):
            for above, below in pairwise(boxes):
                add_arrow(axes, [above.bottom, below.top])
        _turn(axes, training[-1], explaining[0])
        _turn(axes, explaining[-1], checking[0])
        for box in checking[1:]:  # branches of the same line
            add_arrow(axes, [((explaining[-1].right[0] + box.left[0]) / 2, box.y), box.left])
    return figure


def draw_autoencoder() -> Figure:
    """Draw an autoencoder as what it does to the number of values (in place of Fig. 2 of the paper)."""
    with house_style():
        figure, axes = canvas(_WIDTH, 3.0)
        middle = 1.75
        picture, code, again = (
            Box(0.95, middle, 0.34, 2.0),
            Box(3.5, middle, 0.34, 0.7),
            Box(6.05, middle, 0.34, 2.0),
        )
        add_link(axes, picture, code, "encoder\n$g = e(x)$")
        add_link(axes, code, again, "decoder\n$\\hat{x} = d(g)$")
        for box, name, fill in (
            (picture, "input $x$", BLUE),
            (code, "code $g$", ORANGE),
            (again, "output $\\hat{x}$", BLUE),
        ):
            add_layer(axes, box, name, fill)
        add_text(axes, (0.4, middle), "$m$\npixels")
        add_text(axes, (6.6, middle), "$m$\npixels")
        add_text(axes, (3.5, middle + 0.75), "$q$ latents,\nfar fewer than $m$")
        loss = Box(3.5, 0.3, 2.6, 0.42)
        add_box(axes, loss, "loss $\\mathcal{L}(x, \\hat{x})$: what was lost on the way", "white")
        add_arrow(axes, [picture.bottom, (picture.x, loss.y), loss.left])
        add_arrow(axes, [again.bottom, (again.x, loss.y), loss.right])
    return figure


def draw_small_network() -> Figure:
    """Draw the network of three inputs and two outputs whose first input is moved by ih (in place of Fig. 3).

    The weight w_jk leads from x_k to z_j, as in the matrix W of the paper's section 4.
    """
    with house_style():
        figure, axes = canvas(_WIDTH, 3.3)
        inputs = [(0.75, 2.75), (0.75, 1.75), (0.75, 0.75)]
        sums = [(3.2, 2.35), (3.2, 1.15)]
        for k, source in enumerate(inputs):
            add_node(axes, source, f"$x_{k + 1}$", ORANGE if k == 0 else BLUE)
            for j, target in enumerate(sums):
                _weight(axes, source, target, f"$w_{{{j + 1}{k + 1}}}$", is_moved=k == 0)
        add_text(axes, (0.32, 2.75), "$+\\,ih$", weight="bold")
        for j, (x, y) in enumerate(sums):
            _output(axes, x, y, j + 1)
        add_text(axes, (3.2, 0.32), "$z_j = w_{j1}x_1 + w_{j2}x_2 + w_{j3}x_3 + b_j$", fontsize=9)
        add_text(axes, (0.75, 0.32), "inputs")
        add_text(axes, (5.0, 0.32), "outputs")
        add_text(axes, (6.15, 0.32), "derivatives in $x_1$")
    return figure


def draw_stages() -> Figure:
    """Draw both stages: the autoencoder is trained, then its encoder is differentiated (in place of Fig. 4)."""
    with house_style():
        figure, axes = canvas(_WIDTH, 5.05)
        add_text(axes, (0.1, 4.88), "Stage 1: train the denoising autoencoder", ha="left", fontsize=9, weight="bold")
        add_text(
            axes,
            (0.1, 2.27),
            "Stage 2: differentiate its encoder, one pixel at a time",
            ha="left",
            fontsize=9,
            weight="bold",
        )
        _first_stage(axes, 3.65)
        _second_stage(axes, 1.15)
        add_line(axes, (0.1, 2.62), (_WIDTH - 0.1, 2.62), width=0.6, color="0.7")
    return figure


def _turn(axes: Axes, source: Box, target: Box) -> None:
    """Lead an arrow out of the right side of one box into the left side of another, up the space between them."""
    middle = (source.right[0] + target.left[0]) / 2
    add_arrow(axes, [source.right, (middle, source.y), (middle, target.y), target.left])


def _weight(axes: Axes, source: tuple[float, float], target: tuple[float, float], name: str, *, is_moved: bool) -> None:
    """Draw one connection; those that carry the imaginary step are thick."""
    add_line(axes, source, target, width=1.8 if is_moved else 0.7, color=INK if is_moved else "0.55")
    along = 0.72  # where no two lines meet
    place = tuple(a + along * (b - a) for a, b in zip(source, target, strict=True))
    add_text(axes, (place[0], place[1]), name, bbox={"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none"})


def _output(axes: Axes, x: float, y: float, number: int) -> None:
    """Draw what follows a sum: its activation, the output, and the derivative read from it."""
    add_node(axes, (x, y), f"$z_{number}$", "white")
    add_text(axes, (x, y + 0.42), f"$b_{number}$")
    add_arrow(axes, [(x, y + 0.34), (x, y + 0.23)])
    relu, read = Box(4.1, y, 0.62, 0.4), Box(6.15, y, 1.5, 0.62)
    add_box(axes, relu, "ReLU", "white")
    add_node(axes, (5.0, y), f"$y_{number}$", GREEN)
    derivative = rf"$\partial y_{number}/\partial x_1 = \mathrm{{Im}}\,y_{number}\,/\,h$"
    value = rf"$= w_{{{number}1}}$ if $z_{number} > 0$, else 0"
    add_box(axes, read, f"{derivative}\n{value}", ORANGE)
    add_arrow(axes, [(x + 0.23, y), relu.left])
    add_arrow(axes, [relu.right, (4.77, y)])
    add_arrow(axes, [(5.23, y), read.left])


def _first_stage(axes: Axes, y: float) -> None:
    noise, loss = Box(0.7, y, 1.16, 0.8), Box(6.3, y, 1.2, 0.8)
    add_box(axes, noise, "clean image $x$\nplus noise:\n$\\tilde{x} = x + \\kappa\\,\\varepsilon$", "white")
    layers = _encoder(axes, y, "784 pixels $\\tilde{x}$")
    decoder = [Box(4.4, y, 0.3, 1.1), Box(5.25, y, 0.3, 1.7)]
    add_layer(axes, decoder[0], "128, ReLU", "white")
    add_layer(axes, decoder[1], "784 pixels $\\hat{x}$, sigmoid", BLUE)
    for before, after in pairwise([layers[-1], *decoder]):
        add_link(axes, before, after)
    add_box(axes, loss, "compare $\\hat{x}$\nwith the clean $x$:\ncross-entropy", "white")
    add_arrow(axes, [noise.right, layers[0].left])
    add_arrow(axes, [decoder[-1].right, loss.left])
    add_text(axes, (2.75, y + 0.92), "encoder", style="italic")
    add_text(axes, (4.4, y + 0.92), "decoder", style="italic")


def _second_stage(axes: Axes, y: float) -> None:
    moved, read, norm = Box(0.7, y, 1.16, 0.8), Box(4.78, y, 1.2, 0.8), Box(6.3, y, 1.2, 0.8)
    add_box(axes, moved, "one pixel moved:\n$x_i + ih$\n$h = 10^{-16}$", ORANGE)
    layers = _encoder(axes, y, "784 pixels $x$")
    add_text(axes, (2.75, y + 0.92), "encoder, as trained", style="italic")
    add_box(axes, read, "32 derivatives:\n$\\partial g_j/\\partial x_i$\n$= \\mathrm{Im}\\,g_j\\,/\\,h$", GREEN)
    add_box(axes, norm, "one pixel\nof the map:\n$R_i=\\|\\partial g/\\partial x_i\\|_2$", GREEN)
    for start, end in ((moved.right, layers[0].left), (layers[-1].right, read.left), (read.right, norm.left)):
        add_arrow(axes, [start, end])
    add_arrow(axes, [norm.bottom, (norm.x, 0.12), (moved.x, 0.12), moved.bottom])
    add_text(axes, (read.x, 0.24), "the next pixel, 784 times")


def _encoder(axes: Axes, y: float, pixels: str) -> list[Box]:
    """Draw the three layers that both stages share, at the same place; return them."""
    layers = [Box(1.85, y, 0.3, 1.7), Box(2.7, y, 0.3, 1.1), Box(3.55, y, 0.3, 0.8)]
    for box, text, fill in zip(layers, (pixels, "128, ReLU", "32, ReLU"), (BLUE, "white", ORANGE), strict=True):
        add_layer(axes, box, text, fill)
    for before, after in pairwise(layers):
        add_link(axes, before, after)
    add_text(axes, (3.55, y + 0.53), "code $g$")
    return layers
