import pytest

from imagrad.errors import UnknownNameError
from imagrad.registry import REGISTRIES, Registry


@pytest.fixture
def shapes():
    registry = Registry("shape", listed=False)

    @registry.register("square")
    def square():
        """Draw a square.

        And more.
        """

    return registry


def test_entry_is_found_by_name(shapes):
    assert shapes["square"].__name__ == "square"
    assert list(shapes) == ["square"]
    assert "circle" not in shapes


def test_unknown_name_lists_the_known_ones(shapes):
    with pytest.raises(UnknownNameError, match=r"unknown shape 'sqare'; known: square\. Did you mean 'square'\?"):
        shapes["sqare"]


def test_double_name_is_refused(shapes):
    with pytest.raises(ValueError, match="the shape 'square' is registered twice"):
        shapes.register("square")(lambda: None)


def test_summary_is_the_first_line(shapes):
    assert shapes.summaries() == {"square": "Draw a square."}


def test_listed_registries_have_a_summary_for_every_entry():
    for kind, registry in REGISTRIES.items():
        assert all(registry.summaries().values()), f"a {kind} entry has no docstring"
