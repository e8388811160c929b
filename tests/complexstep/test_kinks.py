"""At every kink of every rule: the derivative that the policy promises, and the ties counted."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from imagrad.complexstep import jacobian
from imagrad.complexstep.engines import Task, push, value_and_pull
from imagrad.complexstep.points import Settings
from imagrad.complexstep.program import bind
from imagrad.complexstep.rules import RULES
from imagrad.complexstep.tracing import record
from imagrad.errors import DerivativeError

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # torch's own, under vmap

FLOAT64 = torch.float64
ENGINES = ("forward", "transpose", "complex")


def one_sided(function, x, side):
    """The derivative in the directions of the axes, or against them, by extrapolated differences."""
    columns = []
    for direction in torch.eye(x.numel(), dtype=FLOAT64).view(-1, *x.shape):
        steps = [side * 2.0**-k for k in (12, 13, 14)]
        slopes = [(function(x + step * direction) - function(x)) / step for step in steps]
        first = [2 * b - a for a, b in pairwise(slopes)]
        columns.append((4 * first[1] - first[0]) / 3)
    return torch.stack(columns, -1).reshape(*columns[0].shape, *x.shape)


def vector(*values):
    return torch.tensor(values, dtype=FLOAT64)


AT_ZERO = vector(-1.3, 0.0, 0.7, 0.0)
TIED = vector(1.0, 2.0, 2.0, -1.0, -1.0)  # the largest and the smallest stand twice
PAIRS = torch.tensor([[1.0, 2.0, 2.0], [3.0, 3.0, -1.0]], dtype=FLOAT64)
POOLED = torch.tensor([[1.0, 1.0, 0.0, 2.0], [0.5, -1.0, 2.0, 1.0], [3.0, 0.0, 4.0, 4.0], [1.0, 3.0, 4.0, 0.0]])
POOLED = POOLED.double()[None, None]
HALVES = vector(-1.5, 0.25, 2.0, 0.5)
C = vector(0.3, 0.0, 1.0, 0.0)

KINKS = {  # operation -> (function, a point at kinks, how many); `x + 0 * y`: without a plain right-hand side
    "relu.default": (torch.relu, AT_ZERO, 2),
    "abs.default": (torch.abs, AT_ZERO, 2),
    "leaky_relu.default": (lambda x: F.leaky_relu(x, 0.2), AT_ZERO, 2),
    "rrelu_with_noise_functional.default": (
        lambda x: torch.ops.aten.rrelu_with_noise_functional(x, torch.zeros_like(x), 0.1, 0.3, False)[0], AT_ZERO, 2,
    ),
    "threshold.default": (lambda x: F.threshold(x, 0.0, 0.0), AT_ZERO, 2),
    "_prelu_kernel.default": (lambda x: F.prelu(x, torch.full((1,), 0.3, dtype=FLOAT64)), AT_ZERO, 2),
    "elu.default": (lambda x: F.elu(x, 1.7), AT_ZERO, 2),
    "celu.default": (lambda x: F.celu(x, 1.7), AT_ZERO, 2),
    "hardtanh.default": (F.hardtanh, vector(-1.0, 0.3, 1.0, 2.0), 2),
    "hardsigmoid.default": (F.hardsigmoid, vector(-3.0, 0.3, 3.0, 4.0), 2),
    "hardswish.default": (F.hardswish, vector(-3.0, 0.3, 3.0, 4.0), 2),
    "softshrink.default": (F.softshrink, vector(-0.5, 0.1, 0.5, 2.0), 2),
    "clamp.default": (lambda x: x.clamp(-1, 2), vector(-1.0, 0.3, 2.0, 4.0), 2),
    "clamp_min.default": (lambda x: torch.clamp_min(x, 0), AT_ZERO, 2),
    "clamp_max.default": (lambda x: torch.clamp_max(x, 0), AT_ZERO, 2),
    "clamp.Tensor": (lambda x: x.clamp(C.to(x), 1 + C.to(x)), vector(0.3, 0.5, 2.0, -1.0), 2),
    "maximum.default": (lambda x: torch.maximum(x, x.flip(0)), vector(1.0, 2.0, 2.0, 1.0), 4),
    "minimum.default": (lambda x: torch.minimum(x, C.to(x)), vector(0.3, 0.5, 1.0, -1.0), 2),
    "fmax.default": (lambda x: torch.fmax(x, x.flip(0)), vector(1.0, 2.0, 2.0, 1.0), 4),
    "fmin.default": (lambda x: torch.fmin(x, C.to(x)), vector(0.3, 0.5, 1.0, -1.0), 2),
    "copysign.Tensor": (lambda x: torch.copysign(x, C.to(x)), AT_ZERO, 2),
    "copysign.Scalar": (lambda x: torch.copysign(x, -1.0), AT_ZERO, 2),
    "max.dim": (lambda x: x.max(1).values, PAIRS, 2),
    "min.dim": (lambda x: (-x).min(1).values, PAIRS, 2),
    "amax.default": (lambda x: x.amax(1), PAIRS, 2),
    "amin.default": (lambda x: (-x).amin((0, 1)), PAIRS, 1),
    "max.default": (lambda x: x.max(), TIED, 1),
    "min.default": (lambda x: x.min(), TIED, 1),
    "sort.default": (lambda x: x.sort().values, TIED, 2),
    "sort.stable": (lambda x: x.sort(stable=True).values, TIED, 2),
    "topk.default": (lambda x: x.topk(3).values, TIED, 2),
    "kthvalue.default": (lambda x: x.kthvalue(4).values, TIED, 2),
    "median.dim": (lambda x: x.median(0).values, vector(1.0, 2.0, 2.0, -1.0, 3.0), 1),
    "median.default": (lambda x: x.median(), vector(1.0, 2.0, 2.0, -1.0, 3.0), 1),
    "cummax.default": (lambda x: x.cummax(0).values, TIED, 2),
    "cummin.default": (lambda x: x.cummin(0).values, TIED, 2),
    "max_pool2d_with_indices.default": (lambda x: F.max_pool2d(x, 2), POOLED, 4),
    "max_pool3d_with_indices.default": (lambda x: F.max_pool3d(x[None], (1, 2, 2)), POOLED, 4),
    "adaptive_max_pool2d.default": (lambda x: F.adaptive_max_pool2d(x, 2), POOLED, 4),
    "adaptive_max_pool3d.default": (lambda x: F.adaptive_max_pool3d(x[None], (1, 2, 2)), POOLED, 4),
    "linalg_vector_norm.default": (lambda x: torch.linalg.vector_norm(x, dim=1), PAIRS * vector(1, 0)[:, None], 1),
    "scatter_reduce.two": (
        lambda x: torch.zeros(2).to(x).scatter_reduce(0, torch.tensor([0, 1, 1, 0, 0]), x, "amax", include_self=False),
        TIED, 1,
    ),
    "grid_sampler_2d.default": (
        lambda x: F.grid_sample(POOLED.to(x), x.view(1, 1, 1, 2), align_corners=True), vector(1 / 3, 0.1), 1,
    ),
}  # fmt: skip
JUMPS = {  # operations that jump at their kinks have no one-sided derivative there: the ties are counted
    "angle.default": (lambda x: x.angle(), AT_ZERO, 2),
    "ceil.default": (torch.ceil, vector(1.0, 1.5, -2.0), 2),
    "floor.default": (torch.floor, vector(1.0, 1.5, -2.0), 2),
    "trunc.default": (torch.trunc, vector(1.0, 1.5, -2.0), 2),
    "frac.default": (torch.frac, vector(1.0, 1.5, -2.0), 2),
    "round.default": (torch.round, HALVES, 2),
    "round.decimals": (lambda x: torch.round(x, decimals=1), vector(0.25, 0.3, 1.75), 2),
    "sign.default": (torch.sign, AT_ZERO, 2),
    "sgn.default": (torch.sgn, AT_ZERO, 2),
    "heaviside.default": (lambda x: torch.heaviside(x, torch.ones(()).to(x)), AT_ZERO, 2),
    "hardshrink.default": (F.hardshrink, vector(-0.5, 0.1, 0.5, 2.0), 2),
    "fmod.Scalar": (lambda x: torch.fmod(x, 2.0), vector(2.0, -4.0, 1.0), 2),
    "remainder.Scalar": (lambda x: torch.remainder(x, 2.0), vector(2.0, -4.0, 1.0), 2),
    "fmod.Tensor": (lambda x: torch.fmod(x, 2 * torch.ones(()).to(x)), vector(2.0, -4.0, 1.0), 2),
    "remainder.Tensor": (lambda x: torch.remainder(x, 2 * torch.ones(()).to(x)), vector(2.0, -4.0, 1.0), 2),
    "floor_divide.default": (lambda x: torch.floor_divide(x, 2.0), vector(2.0, -4.0, 1.0), 2),
    "div.Tensor_mode": (lambda x: torch.div(x, 2.0, rounding_mode="trunc"), vector(2.0, -4.0, 1.0), 2),
    "gt.Scalar": (lambda x: torch.where(x > 0, 2 * x, x), AT_ZERO, 2),
    "gt.Tensor": (lambda x: torch.where(x > x.flip(0), 2 * x, x.flip(0)), vector(1.0, 2.0, 2.0, 1.0), 4),
}
NOWHERE = {"nan_to_num.default", "signbit.default", "grid_sampler_3d.default", "div.Scalar_mode"} | {
    f"{name}.{kind}" for name in ("eq", "ne", "ge", "le", "lt") for kind in ("Scalar", "Tensor")
}  # no kinks but where the argument is infinite; the same code as another in these tables


IN_FLOAT32 = ("hardsigmoid.default", "celu.default")  # autograd's own 1/6 and 1/alpha are, and off by 3e-8


def test_every_rule_with_kinks_is_in_a_table():
    kinked = {name.removeprefix("aten.") for name in RULES if RULES[name].gap is not None}
    assert kinked == KINKS.keys() | JUMPS.keys() | NOWHERE


def program_of(function, x):
    return bind(record(lambda point: function(point), (x,)), function, FLOAT64, "cpu")


def derivative(program, x, engine, kinks="ad"):
    """The Jacobian by an engine, without tracing again."""
    task = Task(program, x, (), Settings(engine, kinks=kinks))
    if engine != "transpose":
        return push(task, torch.eye(x.numel(), dtype=FLOAT64).view(-1, *x.shape)).movedim(0, -1).flatten()
    value, pull = value_and_pull(task)
    return pull(torch.eye(value.numel(), dtype=FLOAT64).view(-1, *value.shape)).flatten()


@pytest.mark.parametrize("name", sorted(KINKS | JUMPS))
def test_ties_are_counted(name):
    function, x, count = (KINKS | JUMPS)[name]
    assert program_of(function, x).ties(x)[1][f"aten.{name}"] == count


@pytest.mark.parametrize("name", sorted(KINKS))
def test_at_a_kink_every_policy_gives_the_derivative_it_promises(name):
    function, x, _ = KINKS[name]
    program = program_of(function, x)
    ad = torch.func.jacrev(function)(x).flatten()
    for engine in ENGINES:
        found = derivative(program, x, engine)
        assert torch.allclose(found, ad, rtol=1e-7 if name in IN_FLOAT32 else 1e-14, atol=1e-15), engine
    right, left = one_sided(function, x, 1).flatten(), one_sided(function, x, -1).flatten()
    for engine in ("forward", "complex"):
        for kinks, expected in (("right", right), ("left", left), ("mean", (right + left) / 2)):
            found = derivative(program, x, engine, kinks)
            assert torch.allclose(found, expected, rtol=1e-6, atol=1e-7), (kinks, engine)


def test_a_kink_can_be_refused():
    function, x, _ = KINKS["max_pool2d_with_indices.default"]
    with pytest.raises(
        DerivativeError, match=r"at a kink, .* no derivative: aten\.max_pool2d_with_indices\.default 4 times"
    ):
        jacobian(function, x, kinks="raise")


def test_a_comparison_seen_from_one_side():
    function = lambda x: torch.where(x > 0, 2 * x, 3 * x)  # noqa: E731
    x = vector(0.0)
    found = {kinks: float(jacobian(function, x, kinks=kinks)) for kinks in ("ad", "right", "left", "mean")}
    assert found == {"ad": 3.0, "right": 2.0, "left": 3.0, "mean": 2.5}


def test_equality_with_zero_is_decided_by_the_real_part():
    """0 + ih is not 0: a naive complex step takes the other branch."""
    function = lambda x: torch.where(x == 0, 5 * x, x)  # noqa: E731
    for engine in ENGINES:
        assert float(jacobian(function, vector(0.0), engine=engine)) == 5.0
