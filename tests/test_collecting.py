"""Garbage collection is put off, and comes back."""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from imagrad.collecting import uncollected
from imagrad.complexstep import tracing
from imagrad.errors import ExportError


def test_it_is_off_inside_and_on_again_afterwards():
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_leaves_it_on():
    with pytest.raises(ValueError, match="meanwhile"), uncollected():
        raise ValueError("meanwhile")
    assert gc.isenabled()


def test_who_has_switched_it_off_keeps_it_off():
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_threads_that_meet_leave_it_on():
    """The second is on its way in when the first leaves, and leaves last."""
    first, second = uncollected(), uncollected()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_many_threads_leave_it_on():
    """With the interpreter switching between them all the time."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def enter(_):
        for _ in range(300):
            with uncollected():
                pass

    try:
        for _ in range(20):
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(enter, range(4)))
            assert gc.isenabled()
    finally:
        sys.setswitchinterval(usual)


def test_tracing_is_not_interrupted_by_it():
    seen = []
    tracing.export(lambda x: seen.append(gc.isenabled()) or 2 * x, (torch.ones(2, 3),), batched=True)
    assert seen == [False]
    assert gc.isenabled()


def test_a_refused_trace_leaves_it_on():
    with pytest.raises(ExportError, match="branch, loop or size"):
        tracing.export(lambda x: x if x.sum() > 0 else -x, (torch.ones(2, 3),), batched=True)
    assert gc.isenabled()
