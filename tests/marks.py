"""Marks for some values of a parametrised test."""

import pytest


def slow(*values):
    """Leave these values out of the quick suite."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]
