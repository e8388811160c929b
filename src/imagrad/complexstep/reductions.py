"""How the derivatives of all latents with respect to one feature become one number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from imagrad.registry import Registry


@dataclass(frozen=True)
class Norm:
    """How the derivatives of all latents with respect to one feature become one number, part by part."""

    along: Callable[[torch.Tensor, int], torch.Tensor]
    """Of all latents, along an axis."""
    add: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """To what the latents before have given, at first zeros, add what one more gives, in place."""
    finish: Callable[[torch.Tensor], torch.Tensor]
    summary: str
    compiled: str = ""
    """Its name in `products/totals.py`, where it is added up faster; empty: it is not there."""


NORMS: Registry[Norm] = Registry("norm")
NORMS.register("l2")(
    Norm(
        lambda d, axis: (d * d).sum(axis), lambda total, d: total.addcmul_(d, d), lambda s: root(s),
        "Root of the sum of squares: Eq. 12.", "l2",
    )
)  # fmt: skip
NORMS.register("l1")(
    Norm(
        lambda d, axis: d.abs().sum(axis), lambda total, d: total.add_(d.abs()), lambda s: s,
        "Sum of absolute values.", "l1",
    )
)  # fmt: skip
NORMS.register("max")(
    Norm(
        lambda d, axis: d.abs().amax(axis), lambda total, d: total.clamp_min_(d.abs()), lambda s: s,
        "Largest absolute value.", "max",
    )
)  # fmt: skip


def root(squares: torch.Tensor) -> torch.Tensor:
    """Square root whose own derivative at 0 is 0, so that a feature without influence does not ruin a gradient."""
    if not squares.requires_grad:
        return squares.sqrt()
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, torch.ones_like(squares)).sqrt(), squares)
