"""The paper's loop against hand arithmetic, a closed form and autograd."""

import math

import pytest
import torch
from torch import nn

from imagrad.complexstep import jacobian, literal_jacobian
from imagrad.errors import DerivativeError, EncoderError, InputError


def test_worked_example_of_section_4():
    """Eq. 4 to 8: three inputs, two ReLU outputs, all weights known; dy1/dx1 is the weight itself where z1 > 0."""
    weights = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.25, -3.0]], dtype=torch.float64)
    bias = torch.tensor([0.1, -0.2], dtype=torch.float64)
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    # z = W x + b = (4.6, -7.2): the first output passes, the second is cut off
    found = literal_jacobian(lambda v: torch.relu(weights @ v + bias), x)
    expected = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(found, expected, rtol=1e-15, atol=0)


def test_relu_at_zero_has_slope_zero_as_equation_6_says():
    found = literal_jacobian(torch.relu, torch.tensor([-1.0, 0.0, 1.0]))
    assert torch.equal(found, torch.diag(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)))


def test_equals_matrix_form_of_a_deep_network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh()).double()
    x = torch.randn(6, dtype=torch.float64)
    with torch.no_grad():
        hidden = net[0](x)
        out = net(x)
        # J = D2 W2 D1 W1
        expected = torch.diag(1 - out**2) @ net[2].weight @ torch.diag((hidden > 0).double()) @ net[0].weight
    assert torch.allclose(literal_jacobian(net, x), expected, rtol=1e-13, atol=1e-16)


def test_shape_is_output_then_point_as_jacrev():

    x = torch.randn(2, 3, dtype=torch.float64)
    expected = torch.func.jacrev(lambda x: torch.cat([x.sum()[None], (x * x).sum()[None]])[None])(x)
    found = literal_jacobian(lambda x: torch.cat([x.sum()[None], (x * x).sum()[None]])[None], x)
    assert found.shape == (1, 2, 2, 3)
    assert torch.allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("step", [1e-8, 1e-16, 1e-20, 1e-100])
def test_step_does_not_matter_below_the_square_root_of_rounding(step):
    x = torch.tensor([0.3, -1.2], dtype=torch.float64)
    found = literal_jacobian(torch.tanh, x, step=step)
    assert torch.allclose(found, torch.diag(1 - torch.tanh(x) ** 2), rtol=1e-15, atol=0)


def test_large_step_has_the_error_of_equation_2():
    """Im f(x + ih) / h - f' = -h**2 f''' / 6 + ...; for exp, f''' = f."""
    x = torch.tensor([0.7], dtype=torch.float64)
    errors = [float(literal_jacobian(torch.exp, x, step=h) - torch.exp(x)) for h in (1e-2, 1e-3)]
    for h, error in zip((1e-2, 1e-3), errors, strict=True):
        assert error == pytest.approx(float(-(h**2) / 6 * torch.exp(x)), rel=1e-4)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda x: x * x * x, lambda h: -(h**2)),  # Im (x + ih)^3 / h = 3 x^2 - h^2
        (lambda x: (x[:, None] @ x[None] @ x[:, None])[:, 0], lambda h: -(h**2)),  # the same by matrix products
    ],
)
def test_products_are_those_of_complex_numbers(function, error):
    """With a step so large that its square is seen: (a + ib)(c + id) has the real part ac - bd."""
    x, h = torch.tensor([1.5], dtype=torch.float64), 1e-2
    assert float(literal_jacobian(function, x, step=h)) == pytest.approx(3 * 1.5**2 + error(h), rel=1e-14)


@pytest.mark.parametrize("differentiate", [literal_jacobian, jacobian])
def test_bad_points(differentiate):
    with pytest.raises(InputError, match=r"must be real floating-point numbers; got torch\.int64"):
        differentiate(torch.relu, torch.arange(3))
    with pytest.raises(InputError, match=r"must be real floating-point numbers; got torch\.complex64"):
        differentiate(torch.tanh, torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(InputError, match="all values must be finite; 1 of 2 are NaN or infinite"):
        differentiate(torch.relu, torch.tensor([0.0, torch.nan]))
    with pytest.raises(InputError, match=r"with at least one element; got one of shape \(0, 3\)"):
        differentiate(torch.relu, torch.zeros(0, 3))
    with pytest.raises(InputError, match=r"must be a torch\.Tensor with at least one element; got a list"):
        differentiate(torch.relu, [1.0, 2.0])


@pytest.mark.parametrize("differentiate", [literal_jacobian, jacobian])
def test_a_point_without_axes(differentiate):
    found = differentiate(torch.exp, torch.tensor(0.5, dtype=torch.float64))
    assert found.shape == () and float(found) == pytest.approx(math.exp(0.5), rel=1e-15)


@pytest.mark.parametrize("differentiate", [literal_jacobian, jacobian])
def test_what_overflows_is_refused(differentiate):
    with pytest.raises(DerivativeError, match="all derivatives must be finite"):
        differentiate(torch.exp, torch.tensor([800.0], dtype=torch.float64))


@pytest.mark.parametrize("differentiate", [literal_jacobian, jacobian])
def test_random_functions_are_refused(differentiate):
    with pytest.raises(EncoderError, match="must not draw random numbers"):
        differentiate(lambda x: x * torch.rand(3), torch.rand(3))


@pytest.mark.parametrize("step", [0.0, 1e-320, -1.0, float("nan")])
def test_steps_that_underflow_are_refused(step):
    with pytest.raises(InputError, match="`step` must be at least 1e-200, below which it underflows"):
        literal_jacobian(torch.exp, torch.tensor([0.5]), step=step)
