"""Latents in units of their own spread over a data set, so that the scale of a latent says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from imagrad.errors import EncoderError, InputError

UNITS = ("raw", "spread")

_ROUNDING = 1e-6  # of a latent's largest value: a spread below it is rounding of float32
_INFORMATION = 0.01  # of the variance of a drawn latent: what its mean must at least make up
_QUANTILES = (0.05, 0.95)


@dataclass(frozen=True)
class Spread:
    """How far each latent moves over a data set; all tensors (q,), float64."""

    mean: torch.Tensor
    deviation: torch.Tensor
    """Standard deviation over the images."""
    low: torch.Tensor
    """The 5 % quantile; the smallest value, where the quantiles are one number."""
    high: torch.Tensor
    """The 95 % quantile; the largest value, where the quantiles are one number."""
    dead: torch.Tensor
    """Whether it says nothing of the image: constant up to rounding, or drawn from noise that drowns its mean."""
    images: int
    """How many there were."""
    noise: torch.Tensor
    """The variance that it is drawn with beside, the mean over the images; 0 where nothing is drawn."""

    @property
    def unit(self) -> torch.Tensor:
        """What a latent is counted in: its standard deviation over the images, as drawn where it is drawn."""
        return torch.sqrt(self.deviation**2 + self.noise)

    @property
    def weights(self) -> torch.Tensor:
        """One over each unit, 0 for the dead: `saliency(..., latents=spread.weights)` counts in these units."""
        return torch.where(self.dead, 0, 1 / torch.where(self.dead, 1, self.unit))

    @property
    def scale(self) -> torch.Tensor:
        """Each unit, 0 for the dead: by which derivatives with respect to the latents are multiplied."""
        return torch.where(self.dead, 0, self.unit)

    @property
    def activity(self) -> torch.Tensor:
        """Each deviation over the images, without noise; 0 for the dead."""
        return torch.where(self.dead, 0, self.deviation)

    def most_active(self, count: int) -> list[int]:
        """List the latents with the largest deviations, at most `count`, the dead left out."""
        if count < 1:
            raise InputError(f"at least 1 latent must be asked for; got {count}.")
        ranked = torch.argsort(self.activity, descending=True, stable=True).tolist()
        return [latent for latent in ranked if not self.dead[latent]][:count]

    def weights_of(self, latents: Sequence[int] | None) -> torch.Tensor:
        """Return the weights with 0 for all latents but these; raise `InputError` where one does not exist."""
        if latents is None:
            return self.weights
        if any(not 0 <= latent < len(self.weights) for latent in latents):
            raise InputError(f"`latents` must be indices from 0 to {len(self.weights) - 1}; got {list(latents)}.")
        kept = torch.zeros_like(self.weights)
        kept[list(latents)] = self.weights[list(latents)]
        return kept

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        values = {name: getattr(self, name).tolist() for name in ("mean", "deviation", "low", "high", "noise")}
        return {"images": self.images, **values, "dead": self.dead.nonzero()[:, 0].tolist()}


def spread_of(codes: torch.Tensor, log_variances: torch.Tensor | None = None) -> Spread:
    """Measure how far each latent moves over the codes (n, q) of at least 2 images.

    With the `log_variances` (n, q) of a gaussian code, a latent is counted in the deviation with which it is drawn, so
    that one whose mean hardly moves against its noise weighs little; where the mean makes up less than 1 % of the
    variance it is dead (Burda, Grosse and Salakhutdinov 2016 call a latent active where the variance of its mean is
    above 0.01, of about 1). Raises `EncoderError` for codes of another shape,
    or not finite, and `InputError` for fewer than 2 images.
    """
    for given in (codes,) if log_variances is None else (codes, log_variances):
        if given.shape != codes.shape or given.ndim != 2 or not torch.isfinite(given).all():
            raise EncoderError(f"codes must be finite and of shape (n, q); got {tuple(given.shape)}.")
    if len(codes) < 2:
        raise InputError(f"the spread of latents is that over at least 2 images; got {len(codes)}. Give more images.")
    values = codes.detach().cpu().double()
    deviation = values.std(dim=0, correction=0)
    low, high = torch.from_numpy(np.quantile(values.numpy(), _QUANTILES, axis=0))
    least, most = values.aminmax(dim=0)
    constant = low == high
    dead = deviation <= _ROUNDING * values.abs().amax(dim=0)
    noise = torch.zeros_like(deviation)
    if log_variances is not None:
        noise = log_variances.detach().cpu().double().exp().mean(dim=0)
        dead = dead | (deviation**2 < _INFORMATION * (deviation**2 + noise))
    return Spread(
        values.mean(dim=0), deviation, torch.where(constant, least, low), torch.where(constant, most, high), dead,
        len(codes), noise,
    )  # fmt: skip
