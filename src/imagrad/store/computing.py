"""The numbers of a block: maps, and on request codes, single latents' maps and spectra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from imagrad.attribution.blocks import Options, Progress, blocks_of
from imagrad.attribution.jacobians import ColumnNorms, jacobian_of
from imagrad.attribution.saliency import saliency
from imagrad.attribution.spectrum import decompose
from imagrad.complexstep.certificate import Certificate
from imagrad.complexstep.points import Settings
from imagrad.complexstep.threads import threads
from imagrad.models.opening import Map
from imagrad.store.job import StoreSettings

Arrays = dict[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Computed:
    """What is stored of some images."""

    arrays: Arrays
    """One row an image, by the name of the array."""
    ties: dict[str, int]
    certificates: tuple[Certificate | None, ...]


def compute(
    encode: Map, images: torch.Tensor, settings: StoreSettings, seed: int, progress: Progress | None = None
) -> Computed:
    """Explain images that are on the network's device; raises what `imagrad.saliency` raises."""
    assert settings.batch_size is not None and settings.threads is not None  # resolved when the store was made
    with threads(settings.threads):
        found = saliency(
            encode, images, engine=settings.engine, kinks=settings.kinks, latents=settings.latents, norm=settings.norm,
            dtype=_dtype(settings), seed=seed, batch_size=settings.batch_size, memory_budget=settings.memory_budget,
            progress=progress, certify=settings.certify,
        )  # fmt: skip
        arrays = {"maps": _plain(found.maps)} | ({"codes": _plain(found.codes)} if settings.codes else {})
        certificates = [found.certificate]
        if settings.latent_maps:
            parts, certificate = _jacobians(encode, images, settings, settings.latent_maps, seed, lambda rows: (rows,))
            arrays["latent_maps"] = parts[0]
            certificates.append(certificate)
        if settings.spectra:
            parts, certificate = _jacobians(encode, images, settings, settings.latents, seed, _spectra)
            arrays["singular_values"], arrays["effective_rank"] = parts
            certificates.append(certificate)
    return Computed(arrays, found.ties, tuple(certificates))


def _spectra(jacobian: torch.Tensor) -> tuple[torch.Tensor, ...]:
    found = decompose(jacobian, patterns=0)
    return found.singular_values, found.effective_rank


def _jacobians(
    encode: Map, images: torch.Tensor, settings: StoreSettings, latents: tuple[int, ...] | None, seed: int,
    keep: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
) -> tuple[list[NDArray[np.floating]], Certificate | None]:  # fmt: skip
    """Return what is kept of each batch's Jacobian, put together, and the certificate of the very Jacobians."""
    assert settings.batch_size is not None
    how = Settings(settings.engine, kinks=settings.kinks, dtype=_dtype(settings), memory_budget=settings.memory_budget)
    options = Options(how, latents=latents, batch_size=settings.batch_size)
    norms, found = ColumnNorms(options), list[tuple[torch.Tensor, ...]]()
    for block in blocks_of(encode, images, options):
        jacobian = jacobian_of(block)
        norms.add(block, jacobian)
        found.append(keep(jacobian))
    return [_plain(torch.cat(parts)) for parts in zip(*found, strict=True)], norms.certificate(settings.certify, seed)


def _dtype(settings: StoreSettings) -> torch.dtype:
    return {"float32": torch.float32, "float64": torch.float64}[settings.dtype]


def _plain(values: torch.Tensor) -> NDArray[np.floating]:
    return values.detach().cpu().numpy()
