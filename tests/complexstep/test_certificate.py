"""The certificate as data and in words, and how near the nearest kink is."""

import json
import re
from functools import cache
from math import inf, nan

import pytest
import torch
from torch import nn

from imagrad.complexstep.certificate import Certificate, Check, Entries, certify
from imagrad.complexstep.engines import Task
from imagrad.complexstep.points import Settings
from imagrad.complexstep.program import bind
from imagrad.complexstep.tracing import export


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def program(function, point):
    return bind(export(function, (point,), batched=True), function, torch.float64, point.device)


@cache
def remembered(function, shape):
    return program(function, torch.rand(shape, dtype=torch.float64))


def task(function, point, engine):
    return Task(remembered(function, point.shape), point, (), Settings(engine=engine), batched=True)


# --- what is compared ---


def tanh_task(engine="complex", dtype=torch.float64):
    point = torch.rand(2, 4, dtype=torch.float64, generator=generator())
    found = task(torch.tanh, point, engine)
    if dtype == torch.float64:
        return found
    graph = found.program.graph
    return Task(
        bind(graph, torch.tanh, dtype, point.device), point.to(dtype), (), Settings(engine=engine), batched=True
    )


def entries(exact, factor=1.0, dtype=torch.float64):
    slopes = 1 - exact.point.tanh() ** 2
    picked = factor * slopes[[0, 1], [1, 3]].to(dtype)
    return Entries(exact.point, (), torch.tensor([1, 3]), picked, slopes.amax(1), lambda d: d.norm(dim=1))


def test_all_is_well():
    exact = tanh_task()
    found = certify(exact, exact.point.tanh(), tanh_task("forward"), [entries(exact)], {}, 0)
    assert found.passed and len(found.checks) == 5
    assert found.operations["aten.tanh.default"] == 1 and found.nearest_kink is None and found.by_formula == ()


@pytest.mark.parametrize(
    ("dtype", "wrong", "right"), [(torch.float64, 1 + 1e-12, 1 + 1e-14), (torch.float32, 1 + 1e-3, 1 + 1e-5)]
)
def test_entries_are_compared_at_a_tolerance_for_their_type(dtype, wrong, right):
    exact, engine = tanh_task(), tanh_task("forward", dtype)
    for factor, passes in ((wrong, False), (right, True), (nan, False), (inf, False), (-1.0, False), (0.0, False)):
        found = certify(exact, exact.point.tanh(), engine, [entries(exact, factor, dtype)], {}, 0)
        assert found.passed == passes, factor
        assert found.checks[1].limit == 1000 * torch.finfo(dtype).eps


def test_the_value_is_compared():
    exact = tanh_task()
    for own in (exact.point.tanh() + 1e-10, exact.point.tanh() * nan):
        found = certify(exact, own, tanh_task("forward"), [entries(exact)], {}, 0)
        assert [check.name for check in found.checks if not check.passed] == ["real part against the network itself"]


def test_erf_gelu_is_named_as_checked_from_outside_only():
    point = torch.randn(2, 4, dtype=torch.float64, generator=generator())
    net = nn.GELU()
    found = certify(task(net, point, "complex"), net(point), task(net, point, "transpose"), [], {}, 0)
    assert found.passed and found.by_formula == ("aten.gelu.default",)
    assert "checked by central differences only: aten.gelu.default." in str(found)


def test_differences_are_taken_where_a_kink_does_not_disturb_them():
    """An image closer to a kink than the first difference reaches: the next ones are taken."""
    point = torch.tensor([[1e-8, -3e-8, 1.0], [2e-7, 1.0, -1e-9]], dtype=torch.float64)
    found = certify(task(torch.relu, point, "complex"), point.relu(), task(torch.relu, point, "forward"), [], {}, 0)
    assert found.passed, str(found)
    assert found.nearest_kink < 1e-6


def test_nothing_checked_is_not_passed():
    assert not Certificate(()).passed


# --- as data, and in words ---

CERTIFICATE = Certificate(
    (
        Check("real part", True, 1e-9, 1e-6, 10),
        Check("map entries", False, inf, 1e-12, 8),
        Check("bad", False, 2, 0.0, 9),
    ),
    {"aten.relu.default": 2, "aten.gelu.default": 1},
    {"aten.relu.default": "piecewise", "aten.gelu.default": "pointwise"},
    ("aten.gelu.default",),
    {"aten.relu.default": 6},
    0.00321,
    ("one thing was not compared.",),
)  # fmt: skip


def test_written_and_read_as_json():
    text = json.dumps(CERTIFICATE.as_dict(), allow_nan=False)
    assert Certificate.from_dict(json.loads(text)) == CERTIFICATE
    assert json.loads(text)["passed"] is False and json.loads(text)["checks"][1]["worst"] is None


def test_in_words():
    assert str(CERTIFICATE) == (
        "Certificate: FAILED.\n"
        "  passed: real part (10 numbers, worst 1.0e-09, limit 1.0e-06)\n"
        "  FAILED: map entries (8 numbers, worst inf, limit 1.0e-12)\n"
        "  FAILED: bad: 2 of 9\n"
        "  3 operations carry the derivative, by rules of these kinds: piecewise 2, pointwise 1.\n"
        "  without a complex kernel, so checked by central differences only: aten.gelu.default.\n"
        "  exactly at a kink: aten.relu.default 6 times.\n"
        "  the nearest kink is about 3.2e-03 away from the images that were looked at.\n"
        "  note: one thing was not compared."
    )


def test_a_seed_decides_what_is_compared():
    exact, engine = tanh_task(), tanh_task("forward", torch.float32)
    first, again, other = (certify(exact, exact.point.tanh(), engine, [], {}, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert not re.search("nan|inf", str(first))
