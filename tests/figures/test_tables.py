"""Tables as heat maps: the number in each cell, readable, the diagonal outlined."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from imagrad.errors import InputError
from imagrad.figures import draw_table_heat

DIGITS = [str(digit) for digit in range(10)]


def test_each_cell_has_its_number_and_the_diagonal_is_outlined():
    values = np.linspace(0, 0.99, 100).reshape(10, 10)
    (axes,) = draw_table_heat(values, DIGITS, DIGITS, "similarity", sides=("network", "digit")).axes
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(c + 0.5, r + 0.5): f"{values[r, c]:.2f}" for r in range(10) for c in range(10)}
    assert [patch.get_xy() for patch in axes.patches] == [(k, k) for k in range(10)]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first row is at the top"
    assert (axes.get_title("left"), axes.get_ylabel(), axes.get_xlabel()) == ("similarity", "network", "digit")
    colours = [to_hex(text.get_color()) for text in axes.texts]
    assert colours[0] == "#000000" and colours[-1] == "#ffffff", "white on dark, black on pale"


def test_a_table_that_is_no_square_has_no_diagonal_and_nan_is_empty():
    (axes,) = draw_table_heat(np.array([[0.1, np.nan, 0.3]]), ["a"], DIGITS[:3], limits=(0, 1)).axes
    assert [text.get_text() for text in axes.texts] == ["0.10", "0.30"] and not axes.patches
    assert axes.collections[0].get_clim() == (0, 1)


def test_a_table_of_one_value():
    (axes,) = draw_table_heat(np.full((2, 2), 0.5), DIGITS[:2], DIGITS[:2]).axes
    assert [text.get_text() for text in axes.texts] == ["0.50"] * 4


@pytest.mark.parametrize(
    ("values", "rows", "message"),
    [
        (np.zeros((2, 3)), 2, r"`values` must have shape \(2, 2\), one a name and 400 at most; got \(2, 3\)"),
        (np.zeros((21, 21)), 21, r"400 at most; got \(21, 21\)"),
        (np.zeros((0, 0)), 0, r"400 at most; got \(0, 0\)"),
        (np.full((2, 2), np.nan), 2, "there is nothing to draw: no cell of `values` is a number"),
    ],
)
def test_what_is_no_table(values, rows, message):
    names = [str(k) for k in range(rows)]
    with pytest.raises(InputError, match=message):
        draw_table_heat(values, names, names)
