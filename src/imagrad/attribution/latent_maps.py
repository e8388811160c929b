"""One map a latent: which pixels move it, and which pixels it paints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from imagrad import runs
from imagrad.attribution.blocks import Options, blocks_of
from imagrad.attribution.certified import CERTIFY
from imagrad.attribution.encoders import Images
from imagrad.attribution.jacobians import ColumnNorms, jacobian_of
from imagrad.attribution.results import RAW_UNITS
from imagrad.complexstep.certificate import Certificate
from imagrad.complexstep.functions import Function
from imagrad.complexstep.points import Settings, check_choice
from imagrad.errors import InputError


@dataclass(frozen=True)
class LatentMaps:
    """Derivatives between single latents and pixels."""

    maps: torch.Tensor
    """Signed, (n, latents, *image)."""
    latents: tuple[int, ...]
    """Which latents."""
    certificate: Certificate | None = None
    """The independent check of the derivatives; None when it was not wanted."""
    units: str = RAW_UNITS
    """What the values are measured in, as figures say it."""

    def save(self, path: str | Path) -> None:
        """Write everything to one safetensors file, atomically; raises `StorageError`."""
        certificate = None if self.certificate is None else self.certificate.as_dict()
        facts = {"kind": "latent maps", "latents": list(self.latents), "units": self.units}
        runs.write_tensors(Path(path), {"maps": self.maps}, {**facts, "certificate": certificate})


def latent_maps(
    encoder: Function, images: Images, latents: Sequence[int], *, engine: str = "auto", kinks: str = "ad",
    certify: str = "sample", seed: int = 0,
) -> LatentMaps:  # fmt: skip
    """Map each latent by itself: dg_j / dx_i for all pixels i and each of these latents j.

    The keywords are those of `imagrad.saliency`, which says what is raised. The certificate is one of the norms over
    these latents of the very derivatives that are returned.
    """
    check_choice("certify", certify, CERTIFY)
    chosen = _checked(latents)
    options = Options(Settings(engine, kinks=kinks), latents=chosen)
    norms, found = ColumnNorms(options), list[torch.Tensor]()
    for block in blocks_of(encoder, images, options):
        found.append(jacobian_of(block))
        norms.add(block, found[-1])
    return LatentMaps(torch.cat(found), tuple(chosen), norms.certificate(certify, seed))


def painted_maps(
    decoder: Function, codes: Images, latents: Sequence[int], *, engine: str = "auto", kinks: str = "ad",
    certify: str = "sample", seed: int = 0,
) -> LatentMaps:  # fmt: skip
    """Map what each latent paints: dx_i / dz_j of the decoder's pixels x_i, at codes (n, q), for each of these latents.

    The cost is in proportion to their number. Keywords, certificate and errors are those of `latent_maps`.
    """
    check_choice("certify", certify, CERTIFY)
    chosen = _checked(latents)
    batches = [codes] if isinstance(codes, torch.Tensor) else list(codes)
    mask = _mask(batches[0], chosen)
    options = Options(Settings(engine, kinks=kinks), features=mask)
    norms, found = ColumnNorms(options), list[torch.Tensor]()
    for block in blocks_of(decoder, batches, options):
        jacobian = jacobian_of(block)  # (n, pixels, q)
        found.append(jacobian[..., chosen].movedim(-1, 1))
        norms.add(block, jacobian)
    with torch.no_grad():
        shape = decoder(batches[0][:1]).shape[1:]
    return LatentMaps(torch.cat(found).unflatten(2, shape), tuple(chosen), norms.certificate(certify, seed))


def _checked(latents: Sequence[int]) -> list[int]:
    """Return them as a list; raise `InputError` where there are none."""
    chosen = [int(latent) for latent in latents]
    if not chosen:
        raise InputError("`latents` must name at least one latent; it names none.")
    return chosen


def _mask(codes: torch.Tensor, latents: Sequence[int]) -> torch.Tensor:
    """Return a mask of the features of a code; raise `InputError` for a latent that is not there, or is there twice."""
    if codes.ndim != 2:
        raise InputError(f"`codes` must have shape (n, q); got {tuple(codes.shape)}.")
    count = codes.shape[1]
    if any(not 0 <= latent < count for latent in latents) or len(set(latents)) != len(latents):
        raise InputError(f"`latents` must be different indices from 0 to {count - 1}; got {list(latents)}.")
    mask = torch.zeros(count, dtype=torch.bool)
    mask[list(latents)] = True
    return mask
