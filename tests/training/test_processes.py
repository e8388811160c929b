"""Pieces of work in this process (in others: test_side_by_side)."""

import os

import pytest

from imagrad.training.processes import Link, cores, side_by_side


def square(number, link):
    link.check_wanted()
    link.tell(f"squaring {number}")
    return number * number


def test_results_come_in_order():
    heard = []
    assert side_by_side(square, [3, 1, 2], workers=1, hear=heard.append) == [9, 1, 4]
    assert heard == ["squaring 3", "squaring 1", "squaring 2"]


def test_nothing_to_do():
    assert side_by_side(square, []) == [] and side_by_side(square, [4]) == [16]


def test_what_a_piece_raises_is_raised_and_nothing_more_is_begun():
    begun = []

    def fail(number, link):
        begun.append(number)
        raise ValueError(f"no {number}")

    with pytest.raises(ValueError, match="no 1"):
        side_by_side(fail, [1, 2], workers=1)
    assert begun == [1]


def test_a_link_alone_asks_for_nothing():
    assert Link(print).check_wanted() is None


def test_there_is_a_core():
    assert 1 <= cores() <= os.cpu_count()
