"""Rules of a user's own: filed, checked; and the checker finds every kind of planted fault."""

from dataclasses import replace

import pytest
import torch

from imagrad.complexstep import jacobian
from imagrad.complexstep.number import Lifted, Poison
from imagrad.complexstep.rule_checks import check_rule
from imagrad.complexstep.rules import RULES
from imagrad.complexstep.rules.own import register_rule
from imagrad.errors import DerivativeError, InputError, UnsupportedOperationError

aten = torch.ops.aten
FLOAT64 = torch.float64
X = torch.tensor([[-1.5, 0.3, 2.0], [0.7, -0.2, 1.1]], dtype=FLOAT64)


@torch.library.custom_op("imagrad_tests::cube", mutates_args=())
def cube(x: torch.Tensor) -> torch.Tensor:
    return x**3


@cube.register_fake
def _(x):
    return torch.empty_like(x)


@torch.library.custom_op("imagrad_tests::both", mutates_args=())
def both(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x * y, x.sin() + y


@pytest.fixture
def registry():
    """Take away afterwards what a test files."""
    before = set(RULES)
    yield RULES
    for name in set(RULES) - before:
        del RULES._entries[name]


def plant(monkeypatch, operation, apply):
    monkeypatch.setitem(RULES._entries, str(operation), replace(RULES[str(operation)], apply=apply))


# --- filing ---
def test_a_derivative_is_filed_checked_and_used(registry):
    assert register_rule(cube, derivative=lambda y, x: 3 * x**2, kernel=lambda z: z * z * z) is None
    check_rule(cube, X)
    for engine in ("forward", "transpose", "complex"):
        found = jacobian(lambda x: cube(x), X[0], engine=engine)
        assert torch.allclose(found, torch.diag(3 * X[0] ** 2), rtol=1e-15, atol=0)


def test_a_rule_is_filed_by_a_decorator(registry):
    @register_rule(both)
    def rule_of_both(x, y):
        """Multiply, and more."""
        some = x if isinstance(x, Lifted) else y
        (a, v), (b, w) = ((z.re, z.im) if isinstance(z, Lifted) else (z, torch.zeros_like(z)) for z in (x, y))
        first, second = a * b, a.sin() + b
        if some.arithmetic.is_complex:
            first = first - v * w
        return some.of(first, v * b + a * w), some.of(second, a.cos() * v + w)

    check_rule(both, X, 2 * X)
    assert RULES["imagrad_tests.both.default"].summary == "Multiply, and more."


def test_a_linear_operation_is_filed_by_a_word(registry):
    schema = "(Tensor x) -> Tensor"
    operation = torch.library.custom_op("imagrad_tests::twice", lambda x: 2 * x, mutates_args=(), schema=schema)
    operation.register_fake(torch.empty_like)
    register_rule(operation, linear=True)
    assert torch.equal(jacobian(lambda x: operation(x), X[0], engine="forward"), 2 * torch.eye(3, dtype=FLOAT64))
    with pytest.raises(DerivativeError, match="by operations that torch can transpose; it raised RuntimeError"):
        check_rule(torch.ops.imagrad_tests.twice, X)  # torch cannot turn a custom operation round under vmap


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: register_rule(aten.tanh.default, linear=True), r"must be one without a rule; aten\.tanh\.default has"),
        (lambda: register_rule(torch.tanh, linear=True), r"must be one of torch\.ops, such as .*; got <built-in"),
        (lambda: register_rule(aten.frexp, linear=True), r"must be one overload; aten\.frexp has Tensor, Tensor_out"),
        (lambda: register_rule(cube, linear=True, derivative=abs), "`linear` says all of a rule"),
        (lambda: register_rule(cube, kernel=abs), "`kernel` continues a `derivative`"),
        (lambda: check_rule(aten.tanh.default, 3), "must hold a floating-point tensor"),
        (lambda: check_rule(aten.relu.default, torch.zeros(2)), r"must not stand at a kink of aten\.relu\.default"),
    ],
)
def test_what_cannot_be_filed_or_checked_is_refused(call, text):
    with pytest.raises(InputError, match=text):
        call()


def test_an_operation_without_a_rule_is_told_so():
    with pytest.raises(UnsupportedOperationError, match=r"imagrad_tests\.both\.default must have a complex-step rule"):
        check_rule(both, X, X)


# --- rules that are right pass ---
GENERATOR = torch.Generator().manual_seed(5)
A, B = (torch.randn(3, 3, dtype=FLOAT64, generator=GENERATOR) for _ in range(2))


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (aten.sigmoid.default, (X,)),
        (aten.mm.default, (A, B)),
        (aten.cat.default, ([A, B], 1)),
        (aten.addmm.default, (A[0], A, B)),
        (aten.relu.default, (X,)),
        (aten.max_pool2d_with_indices.default, (torch.randn(1, 2, 6, 6, dtype=FLOAT64, generator=GENERATOR), [2, 2])),
        (aten.native_layer_norm.default, (A, [3], B[0], B[1], 1e-5)),
        (aten.where.self, (A > 0, A, B)),
        (aten._softmax.default, (A, 1, False)),
        (aten.linalg_vector_norm.default, (A, 3.0, [0])),
        (aten.convolution.default, (torch.randn(1, 2, 5, 5, dtype=FLOAT64, generator=GENERATOR),
                                    torch.randn(3, 2, 3, 3, dtype=FLOAT64, generator=GENERATOR), A[0],
                                    [1, 1], [0, 0], [1, 1], False, [0, 0], 1)),
    ],
    ids=lambda value: str(value) if isinstance(value, torch._ops.OpOverload) else "",
)  # fmt: skip
def test_our_rules_pass(operation, arguments):
    check_rule(operation, *arguments)


# --- faults, each planted in a rule that was right ---
TANH = RULES["aten.tanh.default"].apply


def depends_on_size(z):
    """Right for short directions, off for long ones."""
    return z.of(TANH(z).re, TANH(z).im * (1 + 0.01 * (z.im.abs().amax() > 5)))


def detached(z):
    return z.of(TANH(z).re, TANH(z).im.detach())


def branching(z):
    return TANH(z) if float(z.im.sum()) < 1e9 else z


FAULTS = {
    "value": (
        lambda z: z.of(TANH(z).re + 1e-12, TANH(z).im),
        r"the value must be -?0\.\d+ at \(\d,\), by the operation",
    ),
    "slope": (lambda z: z.of(TANH(z).re, 1.001 * TANH(z).im), r"direction must be .*; it is .*, 1\.001 times as much"),
    "sign": (lambda z: z.of(TANH(z).re, -TANH(z).im), "-1 times as much"),
    "not linear": (depends_on_size, r"the derivative along 2 v \+ 3 w must be .*, by linearity in the imaginary part"),
    "no transpose": (detached, r"the product <J'u, v> must be .*, by <u, J v>; it is 0"),
    "not under vmap": (
        branching,
        r"must work under torch\.vmap, over the imaginary part alone; it raised RuntimeError",
    ),
    "complex": (
        lambda z: z.of(TANH(z).re, z.im) if z.arithmetic.is_complex else TANH(z),
        "the derivative in complex arithmetic must be .*, by that of the pair",
    ),
    "one side": (
        lambda z: z.of(TANH(z).re, z.im) if z.arithmetic.is_one_sided else TANH(z),
        "the one-sided derivative must be",
    ),
    "type": (
        lambda z: z.of(TANH(z).re, TANH(z).im.double()),
        r"must compute in .*, torch\.float32; its derivative is in",
    ),
    "shape": (
        lambda z: z.of(TANH(z).re[None], TANH(z).im[None]),
        r"must return output 0 of shape \(2, 3\); got \(1, 2",
    ),
    "plain": (lambda z: z.re.tanh(), "must lift output 0, which changes with the input; it returns a plain tensor"),
    "number of outputs": (
        lambda z: (TANH(z), TANH(z)),
        "must return as many outputs as the operation, 1; it returns 2",
    ),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_planted_fault_is_found_and_named(monkeypatch, fault):
    check_rule(aten.tanh.default, X)
    apply, text = FAULTS[fault]
    plant(monkeypatch, aten.tanh.default, apply)
    with pytest.raises(DerivativeError, match=rf"the rule of aten\.tanh\.default in argument 0 .*{text}"):
        check_rule(aten.tanh.default, X)


def test_the_second_of_two_arguments_is_checked_too(monkeypatch):
    right = RULES["aten.mul.Tensor"].apply
    plant(monkeypatch, aten.mul.Tensor, lambda a, b: right(a, b) if isinstance(a, Lifted) else b.of(a * b.re, b.im))
    with pytest.raises(DerivativeError, match=r"the rule of aten\.mul\.Tensor in argument 1 is wrong"):
        check_rule(aten.mul.Tensor, X, 2 * X)


def test_a_poisoned_output_may_stay(monkeypatch):
    right = RULES["aten.native_layer_norm.default"].apply
    plant(
        monkeypatch, aten.native_layer_norm.default, lambda x, *rest: (right(x, *rest)[0], Poison("it"), Poison("it"))
    )
    check_rule(aten.native_layer_norm.default, A, [3], None, None, 1e-5)
    plain = torch.zeros(3, 1, dtype=FLOAT64)
    plant(monkeypatch, aten.native_layer_norm.default, lambda x, *rest: (right(x, *rest)[0], plain, plain))
    with pytest.raises(DerivativeError, match="must lift output 1, which changes with the input"):
        check_rule(aten.native_layer_norm.default, A, [3], None, None, 1e-5)
