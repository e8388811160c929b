"""Straight-line recordings: the same bits as the rules, always with the present weights."""

import pytest
import torch
from torch import nn

from imagrad.complexstep import column_norms, derivatives, jacobian, recorded, rows
from imagrad.complexstep.cache import _KNOWN

from ..marks import slow


def network():
    torch.manual_seed(6)
    layers = [
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 6),
        nn.GELU(),
    ]
    return nn.Sequential(*layers).double().eval().requires_grad_(False)


X = torch.rand(1, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
SOME = recorded._USES + 2


def recordings(net):
    """The straight-line programs that have been made of a network."""
    return [run for known in _KNOWN[net].values() for _, run in known.graph.recorded.values() if run is not None]


@pytest.mark.parametrize("engine", ["transpose", "forward"])
def test_a_recording_gives_the_same_bits(engine):
    net = network()
    found = [jacobian(net, X, engine=engine) for _ in range(SOME)]
    assert len(recordings(net)) == 1
    assert all(torch.equal(other, found[0]) for other in found)
    expected = torch.func.jacrev(net)(X)
    assert float((found[-1] - expected).abs().max() / expected.abs().max()) <= 1e-14


def test_a_recording_returns_the_value_at_the_new_point(monkeypatch):
    net, prepared = network(), []
    for k in range(SOME + 2):
        if k == SOME:  # recorded by now: no other point may send it back to tracing
            monkeypatch.setattr(derivatives, "prepare", lambda *a: prepared.append(a))
        point = X + k / 10
        found = jacobian(net, point, engine="transpose")
        torch.testing.assert_close(found, torch.func.jacrev(net)(point), rtol=1e-12, atol=1e-14)
    assert len(recordings(net)) == 1 and prepared == []


def test_a_recording_is_made_after_some_uses_only():
    net = network()
    for _ in range(recorded._USES):
        jacobian(net, X, engine="transpose")
    assert recordings(net) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda net: net[0].weight.mul_(2),
        lambda net: net[1].running_mean.sub_(0.2),
        lambda net: setattr(net[5], "weight", nn.Parameter(torch.randn(6, 36).double(), requires_grad=False)),
        lambda net: setattr(net[1], "eps", 0.3),
        lambda net: setattr(net, "2", nn.Tanh()),
    ],
)
@pytest.mark.parametrize("engine", ["transpose", *slow("forward")])
def test_a_recording_uses_the_present_network(change, engine):
    net = network()
    for _ in range(SOME):
        jacobian(net, X, engine=engine)
    change(net)
    expected = torch.func.jacrev(net)(X)
    for _ in range(SOME):
        found = jacobian(net, X, engine=engine)
        assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-13


def test_another_point_and_another_selection():
    net = network()
    for k in range(SOME):
        x = X + 0.1 * k
        expected = torch.func.jacrev(net)(x)[0].flatten(1)
        norms = column_norms(net, x, engine="transpose", latents=[4, 1]).values.flatten()
        assert torch.allclose(norms, expected[[4, 1]].norm(dim=0), rtol=1e-12, atol=1e-16)


def test_few_shapes_are_remembered():
    net = nn.Sequential(nn.Linear(12, 6), nn.Tanh()).double().requires_grad_(False)
    for count in range(1, 7):
        for _ in range(SOME):
            column_norms(net, torch.ones(12).double(), engine="transpose", latents=list(range(count)))
    assert len(recordings(net)) == recorded._MOST


def test_what_cannot_be_recorded_is_run_step_by_step(monkeypatch):
    def refuse(*_):
        raise RuntimeError("no")

    monkeypatch.setattr(recorded, "make_fx", refuse)
    net = network()
    expected = torch.func.jacrev(net)(X)
    for _ in range(SOME):
        assert torch.allclose(jacobian(net, X, engine="transpose"), expected, rtol=1e-12, atol=1e-16)
    assert recordings(net) == []


def test_gradients_are_never_recorded():
    net = network().requires_grad_(True)
    for _ in range(SOME):
        jacobian(net, X, engine="transpose", differentiable=True)
    assert recordings(net) == []


@pytest.mark.parametrize("kinks", ["right", "left", "mean"])
def test_one_sided_derivatives_are_never_recorded(kinks):
    net = network()
    for _ in range(SOME):
        jacobian(net, X, kinks=kinks)
    assert recordings(net) == []


def test_several_blocks_share_one_run(monkeypatch):
    """With a budget for one row at a time the forward run is not repeated, and nothing is recorded."""
    runs = []
    monkeypatch.setattr(rows, "value_and_pull", lambda task, run=rows.value_and_pull: (runs.append(1), run(task))[1])
    net = network()
    found = jacobian(net, X, engine="transpose", memory_budget=1)
    assert len(runs) == 1 and torch.allclose(found, torch.func.jacrev(net)(X), rtol=1e-12, atol=1e-16)
    assert recordings(net) == []
