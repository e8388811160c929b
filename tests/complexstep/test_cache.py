"""Remembered graphs: reused while they are right, traced again when they are not, forgotten with their network."""

import gc
import weakref

import pytest
import torch
from torch import nn

from imagrad.complexstep import cache, jacobian
from imagrad.complexstep import tracing as tracing_module
from imagrad.errors import EncoderError


@pytest.fixture
def exports(monkeypatch):
    """Count the calls of torch.export."""
    counted = []

    def counting(*arguments, **options):
        counted.append(1)
        return tracing_module.export(*arguments, **options)

    monkeypatch.setattr(cache, "export", counting)
    return counted


def network():
    torch.manual_seed(2)
    layers = [nn.Linear(4, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3)]
    return nn.Sequential(*layers).double().eval().requires_grad_(False)


X = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def is_right(net, x=X):
    expected = torch.func.jacrev(net)(x)
    return float((jacobian(net, x) - expected).abs().max() / expected.abs().max()) <= 1e-13


def test_the_same_call_traces_once(exports):
    net = network()
    assert is_right(net) and is_right(net) and is_right(net, X + 1)
    assert len(exports) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net[0], "weight", nn.Parameter(torch.randn(6, 4).double(), requires_grad=False)),
        lambda net: setattr(net[1], "eps", 0.5),
        lambda net: net[0].weight.mul_(3),
        lambda net: setattr(net, "2", nn.ReLU()),
        lambda net: net[3].bias.add_(1),
    ],
)
def test_a_changed_network_is_noticed(exports, change):
    """A replaced parameter and a changed eps once made a cache wrong by 0.9 and 2.4."""
    net = network()
    assert is_right(net)
    change(net)
    assert is_right(net)


def test_weights_changed_in_place_need_no_new_trace(exports):
    net = network()
    for _ in range(3):
        assert is_right(net)
        net[0].weight.mul_(1.5)
    assert len(exports) == 1


def test_a_closure_over_plain_tensors_is_noticed_when_they_change(exports):
    weight = torch.randn(3, 4).double()
    function = lambda x: torch.tanh(weight @ x)  # noqa: E731
    assert is_right(function)
    weight.mul_(2)
    assert is_right(function)


@pytest.mark.parametrize("point", [X.float(), torch.randn(2, 4, dtype=torch.float64)])
def test_another_shape_or_type_is_another_graph(exports, point):
    net = network()
    jacobian(net, X)
    jacobian(net.to(point.dtype), point)
    assert len(exports) == 2


def test_methods_of_one_network_are_told_apart():
    class Two(nn.Module):
        def first(self, x):
            return 2 * x

        def second(self, x):
            return 3 * x

    two = Two()
    assert torch.equal(jacobian(two.first, X), 2 * torch.eye(4).double())
    assert torch.equal(jacobian(two.second, X), 3 * torch.eye(4).double())


def test_a_forgotten_network_takes_its_graphs_along():
    net = network()
    jacobian(net, X)
    before, alive = len(cache._KNOWN), weakref.ref(net)
    del net
    gc.collect()
    assert alive() is None and len(cache._KNOWN) < before


def test_a_function_whose_value_changes_is_refused():
    calls = []

    def counting(x):
        calls.append(1)
        return x * len(calls)

    with pytest.raises(EncoderError, match="the traced network must give the codes that the network gives"):
        jacobian(counting, X)
