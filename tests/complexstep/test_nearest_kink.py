"""How near the nearest kink is."""

from functools import cache

import pytest
import torch
from torch import nn

from imagrad.complexstep.nearest_kink import nearest_kink
from imagrad.complexstep.program import bind
from imagrad.complexstep.tracing import export


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def program(function, point):
    return bind(export(function, (point,), batched=True), function, torch.float64, point.device)


def line(weights, bias):
    layer = nn.Linear(len(weights), 1).double().requires_grad_(False)
    layer.weight.copy_(weights[None])
    layer.bias.fill_(bias)
    return layer


UNIT = line(torch.randn(12, generator=generator(3), dtype=torch.float64), 0.7)
RELU = nn.Sequential(UNIT, nn.ReLU())


@pytest.mark.parametrize("shift", [1e-6, 1e-3, 1.0, 30.0])
@pytest.mark.parametrize("side", [1, -1])
def test_the_nearest_kink_of_one_unit(shift, side):
    """|w.x + b| / |w|."""
    weight = UNIT.weight[0]
    point = torch.rand(1, 12, dtype=torch.float64, generator=generator())
    here = float(UNIT(point)) / float(weight.norm())
    point = point + (side * shift - here) * weight / weight.norm()
    assert float(UNIT(point).abs() / weight.norm()) == pytest.approx(shift, rel=1e-6)
    for seed in range(3):
        assert nearest_kink(program_of_relu(), point, (), generator(seed)) == pytest.approx(shift, rel=1e-6)


@cache
def program_of_relu():
    return program(RELU, torch.rand(2, 12, dtype=torch.float64))


def test_the_nearest_of_several_kinks_counts():
    point = torch.tensor([[1.0, 0.02, -3.0], [5.0, 6.0, 7.0]], dtype=torch.float64)
    assert nearest_kink(program(torch.relu, point), point, (), generator()) == pytest.approx(0.02)


def test_a_kink_that_a_point_stands_on_is_a_tie_and_not_near():
    point = torch.tensor([[0.0, 0.5]], dtype=torch.float64)
    assert nearest_kink(program(torch.relu, point), point, (), generator()) == pytest.approx(0.5)


def test_the_nearest_kink_of_a_network():
    """Of many units of very different slopes, the nearest but for a factor of two."""
    layer = nn.Linear(12, 200).double().requires_grad_(False)
    layer.weight *= torch.logspace(-3, 3, 200, dtype=torch.float64)[:, None]
    point = torch.rand(2, 12, dtype=torch.float64, generator=generator())
    expected = float((layer(point).abs() / layer.weight.norm(dim=1)).min())
    found = nearest_kink(program(nn.Sequential(layer, nn.ReLU()), point), point, (), generator())
    assert expected * (1 - 1e-6) <= found <= 2 * expected


def test_the_nearest_kink_of_max_pooling():
    """Two largest values 0.3 apart come together on a way of 0.3 / sqrt(2)."""
    point = torch.tensor([[[[1.0, 1.3], [0.2, -4.0]]]], dtype=torch.float64)
    found = nearest_kink(program(nn.MaxPool2d(2), point), point, (), generator())
    assert found == pytest.approx(0.3 / 2**0.5, rel=1e-6)


def test_no_kink():
    point = torch.rand(2, 3, dtype=torch.float64)
    assert nearest_kink(program(torch.tanh, point), point, (), generator()) is None
    dead = program(lambda x: (x * 0 - 1).relu() + x, point)  # one that no image comes nearer to
    assert nearest_kink(dead, point, (), generator()) is None


def test_points_that_are_looked_at_one_by_one_give_the_same(monkeypatch):
    """Exactly, as for one unit the gradient is exact."""
    point = torch.rand(5, 12, dtype=torch.float64, generator=generator())
    expected = float((UNIT(point).abs() / UNIT.weight.norm()).min())
    for most in (1, 2 * 12, 10**6):
        monkeypatch.setattr("imagrad.complexstep.nearest_kink._NUMBERS", most)
        assert nearest_kink(program_of_relu(), point, (), generator()) == pytest.approx(expected, rel=1e-6)


def test_what_is_held_goes_with_its_point(monkeypatch):
    monkeypatch.setattr("imagrad.complexstep.nearest_kink._NUMBERS", 1)

    def function(x, shift):
        return (x - shift).relu()

    point, shift = torch.tensor([[1.0], [2.0]], dtype=torch.float64), torch.tensor([[0.9], [1.95]], dtype=torch.float64)
    bound = bind(export(function, (point, shift), batched=True), function, torch.float64, "cpu")
    assert nearest_kink(bound, point, (shift,), generator()) == pytest.approx(0.05)
