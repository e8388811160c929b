"""The ways to maps of column norms that are compared: imagrad, autograd in its usual forms, Captum, JAX, the paper."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import torch
from map_problems import Problem

import imagrad
from imagrad.complexstep import column_norms, literal_jacobian
from imagrad.complexstep.products import layered_task, product_kernel
from imagrad.registry import Registry

_PROBES = 64
_MOST_COLUMNS = 1000  # pixels: one pass for each of more takes minutes
_MOST_NUMBERS = 1.28e7  # of Jacobians held at once: with what leads to them, more take gigabytes

Way = Callable[[Problem, torch.Tensor, int], torch.Tensor]
"""A problem, some of its images (n, *input), and how many at a time (or how large a chunk) -> maps (n, *input)."""


@dataclass(frozen=True)
class Competitor:
    """A way, and how it is measured."""

    run: Way
    sizes: tuple[int, ...]
    """What is tried for the last argument, from large to small: the best counts."""
    cost: int = 1
    """It gets one of so many images: what takes long is timed on fewer."""
    of_images: bool = True
    """Whether the sizes count images; else latents or pixels."""
    is_other: str = ""
    """What it computes, if that is not the column norms: it is then not compared with them."""


COMPETITORS: Registry[Competitor] = Registry("benchmark competitor for maps", listed=False)


def competitor(
    name: str, *sizes: int, cost: int = 1, of_images: bool = True, is_other: str = ""
) -> Callable[[Way], Way]:
    """File a way."""

    def file(run: Way) -> Way:
        COMPETITORS.register(name)(Competitor(run, sizes or (0,), cost, of_images, is_other))
        return run

    return file


REFERENCE = "imagrad"


def _refuse_large(problem: Problem, images: int) -> None:
    """Raise `NotImplementedError` where the Jacobians of so many images do not fit into the memory."""
    if images * problem.latents * problem.images[0].numel() > _MOST_NUMBERS:
        raise NotImplementedError("whole Jacobians do not fit into the memory")


def _refuse_columns(problem: Problem) -> None:
    """Raise `NotImplementedError` where there are too many columns to take them one by one."""
    if problem.images[0].numel() > _MOST_COLUMNS:
        raise NotImplementedError(f"one pass for each of {problem.images[0].numel():,} pixels takes too long")


@competitor(REFERENCE)
def ours(problem: Problem, images: torch.Tensor, _: int) -> torch.Tensor:
    """Run what a user runs, with all of its checks and the certificate."""
    return imagrad.saliency(problem.encoder, images).maps


@competitor("imagrad, no certificate")
def unchecked(problem: Problem, images: torch.Tensor, _: int) -> torch.Tensor:
    """Leave the certificate out; what is checked of the network stays."""
    return imagrad.saliency(problem.encoder, images, certify="none").maps


@competitor("imagrad, not compiled")
def not_compiled(problem: Problem, images: torch.Tensor, _: int) -> torch.Tensor:
    """Do without the compiler, as where imagrad[fast] is not installed."""
    never = {"return_value": False}
    with patch.object(product_kernel, "pays", **never), patch.object(layered_task, "pays", **never):
        return ours(problem, images, 0)


@competitor("imagrad, forward", cost=100)
def forward(problem: Problem, images: torch.Tensor, _: int) -> torch.Tensor:
    """Take the columns one after the other."""
    _refuse_columns(problem)
    return imagrad.saliency(problem.encoder, images, engine="forward", certify="none").maps


@competitor("imagrad, 64 probes", is_other="an estimate")
def probed(problem: Problem, images: torch.Tensor, _: int) -> torch.Tensor:
    """Estimate the norms of one image after the other."""
    if problem.latents <= _PROBES:
        raise NotImplementedError("the exact norms cost no more")
    return torch.stack([column_norms(problem.net, image[None], probes=_PROBES).values[0] for image in images])


@competitor("loop of autograd.grad", 1000, 256, 64, 16, 1)
def loop(problem: Problem, images: torch.Tensor, size: int) -> torch.Tensor:
    """Pull one latent after the other back through one forward pass, and add the squares up in place."""
    maps: list[torch.Tensor] = []
    for some in images.split(size):
        points = some.clone().requires_grad_()
        codes, total = problem.encoder(points).sum(0), torch.zeros_like(points)
        for latent in range(len(codes)):
            (row,) = torch.autograd.grad(codes[latent], points, retain_graph=True)
            total.addcmul_(row, row)
        maps.append(total.sqrt())
    return torch.cat(maps)


@competitor("vmap(jacrev)", 256, 64, 16, 1)
def jacrev(problem: Problem, images: torch.Tensor, size: int) -> torch.Tensor:
    """Take whole Jacobians of some images at once; their squares are summed, which is the faster way to the norm."""
    _refuse_large(problem, min(size, len(images)))
    of_batch = torch.func.vmap(torch.func.jacrev(problem.of_one))
    return torch.cat([of_batch(some).square().sum(1).sqrt() for some in images.split(size)])


@competitor("vmap(jacrev), vector_norm", 64, 16, cost=10)
def jacrev_norm(problem: Problem, images: torch.Tensor, size: int) -> torch.Tensor:
    """Do the same with the norm as most would write it."""
    _refuse_large(problem, min(size, len(images)))
    of_batch = torch.func.vmap(torch.func.jacrev(problem.of_one))
    return torch.cat([torch.linalg.vector_norm(of_batch(some), dim=1) for some in images.split(size)])


@competitor("jacrev, some latents at a time", 16, 4, 1, cost=10, of_images=False)
def jacrev_in_chunks(problem: Problem, images: torch.Tensor, chunk: int) -> torch.Tensor:
    """Take the Jacobian of one image after the other, so many latents at a time."""
    of_one = torch.func.jacrev(problem.of_one, chunk_size=chunk)
    return torch.stack([of_one(image).square().sum(0).sqrt() for image in images])


@competitor("jacfwd", cost=100)
def jacfwd(problem: Problem, images: torch.Tensor, _: int) -> torch.Tensor:
    """Take the Jacobian of one image after the other, all columns at once.

    Of copies: for a part of a larger tensor torch makes every tangent as large as the whole.
    """
    _refuse_columns(problem)
    of_one = torch.func.jacfwd(problem.of_one)
    return torch.stack([of_one(image.clone()).square().sum(0).sqrt() for image in images])


@competitor("Captum, latent by latent", 256, 64, cost=10)
def captum(problem: Problem, images: torch.Tensor, size: int) -> torch.Tensor:
    """Run Captum's saliency for each latent."""
    from captum.attr import Saliency

    method = Saliency(problem.encoder)
    maps: list[torch.Tensor] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it sets requires_grad on the images, and says so each time
        for some in images.split(size):
            total = torch.zeros_like(some)
            for latent in range(problem.latents):
                total += method.attribute(some.clone(), target=latent, abs=False).detach().square()
            maps.append(total.sqrt())
    return torch.cat(maps)


@competitor("projection on the code", 256, is_other="the absolute gradient of code . code")
def projection(problem: Problem, images: torch.Tensor, size: int) -> torch.Tensor:
    """Attribute the inner product of the code with itself held constant, as label-free attribution does."""
    maps: list[torch.Tensor] = []
    for some in images.split(size):
        points = some.clone().requires_grad_()
        codes = problem.encoder(points)
        maps.append(torch.autograd.grad((codes * codes.detach()).sum(), points)[0].abs())
    return torch.cat(maps)


@competitor("jax.jit(vmap(jacrev))", 256, 128, 64, 32, 16)
def jax(problem: Problem, images: torch.Tensor, size: int) -> torch.Tensor:
    """Run the same network written in JAX, compiled with the norm."""
    return problem.in_jax(images, size)


@competitor("the paper's loop", cost=5000)
def literal(problem: Problem, images: torch.Tensor, _: int) -> torch.Tensor:
    """Perturb one pixel after the other by i h and run the network in complex numbers."""
    _refuse_columns(problem)
    rows = (literal_jacobian(problem.net, image[None]) for image in images)
    return torch.stack([row.square().flatten(0, 1).sum(0).sqrt()[0].to(images) for row in rows])
