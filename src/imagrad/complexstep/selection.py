"""Which latents count, and which features are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from imagrad.errors import InputError

Latents = Sequence[int] | torch.Tensor | None
"""Indices of the latents that count, or one weight for each; None: all."""


@dataclass(frozen=True)
class Selection:
    """The latents that count: which, and with what weight."""

    indices: torch.Tensor
    weights: torch.Tensor | None = None

    def of(self, derivatives: torch.Tensor) -> torch.Tensor:
        """Pick and weigh along the last axis of `derivatives` (..., q)."""
        whole = len(self.indices) == derivatives.shape[-1]
        picked = derivatives if whole and self.weights is not None else derivatives[..., self.indices]
        return picked if self.weights is None else picked * self.weights.to(picked)

    def weigh(self, rows: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        """Weigh rows of a Jacobian, (k, n, features), those of some of the indices."""
        return rows if self.weights is None else rows * self.weights[outputs].to(rows)[:, None, None]


def select(latents: Latents, count: int, device: torch.device) -> Selection:
    """Check `latents`; raise `InputError` unless they are different indices below `count`, or `count` weights."""
    if latents is None:
        return Selection(torch.arange(count, device=device))
    numbers = latents.detach() if isinstance(latents, torch.Tensor) else np.asarray(latents)
    if isinstance(numbers, np.ndarray) and numbers.dtype.kind not in "iuf":
        raise InputError(f"`latents` must be a list of indices or of {count} weights; got {latents!r}.")
    chosen = torch.as_tensor(numbers, device=device)
    if chosen.is_floating_point() and chosen.numel():
        if chosen.shape != (count,) or not torch.isfinite(chosen).all():
            raise InputError(f"`latents` as weights must be {count} finite numbers; got shape {tuple(chosen.shape)}.")
        return Selection(torch.arange(count, device=device), chosen)
    if chosen.ndim != 1 or len(chosen) == 0 or chosen.dtype == torch.bool:
        raise InputError(f"`latents` must be a list of indices or of {count} weights; got {latents!r}.")
    if int(chosen.min()) < 0 or int(chosen.max()) >= count or len(chosen.unique()) != len(chosen):
        raise InputError(f"`latents` must be different indices from 0 to {count - 1}; got {chosen.tolist()}.")
    return Selection(chosen)


def select_features(mask: torch.Tensor | None, shape: torch.Size) -> torch.Tensor:
    """Return the indices, in the flattened input, of the features asked for by a boolean mask of its shape."""
    if mask is None:
        return torch.arange(shape.numel())
    is_mask = isinstance(mask, torch.Tensor) and mask.dtype == torch.bool  # pyright: ignore[reportUnnecessaryIsInstance]  # what a user passes
    if not is_mask or mask.shape != shape:
        got = f"{mask.dtype}, {tuple(mask.shape)}" if hasattr(mask, "shape") else type(mask).__name__
        raise InputError(f"`features` must be a boolean mask of shape {tuple(shape)}; got {got}.")
    if not mask.any():
        raise InputError("`features` must select at least one feature; it selects none.")
    return mask.flatten().nonzero()[:, 0]


def spread(values: torch.Tensor, features: torch.Tensor, count: int) -> torch.Tensor:
    """Put values (..., features asked for) in their places among `count` features, NaN elsewhere."""
    if len(features) == count:
        return values
    whole = values.new_full((*values.shape[:-1], count), torch.nan)
    return whole.index_copy(-1, features.to(values.device), values)
