"""Whole Jacobians, block by block, with a certificate of the very numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch

from imagrad.attribution.blocks import Block, Options
from imagrad.attribution.certified import certificate_of, checked
from imagrad.complexstep.certificate import Certificate
from imagrad.complexstep.derivatives import whole_jacobian
from imagrad.complexstep.points import all_finite
from imagrad.complexstep.selection import spread
from imagrad.errors import InputError


def jacobian_of(block: Block) -> torch.Tensor:
    """Differentiate all latents that count by all features of a block's images: (n, latents, *input).

    Weights scale the rows; features that were not asked for are NaN.
    """
    chosen = block.selection
    rows = whole_jacobian(block.task, block.codes.shape[1], block.features, chosen.indices)
    rows = rows if chosen.weights is None else rows * chosen.weights.to(rows)[:, None]
    narrow = narrowed(rows, block.dtype).to(block.images.device)
    return spread(narrow, block.features, block.images[0].numel()).unflatten(2, block.images.shape[1:])


@dataclass
class ColumnNorms:
    """Norms of the columns of the Jacobians seen so far: what a certificate of them looks at."""

    options: Options
    maps: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    images: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    ties: Counter[str] = field(default_factory=Counter[str])
    blocks: list[Block] = field(default_factory=list[Block])

    def add(self, block: Block, jacobian: torch.Tensor) -> None:
        """Keep what is needed of one block."""
        self.maps.append(torch.linalg.vector_norm(jacobian, dim=1))
        self.images.append(block.images)
        self.ties += block.ties
        self.blocks = [block]

    def certificate(self, certify: str, seed: int) -> Certificate | None:
        """Recompute a sample of them; raise `DerivativeError` where they differ. None for `certify="none"`."""
        if certify == "none":
            return None
        maps, images = torch.cat(self.maps), torch.cat(self.images)
        full = certify == "full"
        return checked(
            certificate_of(self.blocks[-1], maps, images, self.options, "l2", seed, full=full, ties=self.ties)
        )


def narrowed(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Convert finite numbers; raise `InputError` where they do not fit into the type."""
    if values.dtype == dtype:
        return values
    narrow = values.to(dtype)
    if not all_finite(narrow):
        raise InputError(
            f"derivatives of up to {float(values.abs().max()):.3g} do not fit into {dtype}; ask for a wider `dtype`."
        )
    return narrow
