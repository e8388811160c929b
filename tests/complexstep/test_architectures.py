"""Every network of the zoo against autograd, by every engine; the complex step against dual numbers, at every step."""

from functools import cache

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from imagrad.complexstep import jacobian, jvp

from .networks import NETWORKS, OUTPUTS

EPS = torch.finfo(torch.float64).eps
STEPS = [2.0**-53, 2.0**-66, 1e-100, 1e-200]
MANY_FEATURES = 400  # from here on an engine that costs a pass per feature is asked for three directions alone

QUICK = {"conv_batchnorm", "prototypes", "vae"}
"""The networks of the quick suite; the slow one has all."""


def table():
    """Every network, all of its tests in one process, which traces it once; slow where it is none of the quick ones."""
    speed = {name: [] if name in QUICK else [pytest.mark.slow] for name in NETWORKS}
    return [pytest.param(name, marks=[pytest.mark.xdist_group(name), *speed[name]]) for name in NETWORKS]


@cache
def network(name):
    """One network for all tests of a name, so that it is traced once for each shape."""
    return NETWORKS[name](0)


def picked(value, path):
    """The one of a network's values that the table names."""
    if path is None:
        return value
    if isinstance(path, int):
        return value[path]
    for part in path.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value


def differentiate(net, point, output):
    """The value and its derivative by a loop of `torch.autograd.grad`, in the types that come.

    Not by `torch.func.jacrev`, which is wrong without a word about `torch.cdist` in torch 2.13 (off by 0.5 relative).
    """
    point = point.clone().requires_grad_(True)
    with sdpa_kernel(SDPBackend.MATH):
        value = picked(net(point), output)
        rows = [torch.autograd.grad(v, point, retain_graph=True)[0] for v in value.flatten()]
    return value.detach(), torch.stack(rows).view(*value.shape, *point.shape)


@cache
def reference(name):
    net, points = network(name)
    return differentiate(net, points[:1], OUTPUTS.get(name))


def relative_error(found, expected):
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def directions(point, count):
    """The point repeated, and as many random tangents: one call for all, for the rows of a batch do not mix."""
    generator = torch.Generator().manual_seed(7)
    tangents = torch.randn(count, *point.shape[1:], dtype=torch.float64, generator=generator)
    return point.repeat(count, *[1] * (point.ndim - 1)), tangents


@pytest.mark.parametrize("name", table())
def test_engines_agree_with_autograd(name):
    """Where every operation has a rule both are right to rounding, over as many operations as these have."""
    net, points = network(name)
    point, output = points[:1], OUTPUTS.get(name)
    value, expected = reference(name)
    for engine in ("transpose", "forward", "complex"):
        if engine == "transpose" or point.numel() <= MANY_FEATURES:
            assert relative_error(jacobian(net, point, engine=engine, output=output), expected) <= 1e-12, engine
            continue
        repeated, tangents = directions(point, 3)
        found_value, found = jvp(net, repeated, tangents, engine=engine, output=output)
        moved = tangents.flatten(1) @ expected.reshape(-1, point.numel()).T
        assert relative_error(found, moved.view(3, *value.shape[1:])) <= 1e-12, engine
        assert relative_error(found_value, value.expand_as(found_value)) <= 1e-12, engine


@pytest.mark.parametrize("name", table())
def test_complex_step_is_the_dual_number_at_every_step(name):
    """Below 2**-53 the term in step**2 is lost in rounding, and the same sums and products stay, scaled.

    Columns of the Jacobian, relative to its largest entry: along a random direction its entries would cancel.
    """
    net, points = network(name)
    point, output = points[:1], OUTPUTS.get(name)
    value, rows = reference(name)
    largest = rows.abs().max()
    pixels = torch.randperm(point.numel(), generator=torch.Generator().manual_seed(7))[:3]
    tangents = torch.eye(point.numel(), dtype=torch.float64)[pixels].view(-1, *point.shape[1:])
    point = point.repeat(len(pixels), *[1] * (point.ndim - 1))
    _, expected = jvp(net, point, tangents, engine="forward", output=output)
    for step in STEPS:
        found_value, found = jvp(net, point, tangents, engine="complex", step=step, output=output)
        assert float((found - expected).abs().max()) <= 16 * EPS * float(largest), step
        assert relative_error(found_value, value.expand_as(found_value)) <= 16 * EPS, step


def snapshot(net):
    """All that a caller could find changed about a network."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    modules = [
        (name, module.training, *(len(getattr(module, kind)) for kind in hooks)) for name, module in net.named_modules()
    ]
    attributes = [sorted(module.__dict__) for module in net.modules()]
    parameters = [(name, id(p), p.dtype, p.requires_grad, p.grad) for name, p in net.named_parameters()]
    return modules, attributes, parameters


@pytest.mark.parametrize("name", table())
def test_a_network_in_float32_is_differentiated_in_float64_and_left_alone(name):
    net, points = NETWORKS[name](0)
    net.float()
    point, output = points[:1].float(), OUTPUTS.get(name)
    before, weights = snapshot(net), {key: value.clone() for key, value in net.state_dict().items()}
    value = picked(net(point), output)

    found = jacobian(net, point, dtype=torch.float64, output=output)

    assert snapshot(net) == before
    assert net.state_dict().keys() == weights.keys()
    for key, weight in net.state_dict().items():
        assert weight.dtype == weights[key].dtype and torch.equal(weight, weights[key]), key
    assert torch.equal(picked(net(point), output), value)
    assert found.dtype == torch.float64
    assert relative_error(found, reference(name)[1]) <= 1e-5  # the weights are rounded to 6e-8
    rounded = differentiate(net.double(), point.double(), output)[1]
    assert relative_error(found, rounded) <= 1e-12  # of the same weights, nothing else is rounded
