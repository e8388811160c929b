"""Scores of methods: points, intervals, order, controls."""

import numpy as np
import pytest

from imagrad.errors import InputError
from imagrad.figures import Score, ScorePanel, draw_scores

FIRST = ScorePanel("own class", (Score("b", 0.4, 0.3, 0.5), Score("a", 0.8, 0.7, 0.9)), {"random": 0.1})
SECOND = ScorePanel("area", (Score("a", 3, 2, 4), Score("c", 1, 1, 1)), {"edges": 2.5, "random": 5}, False)


def test_methods_are_rows_sorted_by_the_first_panel():
    left, right = draw_scores([FIRST, SECOND], highlight="a").axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b", "c"]
    assert left.get_ylim()[0] > left.get_ylim()[1], "the best is at the top"
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in left.lines if line.get_marker() == "o"}
    assert points == {(0.8, 0), (0.4, 1)}
    spans = {tuple(np.ravel(line.get_xdata())) for line in left.lines if line.get_marker() != "o"}
    assert spans == {(0.7, 0.9), (0.3, 0.5), (0.1, 0.1)}
    assert "higher" in left.get_xlabel() and "lower" in right.get_xlabel()


def test_a_panel_where_lower_is_better_is_sorted_the_other_way():
    left, *_ = draw_scores([SECOND]).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["c", "a"]


def test_controls_are_dashed_alike_in_all_panels_and_named_once():
    figure = draw_scores([FIRST, SECOND])
    dashes = [{line.get_xdata()[0]: line._dash_pattern for line in axes.lines if len(line.get_xdata()) == 2 and
               line.get_linestyle() != "-"} for axes in figure.axes]  # fmt: skip
    assert list(dashes[0]) == [0.1] and sorted(dashes[1]) == [2.5, 5]
    assert dashes[0][0.1] == dashes[1][5] != dashes[1][2.5]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["random", "edges"]
    assert not draw_scores([ScorePanel("x", FIRST.scores)]).legends


def test_the_highlighted_method_is_bold():
    left, *_ = draw_scores([FIRST], highlight="b").axes
    assert [label.get_fontweight() for label in left.get_yticklabels()] == ["normal", "bold"]


def test_an_interval_that_does_not_hold_its_value():
    with pytest.raises(InputError, match="`value` must lie between `low` and `high`; got 0, 2, 1 for 'a'"):
        Score("a", 2, 0, 1)


@pytest.mark.parametrize(
    ("panels", "options", "message"),
    [
        ([], {}, "`panels` must score 1 to 40 methods; got 0"),
        ([ScorePanel("x", tuple(Score(str(k), 0, 0, 0) for k in range(41)))], {}, "1 to 40 methods; got 41"),
        ([ScorePanel("x", FIRST.scores, dict.fromkeys("abcde", 1))], {}, "at most 4 controls .* got 5: a, b, c, d, e"),
        ([FIRST], {"highlight": "z"}, "`highlight` must be one of the methods scored: a, b; got 'z'"),
    ],
)
def test_what_cannot_be_drawn(panels, options, message):
    with pytest.raises(InputError, match=message):
        draw_scores(panels, **options)
