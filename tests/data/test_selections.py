import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagrad.data.selections import Selection, parse_selection, range_text, select
from imagrad.data.sources import Source
from imagrad.errors import SelectionError


@pytest.mark.parametrize(
    ("text", "selection"),
    [
        ("mnist", Selection("mnist")),
        ("mnist:test", Selection("mnist", "test")),
        ("mnist:train/label=3", Selection("mnist", "train", "3")),
        ("mnist:test[:1000]", Selection("mnist", "test", None, slice(None, 1000, None))),
        ("mnist:train/label=3[5:10]", Selection("mnist", "train", "3", slice(5, 10, None))),
        ("digits[::10]", Selection("digits", None, None, slice(None, None, 10))),
        ("digits[7]", Selection("digits", None, None, slice(7, 8))),
        ("digits[-1]", Selection("digits", None, None, slice(-1, None))),
        ("some/folder/label=cat[:3]", Selection("some/folder", None, "cat", slice(None, 3, None))),
        ("a b/c.npy[2:]", Selection("a b/c.npy", None, None, slice(2, None, None))),
    ],
)
def test_grammar(text, selection):
    assert parse_selection(text) == selection


@given(st.integers(-20, 20) | st.none(), st.integers(-20, 20) | st.none(), st.integers(1, 5) | st.none())
def test_ranges_are_pythons(start, stop, step):
    text = ":".join("" if part is None else str(part) for part in (start, stop, step))
    assert list(range(15))[parse_selection(f"x[{text}]").range] == list(range(15))[start:stop:step]


@given(st.integers(-20, 20) | st.none(), st.integers(-20, 20) | st.none(), st.integers(1, 5) | st.none())
def test_a_range_is_written_as_it_is_read(start, stop, step):
    chosen = slice(start, stop, step)
    assert parse_selection(f"x{range_text(chosen)}").range == chosen


@pytest.mark.parametrize("text", ["", "[:100]", "[10:20]", "[::10]", "[5:]", "[-3:-1:2]"])
def test_a_range_that_is_read_is_written_as_it_was(text):
    assert range_text(parse_selection(f"x{text}").range) == text


def test_a_path_that_exists_is_taken_as_it_is(tmp_path):
    odd = tmp_path / "run[3]"
    odd.mkdir()
    assert parse_selection(str(odd)) == Selection(str(odd))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read the data selection ''; expected something like mnist:test"),
        ("mnist[abc]", r"cannot read the range \[abc\] of 'mnist\[abc\]'; expected \[5\], \[:100\]"),
        ("mnist[]", r"cannot read the range \[\]"),
        ("mnist[1:2:0]", "step of the range .* must not be 0"),
        ("mnist[1", "cannot read the data selection"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(SelectionError, match=message):
        parse_selection(text)


SOURCE = Source(6, lambda indices: indices, np.array([0, 1, 0, 1, 1, 0]), ("cat", "dog"))


@pytest.mark.parametrize(
    ("text", "indices"),
    [("x", [0, 1, 2, 3, 4, 5]), ("x/label=dog", [1, 3, 4]), ("x/label=dog[1:]", [3, 4]), ("x[-1]", [5])],
)
def test_select(text, indices):
    assert select(SOURCE, parse_selection(text), text).tolist() == indices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x/label=cow", "x has the labels cat, dog; got 'cow'"),
        ("x[10:]", r"'x\[10:\]' selects no image: there are 6 to choose from"),
        ("x[6]", "selects no image"),
    ],
)
def test_what_selects_nothing(text, message):
    with pytest.raises(SelectionError, match=message):
        select(SOURCE, parse_selection(text), text)


def test_label_without_labels():
    with pytest.raises(SelectionError, match="asks for a label, but x has no labels"):
        select(Source(2, lambda indices: indices), parse_selection("x/label=1"), "x/label=1")
