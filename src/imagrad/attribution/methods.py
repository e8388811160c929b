"""Every attribution method by name, behind one call: reduced over the latents as saliency is, and self-tested."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from imagrad.attribution.blocks import Options, Progress
from imagrad.attribution.captum import gradients as _gradients
from imagrad.attribution.captum import hooks as _hooks
from imagrad.attribution.captum import perturbations as _perturbations
from imagrad.attribution.captum.adapter import seeded
from imagrad.attribution.contract import (
    METHODS,
    Finding,
    Method,
    Problem,
    by_row,
    check_installed,
    method,
    rows_at_once,
)
from imagrad.attribution.encoders import Images, batches_of, check_eval_mode, plain_codes
from imagrad.attribution.findings import findings_of
from imagrad.attribution.networks import Weighted, unchanged
from imagrad.attribution.saliency import saliency
from imagrad.complexstep.functions import Function, Output
from imagrad.complexstep.points import check_choice
from imagrad.complexstep.reductions import NORMS
from imagrad.complexstep.selection import Latents, select
from imagrad.errors import EncoderError, InputError

_FILLED_BY = (_gradients, _hooks, _perturbations)  # imported so that their methods are in the registry

REDUCTIONS = ("per-latent", "project")

_NUMBERS = 2**25  # attributions of single latents that are held at once


@dataclass(frozen=True)
class AttributionResult:
    """Maps of a batch of images by some method, how they were made, and what is doubtful about them."""

    maps: torch.Tensor
    """(n, *input), >= 0."""
    codes: torch.Tensor
    """The encoder's output for each image, (n, q)."""
    images: torch.Tensor
    """What was explained, (n, *input)."""
    method: str
    reduction: str
    """"per-latent": the norm over the latents; "project": the absolute attribution of the inner product."""
    norm: str
    seed: int
    findings: tuple[Finding, ...] = ()
    """What the self-tests found on this encoder; empty when the method works as its authors say."""


@method("saliency", extra=None, reduced=True)
def _saliency(problem: Problem) -> torch.Tensor:
    """Norm over the latents of exact derivatives, certified: `imagrad.saliency`, the paper's method."""
    if problem.reduction != "per-latent":
        raise InputError(
            f'saliency is the norm over the latents: `reduction` must be "per-latent"; got {problem.reduction!r}. '
            'The plain gradient of the inner product is method="gradient".'
        )
    found = saliency(
        problem.encoder, problem.images, latents=problem.latents, norm=problem.norm, seed=problem.seed,
        output=problem.output,
    )  # fmt: skip
    return found.maps


@method("gradient", extra=None, norm="l1")
def _gradient(problem: Problem) -> torch.Tensor:
    """Gradient of each latent by plain autograd, as they are mostly summed: by absolute values (norm l1)."""

    def attribute(images: torch.Tensor, _: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(problem.network(images, weights).sum(), images)[0]

    return by_row(problem, attribute, rows_at_once(problem))


def attribute(
    encoder: Function, images: Images, method: str = "saliency", *, reduction: str = "per-latent",
    norm: str | None = None, latents: Latents = None, baseline: torch.Tensor | float = 0.0,
    samples: int | None = None, patch: int | None = None, seed: int = 0, batch_size: int | str = "auto",
    progress: Progress | None = None, output: Output = None,
) -> AttributionResult:  # fmt: skip
    """Explain codes by any registered method, reduced to one map >= 0 an image.

    Parameters
    ----------
    encoder
        A network or function from images (n, *input) to codes (n, q), in eval mode. It is not changed. Methods that
        hook layers need it to be a module, a method of one, or a function that uses some.
    images
        One batch (n, *input), floating point and finite, or an iterable of batches.
    method
        A name of the registry: `imagrad list methods`. All but "saliency" and "gradient" need imagrad[compare].
    reduction
        "per-latent": every latent is attributed by itself, then `norm` is taken over the latents, as in saliency.
        "project": one number is attributed, the inner product of the code with the image's own code held constant, and
        the absolute value is taken. It costs one q-th, and latents may cancel: another quantity.
    norm
        "l2", "l1" or "max" over the latents; default "l2", for the method "gradient" "l1".
    latents
        Indices of the latents that count, or one weight for each.
    baseline
        What stands for "nothing there" where a method compares with it: a number, or a tensor that fits one image.
    samples
        Points on the path (integrated gradients, GradientSHAP: 50), noisy images (SmoothGrad: 50), images with
        hidden patches (LIME, KernelSHAP: 512).
    patch
        Side in pixels of what occlusion, LIME and KernelSHAP hide at once; default a seventh of the image's.
    seed
        Decides all that is drawn; an image's map does not depend on the other images.
    batch_size, progress, output
        As in `saliency`.

    Raises `UnknownNameError`, `MissingExtraError`, `ImageError`, `InputError`, and `EncoderError` for a method that is
    not defined on the encoder. What runs, but not as its authors say, is in `findings`.
    """
    entry = METHODS[method]
    check_choice("reduction", reduction, REDUCTIONS)
    norm = norm or entry.norm
    _check_options(norm, samples, patch, seed)
    check_installed(method)
    check_eval_mode(encoder)
    options = Options(latents=latents, batch_size=batch_size, progress=progress, output=output)
    network = Weighted(encoder, output)
    parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    findings: tuple[Finding, ...] = ()
    with unchanged(network), torch.enable_grad():
        for batch, _ in batches_of(images, (), options.images_at_once):
            asked = Problem(
                encoder, network, batch, batch.new_empty(0), _as_image(baseline, batch), seed, samples, patch, norm,
                latents, reduction, output,
            )  # fmt: skip
            for problem, codes in _weighed(asked):
                with seeded(seed, batch.device):  # an encoder that draws is found, and leaves the global state alone
                    maps = _maps(problem, entry, method)
                    findings = findings if parts else findings_of(problem, entry)
                parts.append((maps, codes, problem.images))
                if progress is not None:
                    progress(len(maps))
    maps, codes, explained = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return AttributionResult(maps, codes, explained, method, reduction, norm, seed, findings)


def _check_options(norm: str, samples: int | None, patch: int | None, seed: int) -> None:
    """Raise `InputError` for what cannot be."""
    check_choice("norm", norm, tuple(NORMS))
    for name, value in (("samples", samples), ("patch", patch)):
        if value is not None and (not isinstance(value, int) or value < 1):  # pyright: ignore[reportUnnecessaryIsInstance]  # what a user passes
            raise InputError(f"`{name}` must be a positive whole number; got {value!r}. Leave it out for the default.")
    if not isinstance(seed, int) or seed < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"`seed` must be a whole number >= 0; got {seed!r}.")


def _as_image(baseline: torch.Tensor | float, images: torch.Tensor) -> torch.Tensor:
    """Return the baseline as one image, (1, *input); raise `InputError` when it does not fit."""
    shape = images.shape[1:]
    try:
        one = torch.as_tensor(baseline, dtype=images.dtype, device=images.device).detach().expand(shape)
    except (RuntimeError, TypeError, ValueError) as error:
        got = tuple(baseline.shape) if isinstance(baseline, torch.Tensor) else repr(baseline)
        raise InputError(
            f"`baseline` must be a number or a tensor that fits one image, {tuple(shape)}; got {got}. "
            "All images have the same."
        ) from error
    if not torch.isfinite(one).all():
        raise InputError("`baseline` must be finite; it has NaN or infinity.")
    return one[None]


def _weighed(asked: Problem) -> Iterator[tuple[Problem, torch.Tensor]]:
    """Yield the images in parts whose attributions fit, each with the weights of what is attributed, and the codes."""
    codes = plain_codes(asked.encoder, asked.images, (), asked.output).flatten(1)
    selection = select(asked.latents, codes.shape[1], codes.device)
    rows = torch.eye(codes.shape[1], dtype=codes.dtype, device=codes.device)[selection.indices]
    if selection.weights is not None:
        rows = rows * selection.weights.to(rows)[:, None]
    at_once = max(1, _NUMBERS // (asked.images[0].numel() * len(rows)))
    for images, own in zip(asked.images.split(at_once), codes.split(at_once), strict=True):
        single = rows.expand(len(own), -1, -1)
        weights = single if asked.reduction == "per-latent" else (own * rows.sum(0))[:, None]
        yield replace(asked, images=images, weights=weights), own.to(images)


def _maps(problem: Problem, entry: Method, name: str) -> torch.Tensor:
    """Attribute, and reduce over the latents: (n, *input)."""
    if entry.reduced:
        return entry.run(problem)
    norm = NORMS[problem.norm]
    maps = norm.finish(norm.along(entry.run(problem).to(problem.images), 1))
    if not torch.isfinite(maps).all():
        image = int((~torch.isfinite(maps)).flatten(1).any(dim=1).nonzero()[0])
        raise EncoderError(
            f"attributions must be finite; {name} gave NaN or infinity for image {image} of its batch. Try float64, "
            "net.double(), or another method."
        )
    return maps
