"""Garbage collection is put off, and comes back."""

import gc

import pytest
import torch

from imagrad.collecting import uncollected
from imagrad.complexstep import tracing
from imagrad.errors import ImagradError


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


def test_tracing_is_not_interrupted_by_it():
    seen = []
    tracing.export(lambda x: seen.append(gc.isenabled()) or 2 * x, (torch.ones(2, 3),), batched=True)
    assert seen == [False]
    assert gc.isenabled()


def test_a_refused_trace_leaves_it_on():
    with pytest.raises(ImagradError):
        tracing.export(lambda x: x if x.sum() > 0 else -x, (torch.ones(2, 3),), batched=True)
    assert gc.isenabled()
