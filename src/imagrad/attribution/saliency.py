"""The paper's attribution: the norm over the latents of each pixel's derivatives, for any encoder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import torch

from imagrad.attribution.blocks import Block, Options, Progress, blocks_of
from imagrad.attribution.certified import CERTIFY, certificate_of, checked
from imagrad.attribution.encoders import Held, Images
from imagrad.attribution.jacobians import jacobian_of, narrowed
from imagrad.attribution.results import SaliencyResult
from imagrad.complexstep.certificate import Certificate
from imagrad.complexstep.functions import Function, Output
from imagrad.complexstep.norms import norms_of_columns
from imagrad.complexstep.points import DEFAULT_STEP, Settings, check_choice
from imagrad.complexstep.reductions import NORMS
from imagrad.complexstep.selection import Latents, spread


def saliency(
    encoder: Function, images: Images, *, engine: str = "auto", kinks: str = "ad", latents: Latents = None,
    features: torch.Tensor | None = None, norm: str = "l2", dtype: torch.dtype | None = None,
    step: float = DEFAULT_STEP, seed: int = 0, batch_size: int | str = "auto", memory_budget: int | None = None,
    device: torch.device | str | None = None, progress: Progress | None = None, certify: str = "sample",
    output: Output = None, held: Held = (),
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
        "complex": complex128 arithmetic with the imaginary part `step`. "forward": the same with the step divided out,
        pixel by pixel. "transpose": the same run backwards, latent by latent. "auto": the cheaper of the last two.
    kinks
        Where an operation has no derivative (ReLU at 0, a tied maximum): "ad" takes the one that autograd takes,
        "right", "left" and "mean" the one-sided ones along each pixel and their mean; all are counted in `ties`.
        "raise" raises `DerivativeError`.
    latents
        Indices of the latents that count, or one weight for each, by which its derivatives are multiplied.
    features
        A boolean mask of the input's shape: only these are looked at; the others are NaN in the maps.
    norm
        "l2", "l1" or "max" over the latents.
    dtype
        torch.float32 or torch.float64: what is computed in, on a converted copy of the weights, and the type of maps
        and codes; default: that of the images. ("complex" always computes in complex128.)
    step
        h, from 1e-200 to 2**-53, for the engine "complex".
    seed
        Decides what the certificate samples.
    batch_size, memory_budget
        Images at a time, and the bytes that their perturbations may take (default: a quarter of the free memory, at
        most 64 MiB).
    device
        Where to compute; default: where the images are. Results are always returned there.
    progress
        Called with the number of images just finished.
    certify
        "sample": recompute a sample of the returned entries by complex128 arithmetic, and more: see `Certificate`;
        "full": many entries of every image; "none".
    output
        Which of several results is the code: a position, a key, an attribute, or a path such as "latent.0".
    held
        Further inputs of the encoder, each with one row an image, that are passed on and not perturbed.

    Raises `ImageError`, `InputError`, `EncoderError` for what cannot be explained as given, and `DerivativeError`
    (its subclasses say more) when a derivative would not be exact, or when the certificate fails.
    """
    check_choice("certify", certify, CERTIFY)
    settings = Settings(engine, step, kinks, dtype, memory_budget)
    options = Options(settings, latents, features, batch_size, device, progress, output, held, are_maps=True)
    found = _found(encoder, images, options, norm)
    result = found.result(norm)
    if certify == "none":
        return result
    return replace(result, certificate=checked(found.certificate(result, options, seed, full=certify == "full")))


def _found(encoder: Function, images: Images, options: Options, norm: str) -> _Found:
    """Compute the maps of all images."""
    found = _Found()
    for block in blocks_of(encoder, images, options):
        found.add(block, norm)
    return found


@dataclass
class _Found:
    """What has been computed so far."""

    maps: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    codes: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    images: list[torch.Tensor] = field(default_factory=list[torch.Tensor])
    ties: Counter[str] = field(default_factory=Counter[str])
    blocks: list[Block] = field(default_factory=list[Block])

    @property
    def last(self) -> Block:
        return self.blocks[-1]

    def add(self, block: Block, norm: str) -> None:
        """Compute the maps of one block."""
        norms = norms_of_columns(block.task, block.features, block.selection, NORMS[norm], block.opening)
        narrow = narrowed(norms, block.dtype).to(block.images.device)
        maps = spread(narrow, block.features, block.images[0].numel())
        self.maps.append(maps.reshape(block.images.shape))
        self.codes.append(block.codes.to(maps))
        self.images.append(block.images)
        self.ties += block.ties
        self.blocks = [block]

    def result(self, norm: str) -> SaliencyResult:
        """Put it together, as yet without a certificate."""
        settings = self.last.task.settings
        maps = self.maps.pop().contiguous() if len(self.maps) == 1 else _joined(self.maps)  # ours: need no copy
        codes, images = _joined(self.codes), _joined(self.images)
        return SaliencyResult(
            maps, codes, images, self.last.engine, norm, settings.step if settings.engine == "complex" else 0.0,
            settings.kinks, dict(self.ties), None,
        )  # fmt: skip

    def certificate(self, result: SaliencyResult, options: Options, seed: int, *, full: bool) -> Certificate:
        """Check what has been put together."""
        return certificate_of(
            self.last, result.maps, result.images, options, result.norm, seed, full=full, ties=self.ties
        )


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    """Put parts together, and keep none of them."""
    joined = torch.cat(parts)
    parts.clear()
    return joined


def certify(
    encoder: Function, images: Images, *, engine: str = "auto", kinks: str = "ad", latents: Latents = None,
    features: torch.Tensor | None = None, norm: str = "l2", dtype: torch.dtype | None = None,
    step: float = DEFAULT_STEP, seed: int = 0, batch_size: int | str = "auto", memory_budget: int | None = None,
    device: torch.device | str | None = None, progress: Progress | None = None, output: Output = None,
    held: Held = (),
) -> Certificate:  # fmt: skip
    """Compute maps and return their full certificate, passed or not: many entries of every image computed anew.

    Takes what `saliency` takes and raises what it raises, except for a certificate that fails.
    """
    settings = Settings(engine, step, kinks, dtype, memory_budget)
    options = Options(settings, latents, features, batch_size, device, progress, output, held, are_maps=True)
    found = _found(encoder, images, options, norm)
    return found.certificate(found.result(norm), options, seed, full=True)


def jacobian(
    encoder: Function, images: Images, *, engine: str = "auto", kinks: str = "ad", latents: Latents = None,
    features: torch.Tensor | None = None, dtype: torch.dtype | None = None, step: float = DEFAULT_STEP,
    batch_size: int | str = "auto", memory_budget: int | None = None, device: torch.device | str | None = None,
    progress: Progress | None = None, output: Output = None, held: Held = (),
) -> torch.Tensor:  # fmt: skip
    """Return the derivatives of all latents with respect to all pixels, for each image: (n, q, *input).

    Takes what `saliency` takes and raises what it raises. `latents` as indices leaves only those rows, as weights
    scales the rows; features that were not asked for are NaN.
    """
    settings = Settings(engine, step, kinks, dtype, memory_budget)
    options = Options(settings, latents, features, batch_size, device, progress, output, held)
    return torch.cat([jacobian_of(block) for block in blocks_of(encoder, images, options)])
