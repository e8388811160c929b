"""Picking pixels and putting back: transposes of each other, whatever the order in memory, under torch.func too."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import imagrad
from imagrad.complexstep import hessian, jacobian
from imagrad.complexstep.rules import picking
from imagrad.complexstep.rules.picking import gathered, picked

WINDOWS = [
    ((2, 2), (2, 2), (0, 0), (1, 1), False),
    ((3, 3), (2, 2), (1, 1), (1, 1), True),
    ((2, 3), (1, 2), (1, 0), (2, 1), False),
]
ORDERS = [torch.contiguous_format, torch.channels_last]


def images(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def places_of(values, windows):
    kernel, stride, padding, dilation, ceil = windows
    return F.max_pool2d(values, kernel, stride, padding, dilation, ceil, return_indices=True)[1]


@pytest.mark.parametrize("windows", WINDOWS, ids=str)
def test_where_nothing_is_transposed_it_is_a_plain_gather(windows, monkeypatch):
    """Which costs less than an operation of our own, under vmap above all; a transpose has its own, also in no_grad."""
    values, several = images(2, 3, 9, 8), images(4, 2, 3, 9, 8, seed=1)
    places = places_of(values, windows)
    expected = torch.stack([gathered(one, places, 2) for one in several])
    calls = []
    monkeypatch.setattr(picking._Pick, "apply", lambda *how: calls.append(how) or gathered(how[0], how[1], 2))
    with torch.no_grad():
        assert torch.equal(torch.vmap(lambda one: picked(one, places, windows))(several), expected)
        assert not calls
        torch.func.vjp(lambda one: picked(one, places, windows), values)
    assert len(calls) == 1


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("windows", WINDOWS, ids=str)
def test_it_picks_and_its_transpose_puts_back(windows, order):
    values = images(2, 3, 9, 8).contiguous(memory_format=order).requires_grad_()
    places = places_of(values.detach(), windows)
    found, plain = picked(values, places, windows), gathered(values, places, 2)
    assert torch.equal(found, plain)
    cotangents = images(*found.shape, seed=1)
    ours, theirs = (torch.autograd.grad(y, values, cotangents, create_graph=True)[0] for y in (found, plain))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)  # windows overlap: what meets in a pixel is added up
    assert not ours.requires_grad  # linear: it does not depend on the values
    assert torch.autograd.gradcheck(lambda x: picked(x, places, windows), values)
    assert torch.autograd.gradgradcheck(lambda x: picked(x, places, windows) ** 2, values)


@pytest.mark.parametrize("few", [0, 2**14], ids=["one by one", "as images"])
@pytest.mark.parametrize("order", [*ORDERS, None], ids=str)
@pytest.mark.parametrize("windows", WINDOWS, ids=str)
def test_several_cotangents_at_a_time(windows, order, few, monkeypatch):
    monkeypatch.setattr(picking, "_FEW", few)
    values = images(3, 9, 8) if order is None else images(2, 3, 9, 8).contiguous(memory_format=order)
    places = places_of(values, windows)
    result, pull = torch.func.vjp(lambda x: picked(x, places, windows), values)
    cotangents = images(4, *result.shape, seed=1)
    together = torch.vmap(lambda cotangent: pull(cotangent)[0])(cotangents)
    torch.testing.assert_close(together, torch.stack([pull(cotangent)[0] for cotangent in cotangents]))
    along = torch.vmap(lambda direction: picked(direction, places, windows))(images(4, *values.shape, seed=2))
    torch.testing.assert_close(along[1], gathered(images(4, *values.shape, seed=2)[1], places, 2))


class Pooled(nn.Module):
    """Convolutions, overlapping windows, and a squared code, so that there is a second derivative."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            *(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 4, 3, stride=2)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
        )
        self.eval()

    def forward(self, x):
        return self.layers(x) ** 2


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_networks_in_either_order_of_memory(order, dtype):
    net = Pooled().to(dtype).to(memory_format=order)
    batch = images(5, 2, 8, 8).to(dtype).contiguous(memory_format=order)
    exact = torch.stack([torch.autograd.functional.jacobian(lambda x: net(x[None])[0], image) for image in batch])
    for options in ({}, {"engine": "transpose"}, {"engine": "transpose", "memory_budget": 1}, {"engine": "complex"}):
        found = imagrad.saliency(net, batch, **options)
        assert found.certificate.passed
        limit = 1e-5 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(found.maps, torch.linalg.vector_norm(exact, dim=1), rtol=limit, atol=limit)


def test_second_derivatives_go_through_a_pooling():
    net, point = Pooled().double(), images(2, 8, 8)
    found = hessian(lambda x: net(x[None]).sum(), point)
    torch.testing.assert_close(
        found, torch.autograd.functional.hessian(lambda x: net(x[None]).sum(), point), rtol=1e-9, atol=1e-11
    )


def test_gradients_reach_the_parameters_through_a_pooling():
    net, point = Pooled().double(), images(2, 8, 8)
    found = jacobian(lambda x: net(x[None])[0], point, engine="transpose", differentiable=True)
    exact = torch.autograd.functional.jacobian(lambda x: net(x[None])[0], point, create_graph=True)
    for one, other in zip(
        torch.autograd.grad((found**2).sum(), list(net.parameters()), allow_unused=True),
        torch.autograd.grad((exact**2).sum(), list(net.parameters()), allow_unused=True),
        strict=True,
    ):
        if other is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)
