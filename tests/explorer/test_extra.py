"""Says why the tests of the explorer are not run, where its packages are missing."""

import pytest


def test_the_explorer_can_be_tested():
    assert pytest.importorskip("fastapi", reason="the tests of the explorer need imagrad[explorer]").FastAPI
