"""Every rule, at a point where its operation is met, against autograd in float64; scalar functions against mpmath."""

import mpmath
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from imagrad.complexstep import jacobian, literal_jacobian
from imagrad.complexstep.number import Lifted
from imagrad.complexstep.program import export
from imagrad.complexstep.rules import KINKS, RULES
from imagrad.errors import UnsupportedOperationError

torch.manual_seed(11)
MATRIX = torch.randn(6, 6, dtype=torch.float64)
IMAGE_WEIGHT = torch.randn(2, 3, 3, 3, dtype=torch.float64)

EXAMPLES = {  # operation -> a function of a (2, 3, 6, 6) tensor whose graph holds it
    "aten._adaptive_avg_pool2d.default": lambda x: F.adaptive_avg_pool2d(x, (4, 5)),
    "aten._to_copy.default": lambda x: (2 * x).float().double(),
    "aten.add.Tensor": lambda x: x + 2 * x.flip(3) + 1.5,
    "aten.addmm.default": lambda x: F.linear(x.flatten(0, 2), MATRIX, MATRIX[0]),
    "aten.avg_pool2d.default": lambda x: F.avg_pool2d(x, 2),
    "aten.bmm.default": lambda x: torch.bmm(x[:, 0], x[:, 1]),
    "aten.cat.default": lambda x: torch.cat([x, torch.ones(2, 1, 6, 6), x * x], 1),
    "aten.clone.default": lambda x: x.permute(0, 2, 3, 1).contiguous().view(2, -1),
    "aten.convolution.default": lambda x: F.conv2d(x, IMAGE_WEIGHT, IMAGE_WEIGHT[:, 0, 0, 0], stride=2, padding=1),
    "aten.div.Tensor": lambda x: x / 3 + 1 / (2 + x) + x / (3 + x * x),
    "aten.exp.default": torch.exp,
    "aten.expand.default": lambda x: x[:, :1].expand(2, 4, 6, 6) * 2,
    "aten.flip.default": lambda x: x.flip(2),
    "aten.leaky_relu.default": lambda x: F.leaky_relu(F.leaky_relu(x - 0.5), 0.3),
    "aten.mean.default": lambda x: x.mean(),
    "aten.mean.dim": lambda x: (x * x).mean((2, 3)),
    "aten.mm.default": lambda x: x.flatten(0, 2) @ MATRIX,
    "aten.mul.Tensor": lambda x: x * x.flip(3) * 2,
    "aten.neg.default": lambda x: -x,
    "aten.permute.default": lambda x: x.permute(3, 0, 1, 2),
    "aten.reciprocal.default": lambda x: 1 / (2 + x),
    "aten.relu.default": lambda x: torch.relu(x - 0.5),
    "aten.select.int": lambda x: x[:, 1],
    "aten.sigmoid.default": torch.sigmoid,
    "aten.slice.Tensor": lambda x: x[:, 1:, ::2],
    "aten.squeeze.dims": lambda x: x[:, :1].squeeze(1),
    "aten.sub.Tensor": lambda x: x - torch.sub(x, x * x, alpha=3),
    "aten.sum.dim_IntList": lambda x: (x * x).sum((1, 3), keepdim=True),
    "aten.tanh.default": torch.tanh,
    "aten.unsqueeze.default": lambda x: x.unsqueeze(2),
    "aten.view.default": lambda x: x.view(2, -1),
}


def point():
    return torch.rand(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 0.5


def relative_error(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


def test_every_rule_has_an_example():
    assert set(EXAMPLES) | {"aten.sym_size.int"} == set(RULES)  # for that one see `test_batch_size_is_read`


@pytest.mark.parametrize("operation", sorted(EXAMPLES))
def test_rule_agrees_with_autograd(operation):
    function = EXAMPLES[operation]
    program = export(function, point(), batched=False)
    assert operation in [str(node.target) for node in program.nodes], "the example does not meet the operation"
    expected = torch.func.jacrev(function)(point())
    precision = 1e-6 if operation == "aten._to_copy.default" else 1e-13  # autograd goes through float32 there
    assert relative_error(jacobian(function, point()), expected) <= precision


def test_batch_size_is_read():
    program = export(lambda x: x.view(x.shape[0], -1) * x.shape[0], point(), batched=True)
    assert "aten.sym_size.int" in [str(node.target) for node in program.nodes]
    for count in (2, 5):
        x = torch.rand(count, 3, 6, 6, dtype=torch.float64)
        out = program.run(Lifted(x, torch.ones_like(x)))
        assert torch.equal(out.re, x.view(count, -1) * count)
        assert torch.equal(out.im, torch.full((count, 108), float(count), dtype=torch.float64))


@pytest.mark.parametrize("operation", sorted(KINKS))
def test_at_its_kink_the_slope_is_autograds_and_the_tie_is_counted(operation):
    function = {"aten.relu.default": torch.relu, "aten.leaky_relu.default": F.leaky_relu}[operation]
    x = torch.tensor([-1.0, 0.0, 0.0, 2.0], dtype=torch.float64)
    assert torch.equal(jacobian(function, x), torch.func.jacrev(function)(x))
    _, ties = export(function, x, batched=False).run_real(x)
    assert ties == {operation: 2}


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exp"])
def test_scalar_function_against_mpmath(name):
    """60 digits decide: closed forms in float64 are themselves wrong in the tails."""
    functions = {"tanh": mpmath.tanh, "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)), "exp": mpmath.exp}
    largest = 700 if name == "exp" else 1e4
    values = [0.0] + [
        s * v for s in (-1, 1) for v in (1e-8, 0.1, 1.0, 5.0, 19.0, 50.0, 300.0, 700.0, 1e4) if v <= largest
    ]
    x = torch.tensor(values, dtype=torch.float64)
    found = jacobian(getattr(torch, name), x).diagonal()
    with mpmath.workdps(60):
        for value, derivative in zip(values, found.tolist(), strict=True):
            exact = mpmath.diff(functions[name], value) if abs(value) < 40 else tail(name, value)
            assert derivative == pytest.approx(float(exact), rel=1e-14, abs=1e-300), value


def tail(name, value):
    """The derivative by its formula in many digits, where numerical differentiation in them gives out."""
    v = mpmath.mpf(value)
    if name == "tanh":
        return mpmath.sech(v) ** 2
    return mpmath.exp(-abs(v)) / (1 + mpmath.exp(-abs(v))) ** 2 if name == "sigmoid" else mpmath.exp(v)


def test_conversion_to_integers_is_refused():
    with pytest.raises(UnsupportedOperationError, match=r"converting to torch\.int64 .* loses the imaginary part"):
        jacobian(lambda x: x * x.long(), torch.rand(3))


def test_scaled_matrix_product():
    function = lambda x: torch.addmm(x, x, MATRIX[:3, :3], beta=2, alpha=3)  # noqa: E731
    x = torch.rand(4, 3, dtype=torch.float64)
    assert relative_error(jacobian(function, x), torch.func.jacrev(function)(x)) <= 1e-14


def test_a_use_that_the_rule_does_not_cover_is_refused():
    """A convolution whose weights depend on the input."""
    images = torch.rand(1, 1, 5, 5)
    with pytest.raises(UnsupportedOperationError, match=r"rule of aten\.convolution\.default does not cover this use"):
        jacobian(lambda weight: F.conv2d(images, weight), torch.rand(1, 1, 3, 3))


# --- traps: what a naive complex step gets wrong without a warning ---


def test_convolution_at_the_papers_step():
    """torch's own complex convolution adds real and imaginary parts up, in which 1e-16 drowns."""
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 3, 3).double().requires_grad_(False)
    x = torch.rand(1, 1, 5, 5, dtype=torch.float64)
    expected = torch.func.jacrev(conv)(x)
    assert relative_error(literal_jacobian(conv, x), expected) <= 1e-14
    z = torch.complex(x, torch.zeros_like(x))
    z[0, 0, 2, 2] += 1e-16j
    naive = F.conv2d(z, conv.weight.to(z.dtype)).imag / 1e-16
    assert relative_error(naive, expected[..., 0, 0, 2, 2]) > 0.1


def test_sigmoid_far_out_is_not_nan():
    x = torch.tensor([-800.0, -1e4, 800.0, 1e4], dtype=torch.float64)
    assert torch.equal(jacobian(torch.sigmoid, x), torch.zeros(4, 4, dtype=torch.float64))


def test_constants_of_a_float32_network_stay_exact():
    """The slope 0.01 in float32 is off by 2e-10: enough to fail here."""
    x = torch.tensor([-1.0], dtype=torch.float64)
    assert float(jacobian(F.leaky_relu, x)) == 0.01


def test_plain_addend_does_not_reach_the_imaginary_part():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert torch.equal(jacobian(lambda v: v + 5.0, x), torch.eye(2, dtype=torch.float64))
    assert torch.equal(jacobian(lambda v: 3 - v, x), -torch.eye(2, dtype=torch.float64))
