"""What the tests of all checks share: fewer resamples than a result to be quoted needs."""

import pytest

from imagrad.checks import intervals


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch, request):
    if request.module.__name__.split(".")[-1] != "test_intervals":
        monkeypatch.setattr(intervals, "_RESAMPLES", 100)
