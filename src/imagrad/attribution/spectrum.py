"""The singular values of each image's Jacobian: in how many directions the code moves, and which they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from imagrad import runs
from imagrad.attribution.blocks import Options, Progress, blocks_of
from imagrad.attribution.certified import CERTIFY
from imagrad.attribution.encoders import Images
from imagrad.attribution.jacobians import ColumnNorms, jacobian_of
from imagrad.attribution.results import RAW_UNITS
from imagrad.complexstep.certificate import Certificate
from imagrad.complexstep.functions import Function
from imagrad.complexstep.points import Settings, check_choice
from imagrad.complexstep.selection import Latents
from imagrad.errors import InputError

_TIE = 1e-3  # components so close to the largest count as equally large: which is the first must not hang on rounding


@dataclass(frozen=True)
class SpectrumResult:
    """Singular values s_k of each image's Jacobian J = sum_k s_k u_k v_k^T, and its leading directions."""

    singular_values: torch.Tensor
    """(n, min(q, m)), descending."""
    effective_rank: torch.Tensor
    """(n,): exp of the entropy of s / sum(s), from 1 to the rank (Roy and Vetterli 2007); 0 where J is 0."""
    participation_ratio: torch.Tensor
    """(n,): sum(s^2)^2 / sum(s^4), the same with squares and less weight on small ones; 0 where J is 0."""
    patterns: torch.Tensor
    """Right singular vectors v_k, (n, k, *input): the changes of the image that move the code most. 0 where s_k is."""
    responses: torch.Tensor
    """Left singular vectors u_k, (n, k, q): the direction in which the code then moves, J v_k = s_k u_k."""
    certificate: Certificate | None = None
    """The independent check of the derivatives; None when it was not wanted."""
    units: str = RAW_UNITS
    """What the singular values are measured in, as figures say it."""

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file, atomically; raises `StorageError`."""
        certificate = None if self.certificate is None else self.certificate.as_dict()
        facts = {"kind": "spectrum", "units": self.units, "certificate": certificate}
        runs.write_tensors(Path(path), self._tensors(), facts)

    def _tensors(self) -> dict[str, torch.Tensor]:
        ranks = {"effective_rank": self.effective_rank, "participation_ratio": self.participation_ratio}
        directions = {"patterns": self.patterns, "responses": self.responses}
        return {"singular_values": self.singular_values, **ranks, **directions}


def spectrum(
    encoder: Function, images: Images, *, patterns: int = 4, latents: Latents = None, scale: torch.Tensor | None = None,
    engine: str = "auto", kinks: str = "ad", certify: str = "sample", seed: int = 0, batch_size: int | str = "auto",
    progress: Progress | None = None,
) -> SpectrumResult:  # fmt: skip
    """Decompose each image's Jacobian (q, m) into singular values and vectors, in float64.

    Parameters
    ----------
    encoder, images, latents, engine, kinks, certify, seed, batch_size, progress
        As in `imagrad.saliency`, which says what is raised. The sum of the squared singular values of an image is that
        of its map; the certificate is one of the norms of the columns of the very Jacobians.
    patterns
        How many leading pairs of vectors are returned. Of each pattern, the largest component is positive, the first
        of several. Where singular values are equal, their vectors are any basis of one space.
    scale
        One factor a feature, of the input's shape, by which derivatives with respect to it are multiplied: the unit
        that it is counted in. At a decoder, `spread_of(codes).scale`.
    """
    check_choice("certify", certify, CERTIFY)
    if patterns < 0:
        raise InputError(f"`patterns` must not be negative; got {patterns}.")
    options = Options(Settings(engine, kinks=kinks), latents=latents, batch_size=batch_size, progress=progress)
    norms, found = ColumnNorms(options), list[SpectrumResult]()
    for block in blocks_of(encoder, images, options):
        jacobian = jacobian_of(block)
        norms.add(block, jacobian)
        found.append(decompose(jacobian if scale is None else _scaled(jacobian, scale), patterns))
    return replace(_joined(found), certificate=norms.certificate(certify, seed))


def decompose(jacobian: torch.Tensor, patterns: int = 4) -> SpectrumResult:
    """Decompose Jacobians (n, q, *input) that are there already; results are in their type."""
    left, values, right = torch.linalg.svd(jacobian.flatten(2).double(), full_matrices=False)
    sizes = torch.tensor(jacobian.flatten(2).shape[1:])
    floor = values[:, :1] * int(sizes.max()) * torch.finfo(jacobian.dtype).eps  # below it, rounding, as numpy has it
    count = min(patterns, values.shape[1])
    left, right = left.mT[:, :count], right[:, :count]  # (n, k, q), (n, k, m)
    signs = _signs(right) * (values > floor)[:, :count, None]
    shares = values / values.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    powers = shares**2
    ratio = powers.sum(1) ** 2 / (powers**2).sum(1).clamp_min(torch.finfo(torch.float64).tiny)
    rank = torch.exp(-torch.xlogy(shares, shares).sum(1)) * (values[:, 0] > 0)
    kind = jacobian.dtype
    return SpectrumResult(
        values.to(kind), rank.to(kind), ratio.to(kind),
        (right * signs).unflatten(2, jacobian.shape[2:]).to(kind), (left * signs).to(kind),
    )  # fmt: skip


def _signs(vectors: torch.Tensor) -> torch.Tensor:
    """Return +-1 for each vector (n, k, m): the sign of the first of its largest components."""
    sizes = vectors.abs()
    first = (sizes >= (1 - _TIE) * sizes.amax(2, keepdim=True)).int().argmax(2, keepdim=True)
    return torch.where(vectors.gather(2, first) < 0, -1.0, 1.0).to(vectors)


def _scaled(jacobian: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Multiply the columns; raise `InputError` unless `scale` has the input's shape and is finite."""
    if scale.shape != jacobian.shape[2:] or not torch.isfinite(scale).all():
        raise InputError(
            f"`scale` must be finite and of the input's shape {tuple(jacobian.shape[2:])}; got {tuple(scale.shape)}."
        )
    return jacobian * scale.to(jacobian)


def _joined(found: list[SpectrumResult]) -> SpectrumResult:
    """Put blocks of images together."""
    return SpectrumResult(
        torch.cat([part.singular_values for part in found]), torch.cat([part.effective_rank for part in found]),
        torch.cat([part.participation_ratio for part in found]), torch.cat([part.patterns for part in found]),
        torch.cat([part.responses for part in found]),
    )  # fmt: skip
