"""Latent traversals: what a decoder paints while one latent moves and the others stand still."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from imagrad.attribution.units import Spread
from imagrad.complexstep.points import check_choice
from imagrad.errors import InputError

SPANS = ("quantiles", "deviations")

_DEVIATIONS = 3


@dataclass(frozen=True)
class Traversal:
    """What was decoded, one row a latent."""

    images: torch.Tensor
    """(latents, steps, *image)."""
    values: torch.Tensor
    """What the latent was set to, (latents, steps)."""
    latents: tuple[int, ...]
    start: torch.Tensor
    """The code that all rows start from, (q,)."""
    reconstruction: torch.Tensor
    """What that code decodes to, (*image)."""


def traverse(
    decode: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, spread: Spread, latents: Sequence[int], *,
    steps: int = 7, span: str = "quantiles",
) -> Traversal:  # fmt: skip
    """Decode the code `start` (q,), such as that of an image or `spread.mean`, with one latent at a time moved.

    "quantiles": from the 5 % to the 95 % quantile of the latent over the data, in even steps; "deviations": from 3
    standard deviations below its own value to 3 above. Nothing is clipped: a code that no image has may be among them.
    Raises `InputError` for latents that are not there, fewer than 2 steps, or another span.
    """
    check_choice("span", span, SPANS)
    count = len(spread.mean)
    if start.shape != (count,):
        raise InputError(f"`start` must be one code of shape ({count},); got {tuple(start.shape)}.")
    if not latents or any(not 0 <= latent < count for latent in latents):
        raise InputError(f"`latents` must be indices from 0 to {count - 1}; got {list(latents)}.")
    if steps < 2:
        raise InputError(f"`steps` must be at least 2; got {steps}.")
    low, high = _ends(start, spread, span)
    shares = torch.linspace(0, 1, steps, dtype=torch.float64)
    chosen = list(latents)
    values = (low[chosen, None] + (high - low)[chosen, None] * shares).to(start)  # (latents, steps)
    codes = start.expand(len(chosen), steps, count).clone()
    for row, latent in enumerate(chosen):
        codes[row, :, latent] = values[row]
    with torch.no_grad():
        images = decode(codes.flatten(0, 1)).unflatten(0, (len(chosen), steps))
        return Traversal(images, values, tuple(chosen), start, decode(start[None])[0])


def _ends(start: torch.Tensor, spread: Spread, span: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where each latent starts and ends, (q,) each, float64."""
    if span == "quantiles":
        return spread.low, spread.high
    own = start.detach().cpu().double()
    return own - _DEVIATIONS * spread.deviation, own + _DEVIATIONS * spread.deviation
