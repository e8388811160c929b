"""The ways to a Jacobian that are compared: imagrad's engines, torch.func, a loop of gradients, Captum."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import nn

from imagrad.complexstep import jacobian, literal_jacobian
from imagrad.registry import Registry

Way = Callable[[nn.Module, torch.Tensor], torch.Tensor]

WAYS: Registry[Way] = Registry("benchmark competitor", listed=False)
"""From a network and a batch of one point to its Jacobian, the latents first."""

REFERENCE = "jacrev"
FORWARD = ("forward", "complex", "jacfwd")
"""Those that take one pass for each feature."""

SOME = 8  # features of the literal loop, where all would take too long


@WAYS.register("transpose")
def transpose(net: nn.Module, point: torch.Tensor) -> torch.Tensor:
    """Run imagrad's engine of rows."""
    return jacobian(net, point, engine="transpose")


@WAYS.register("jacrev")
def jacrev(net: nn.Module, point: torch.Tensor) -> torch.Tensor:
    """Run torch's own, all rows at once."""
    return torch.func.jacrev(net)(point)


@WAYS.register("loop")
def loop(net: nn.Module, point: torch.Tensor) -> torch.Tensor:
    """Run the plain code that most people write: one backward pass a latent."""
    point = point.clone().requires_grad_()
    codes = net(point)
    rows = [torch.autograd.grad(code, point, retain_graph=True)[0] for code in codes.flatten()]
    return torch.stack(rows)


@WAYS.register("Captum")
def captum(net: nn.Module, point: torch.Tensor) -> torch.Tensor:
    """Run Captum's saliency for each latent."""
    from captum.attr import Saliency

    method = Saliency(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it sets requires_grad on the point, and says so each time
        latents = range(net(point).numel())
        return torch.stack([method.attribute(point, target=latent, abs=False) for latent in latents]).detach()


@WAYS.register("forward")
def forward(net: nn.Module, point: torch.Tensor) -> torch.Tensor:
    """Run imagrad's engine of columns."""
    return jacobian(net, point, engine="forward")


@WAYS.register("jacfwd")
def jacfwd(net: nn.Module, point: torch.Tensor) -> torch.Tensor:
    """Run torch's own, all columns at once."""
    return torch.func.jacfwd(net)(point)


@WAYS.register("complex")
def complex_arithmetic(net: nn.Module, point: torch.Tensor) -> torch.Tensor:
    """Run imagrad's engine of complex numbers."""
    return jacobian(net, point, engine="complex")


class SomeFeatures(nn.Module):
    """A network of which only the first features may vary."""

    def __init__(self, net: nn.Module, point: torch.Tensor) -> None:
        """Hold the rest of the point."""
        super().__init__()
        self.net = net
        self.shape = point.shape
        self.register_buffer("rest", point.flatten()[SOME:].clone())

    def forward(self, part: torch.Tensor) -> torch.Tensor:
        """Encode."""
        return self.net(torch.cat([part, self.rest]).view(self.shape))


def literal_of_some(net: nn.Module, point: torch.Tensor) -> tuple[Callable[[], torch.Tensor], float]:
    """Return the paper's loop over the first features, and by what its time is to be multiplied for all."""
    some, part = SomeFeatures(net, point).eval(), point.flatten()[:SOME].clone()
    return lambda: literal_jacobian(some, part), point.numel() / SOME
