"""Rules of functions applied number by number."""

from __future__ import annotations

import torch

from imagrad.complexstep.rules.table import analytic, piecewise

aten = torch.ops.aten


def sigmoid(z: torch.Tensor) -> torch.Tensor:
    """1 / (1 + exp(-z)), Eq. 10, written so that the exponential never overflows."""
    right = z.real >= 0
    small = torch.exp(torch.where(right, -z, z))
    return torch.where(right, torch.ones_like(z), small) / (1 + small)


# --- analytic ---
analytic(aten.tanh.default, torch.tanh)
analytic(aten.sigmoid.default, sigmoid)
analytic(aten.exp.default, torch.exp)
analytic(aten.reciprocal.default, torch.reciprocal)

# --- piecewise linear; Eq. 6 is the first ---
piecewise(aten.relu.default, slope=lambda x: (x > 0).to(x.dtype), kink=lambda x: x == 0)
piecewise(
    aten.leaky_relu.default,
    slope=lambda x, negative_slope=0.01: torch.ones_like(x).where(x > 0, negative_slope),
    kink=lambda x, negative_slope=0.01: x == 0,
)
