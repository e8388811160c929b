"""The paper's attribution: the norm over the latents of each pixel's derivatives, for any encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch

from imagrad.attribution.blocks import Options, Progress, blocks_of, check_choice
from imagrad.attribution.encoders import Images
from imagrad.attribution.results import SaliencyResult
from imagrad.complexstep.derivatives import DEFAULT_STEP, MEMORY_BUDGET
from imagrad.complexstep.program import Function
from imagrad.errors import InputError
from imagrad.registry import Registry

_CERTIFY = ("none",)

NORMS: Registry[Callable[[torch.Tensor], torch.Tensor]] = Registry("norm")
"""Derivatives of the latents with respect to some features, (..., q), to one number each, (...)."""


@NORMS.register("l2")
def l2(derivatives: torch.Tensor) -> torch.Tensor:
    """Root of the sum of squares: the paper's, Eq. 12."""
    return torch.linalg.vector_norm(derivatives, 2, dim=-1)


@NORMS.register("l1")
def l1(derivatives: torch.Tensor) -> torch.Tensor:
    """Sum of absolute values."""
    return torch.linalg.vector_norm(derivatives, 1, dim=-1)


@NORMS.register("max")
def largest(derivatives: torch.Tensor) -> torch.Tensor:
    """Largest absolute value."""
    return torch.linalg.vector_norm(derivatives, torch.inf, dim=-1)


def saliency(
    encoder: Function, images: Images, *, engine: str = "auto", kinks: str = "ad",
    latents: Sequence[int] | torch.Tensor | None = None, features: torch.Tensor | None = None, norm: str = "l2",
    dtype: torch.dtype | None = None, step: float = DEFAULT_STEP, seed: int = 0, batch_size: int | str = "auto",
    memory_budget: int = MEMORY_BUDGET, device: torch.device | str | None = None, progress: Progress | None = None,
    certify: str = "none",
) -> SaliencyResult:  # fmt: skip
    """Measure how strongly the code of each image depends on each of its pixels (Eq. 12 of the paper).

    `R_i = sqrt(sum_j (dg_j / dx_i)**2)`, with every derivative taken by the complex step (Eq. 2).

    Parameters
    ----------
    encoder
        A network or function from images (n, *input) to codes (n, q), in eval mode; traceable by `torch.export`.
        It is not changed. An autoencoder's `encode` method is one.
    images
        One batch (n, *input), floating point and finite, or an iterable of batches.
    engine
        "complex": complex128 arithmetic, many perturbations at once. "auto" picks for you.
    kinks
        Where an operation has no derivative (ReLU at 0): "ad" takes the one that autograd takes and counts it in
        `ties`; "raise" raises `DerivativeError`.
    latents
        Indices of the latents that count, or one weight for each, by which its derivatives are multiplied.
    features
        A boolean mask of the input's shape: only these are perturbed; the others are NaN in the maps.
    norm
        "l2", "l1" or "max" over the latents.
    dtype
        Of the maps and codes; default: that of the images. Derivatives are always computed in float64.
    step
        h, from 1e-200 to 2**-53.
    seed
        Decides what a certificate samples; without one nothing is drawn.
    batch_size, memory_budget
        Images at a time, and the bytes that their perturbations may take.
    device
        Where to compute; default: where the images are. Results are always returned there.
    progress
        Called with the number of images just finished.
    certify
        "none".

    Raises `ImageError`, `InputError`, `EncoderError` for what cannot be explained as given, and `DerivativeError`
    (its subclasses say more) when a derivative would not be exact.
    """
    check_choice("certify", certify, _CERTIFY)
    del seed  # nothing is drawn
    options = Options(engine, kinks, latents, features, dtype, step, batch_size, memory_budget, device, progress)
    reduce = NORMS[norm]
    maps: list[torch.Tensor] = []
    codes: list[torch.Tensor] = []
    explained: list[torch.Tensor] = []
    ties: Counter[str] = Counter()
    for block in blocks_of(encoder, images, options):
        flat = block.images.new_full((len(block.images), block.images[0].numel()), torch.nan, dtype=block.dtype)
        for features_done, columns in block.columns():
            flat[:, features_done] = _narrowed(reduce(columns).T, block.dtype)  # (k, n, q) -> (n, k)
        maps.append(flat.view(block.images.shape))
        codes.append(block.codes.to(flat))
        explained.append(block.images)
        ties += block.ties
    return SaliencyResult(torch.cat(maps), torch.cat(codes), torch.cat(explained), "complex", norm, step, dict(ties))


def jacobian(
    encoder: Function, images: Images, *, engine: str = "auto", kinks: str = "ad",
    latents: Sequence[int] | torch.Tensor | None = None, features: torch.Tensor | None = None,
    dtype: torch.dtype | None = None, step: float = DEFAULT_STEP, batch_size: int | str = "auto",
    memory_budget: int = MEMORY_BUDGET, device: torch.device | str | None = None, progress: Progress | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return the derivatives of all latents with respect to all pixels, for each image: (n, q, *input).

    Takes what `saliency` takes and raises what it raises. `latents` as indices leaves only those rows, as weights
    scales the rows; features that were not asked for are NaN.
    """
    options = Options(engine, kinks, latents, features, dtype, step, batch_size, memory_budget, device, progress)
    results: list[torch.Tensor] = []
    for block in blocks_of(encoder, images, options):
        shape = (len(block.images), block.selected_latents, block.images[0].numel())
        flat = block.images.new_full(shape, torch.nan, dtype=block.dtype)
        for features_done, columns in block.columns():
            flat[:, :, features_done] = _narrowed(columns.permute(1, 2, 0), block.dtype)  # (k, n, q) -> (n, q, k)
        results.append(flat.unflatten(2, block.images.shape[1:]))
    return torch.cat(results)


def _narrowed(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Convert finite numbers; raise `InputError` where they do not fit into the type."""
    narrow = values.to(dtype)
    if not torch.isfinite(narrow).all():
        raise InputError(
            f"derivatives of up to {float(values.abs().max()):.3g} do not fit into {dtype}; ask for a wider `dtype`."
        )
    return narrow
