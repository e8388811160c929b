"""What is free is read from files: once in a while, not for every map."""

import pytest
import torch

from imagrad.complexstep import points
from imagrad.complexstep.points import Settings


@pytest.fixture
def free(monkeypatch):
    """What is free, to be changed, and how often it has been read."""
    told = {"bytes": 4000, "reads": 0}

    def read(device):
        told["reads"] += 1
        return told["bytes"]

    monkeypatch.setattr(points, "free_memory", read)
    points._free_while.cache_clear()
    yield told
    points._free_while.cache_clear()


CPU = torch.device("cpu")


def test_a_quarter_of_what_is_free_is_the_budget(free):
    assert Settings().budget(CPU) == 1000
    assert Settings(memory_budget=7).budget(CPU) == 7


def test_what_is_free_is_read_again_after_a_while(free, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(points.time, "monotonic", lambda: now[0])
    assert [Settings().budget(CPU) for _ in range(3)] == [1000] * 3
    assert free["reads"] == 1
    free["bytes"], now[0] = 800, 102.0
    assert Settings().budget(CPU) == 200
    assert free["reads"] == 2


def test_each_device_has_its_own(free):
    Settings().budget(CPU)
    Settings().budget(torch.device("meta"))
    assert free["reads"] == 2


def test_what_is_free_here_is_some_bytes():
    assert 0 < points.free_memory(CPU) < 2**50
