"""Many clients at a time: right answers or the stated refusals, and memory that does not grow."""

import importlib.util
from pathlib import Path

import pytest

from .loops import done
from .serving import served

BENCHMARK = Path(__file__).parents[2] / "benchmarks/explorer.py"


@pytest.fixture(scope="module")
def load():
    import sys

    spec = importlib.util.spec_from_file_location("explorer_benchmark", BENCHMARK)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_fifty_clients_for_a_few_seconds(load, run_folder):
    with served(run_folder, "--data", "digits:test[:20]") as (process, url, _):
        address = url.rstrip("/")
        done(load.draw_for(address, 5, 2, size=64))  # what is loaded at first use is loaded
        before = load.megabytes(process.pid)
        found = done(load.draw_for(address, 50, 5, size=64))
        after = load.megabytes(process.pid)
    assert [text for text in found.failures if not text.startswith("408: ")] == []
    assert set(found.statuses) <= {200, 408, 429, 503}
    assert found.statuses[200] > 20
    assert not after > before + 150, (before, after)  # what it remembers is some kilobytes here
