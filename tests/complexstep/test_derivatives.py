"""Jacobians in blocks: the same whatever the block size and the step; properties that any Jacobian has."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from imagrad.complexstep import jacobian
from imagrad.complexstep.derivatives import column_blocks, push_forward
from imagrad.complexstep.program import export
from imagrad.errors import InputError


def network():
    torch.manual_seed(1)
    layers = [
        nn.Conv2d(2, 4, 3, padding=1),
        nn.LeakyReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 5),
        nn.Sigmoid(),
    ]
    return nn.Sequential(*layers).double().requires_grad_(False)


def one(net):
    """The network as a function of a single image."""
    return lambda x: net(x[None])[0]


X = torch.rand(3, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("step", [2.0**-53, 2.0**-66, 1e-100, 1e-200])
def test_conv_network_against_autograd_at_every_step(step):
    expected = torch.func.jacrev(network())(X[:1])
    found = jacobian(network(), X[:1], step=step)
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-14


@pytest.mark.parametrize("memory_budget", [1, 100_000, 2**30])
def test_block_size_changes_nothing(memory_budget):
    program = export(network(), X, batched=True)
    blocks = list(column_blocks(program, X, torch.arange(72), 2.0**-66, memory_budget))
    assert (len(blocks) == 72) == (memory_budget == 1)
    columns = torch.cat([columns for _, columns in blocks])  # (m, n, q)
    for k in range(len(X)):
        expected = torch.func.jacrev(one(network()))(X[k]).flatten(1)
        assert torch.allclose(columns[:, k].T, expected, rtol=1e-12, atol=1e-16)


def test_features_in_any_order():
    program = export(network(), X, batched=True)
    ((features, columns),) = column_blocks(program, X, torch.tensor([50, 3]), 2.0**-66, 2**30)
    expected = torch.func.jacrev(one(network()))(X[0]).flatten(1)
    assert features.tolist() == [50, 3]
    assert torch.allclose(columns[:, 0], expected[:, [50, 3]].T, rtol=1e-12, atol=1e-16)


def test_push_forward_is_linear():
    program = export(network(), X, batched=True)
    a, b = torch.randn(2, *X.shape, dtype=torch.float64)
    alone = push_forward(program, X, torch.stack([a, b, 2 * a - 3 * b]), 2.0**-66)
    assert torch.allclose(alone[2], 2 * alone[0] - 3 * alone[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("step", [0.0, 1e-300, 1e-8, -1e-20, float("nan")])
def test_steps_that_are_not_exact_are_refused(step):
    with pytest.raises(InputError, match=r"`step` must lie between 1e-200.* and 2\*\*-53"):
        jacobian(torch.tanh, torch.zeros(2), step=step)


def test_the_step_must_be_small_against_the_distance_to_a_pole():
    """1 / (x + 1e-16) at 0: seen with the default step, gone with a smaller one (docs/saliency.md)."""
    x, exact = torch.zeros(1, dtype=torch.float64), -1e32
    found = {step: float(jacobian(lambda v: 1 / (v + 1e-16), x, step=step)) for step in (2.0**-66, 1e-100)}
    assert found[1e-100] == pytest.approx(exact, rel=1e-14)
    assert 1e-9 < abs(found[2.0**-66] / exact - 1) < 1e-7


def test_memory_budget_must_be_positive():
    with pytest.raises(InputError, match="`memory_budget` must be a positive number of bytes; got -5"):
        jacobian(torch.tanh, torch.zeros(2), memory_budget=-5)


matrices = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))


@settings(max_examples=8, deadline=None)
@given(matrices)
def test_jacobian_of_a_matrix_is_the_matrix(sizes):
    rows, columns, seed = sizes
    matrix = torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = jacobian(lambda x: matrix @ x, torch.zeros(columns, dtype=torch.float64))
    assert torch.allclose(found, matrix, rtol=1e-15, atol=0)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_jacobian_of_a_composition_is_the_product(seed):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, 4, 4, dtype=torch.float64, generator=generator)
    x = torch.randn(4, dtype=torch.float64, generator=generator)
    inner = torch.tanh(first @ x)
    whole = jacobian(lambda v: torch.sigmoid(second @ torch.tanh(first @ v)), x)
    product = jacobian(lambda v: torch.sigmoid(second @ v), inner) @ jacobian(lambda v: torch.tanh(first @ v), x)
    assert torch.allclose(whole, product, rtol=1e-12, atol=1e-16)
