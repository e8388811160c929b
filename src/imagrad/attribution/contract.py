"""What an attribution method is: one function from a problem to signed attributions, filed under its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec

import torch

from imagrad.attribution.networks import Layers, Weighted
from imagrad.complexstep.functions import Function, Output
from imagrad.complexstep.selection import Latents
from imagrad.errors import MissingExtraError
from imagrad.registry import Registry

_PATCHES = 7  # along an axis: 4 x 4 pixels of a 28 x 28 image


@dataclass(frozen=True)
class Finding:
    """Something that makes the maps of a method doubtful."""

    kind: str
    """"batch", "random", "gradient", "hooks" or "completeness"."""
    text: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True)
class Problem:
    """Some images and the numbers that are to be attributed to their pixels: weighted sums of their latents."""

    encoder: Function
    """As it was given."""
    network: Weighted
    """A copy of it, whose layers may be hooked."""
    images: torch.Tensor
    """(n, *input)"""
    weights: torch.Tensor
    """(n, k, q): number k of image n is the inner product of its code with row k."""
    baseline: torch.Tensor
    """(1, *input): the image that stands for "nothing there"."""
    seed: int = 0
    samples: int | None = None
    patch: int | None = None
    norm: str = "l2"
    latents: Latents = None
    reduction: str = "per-latent"
    output: Output = None

    def window(self) -> tuple[int, ...]:
        """Return the patch that is hidden at a time, by axis of the input: a square of pixels, in all channels.

        Of a vector: a run of neighbours.
        """
        *others, width = self.images.shape[1:]
        if not others:
            return (min(width, self.patch or -(-width // _PATCHES**2)),)
        *channels, height = others
        return (*channels, *(min(side, self.patch or -(-side // _PATCHES)) for side in (height, width)))


Attribute = Callable[[Problem], torch.Tensor]
"""Signed attributions (n, k, *input) of the k numbers of each image."""


@dataclass(frozen=True)
class Method:
    """An attribution method and what is known of it."""

    run: Attribute
    summary: str
    extra: str | None = None
    """The extra of the package that it needs."""
    norm: str = "l2"
    """How the latents are reduced if nothing is said."""
    complete: float | None = None
    """The attributions of a number should sum to its difference from the baseline's, up to this part of their absolute
    values; None: they need not."""
    reduced: bool = False
    """`run` returns maps (n, *input), already reduced over the latents."""
    inspect: Callable[[Layers], str | None] | None = None
    """Says what in the layers that ran the method cannot see; None when nothing."""


METHODS: Registry[Method] = Registry("method")


def method(
    name: str, *, extra: str | None = "compare", norm: str = "l2", complete: float | None = None, reduced: bool = False,
    inspect: Callable[[Layers], str | None] | None = None,
) -> Callable[[Attribute], Attribute]:  # fmt: skip
    """Return a decorator that files a function as a method; the keywords are those of `Method`."""

    def add(run: Attribute) -> Attribute:
        summary = (run.__doc__ or "").split("\n", 1)[0]
        needs = f" Needs imagrad[{extra}]." if extra else ""
        METHODS.register(name)(Method(run, summary + needs, extra, norm, complete, reduced, inspect))
        return run

    return add


_PACKAGES = {"compare": "captum"}


def check_installed(name: str) -> None:
    """Raise `MissingExtraError` when a method needs a package that is not installed."""
    extra = METHODS[name].extra
    if extra is not None and find_spec(_PACKAGES[extra]) is None:
        raise MissingExtraError(
            f"the method {name!r} needs the package {_PACKAGES[extra]}, which is not installed. "
            f'Install it with the extra: pip install "imagrad[{extra}]".'
        )


def by_row(
    problem: Problem, attribute: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor], at_once: int
) -> torch.Tensor:
    """Attribute every number of every image as a row of its own, `at_once` rows at a time: (n, k, *input).

    `attribute` takes images (r, *input), that want a gradient, baselines and weights (r, q); row r of each belongs to
    the others' row r.
    """
    count = problem.weights.shape[1]
    parts: list[torch.Tensor] = []
    for rows in torch.arange(len(problem.images) * count, device=problem.images.device).split(max(1, at_once)):
        image, number = rows // count, rows % count
        images = problem.images[image].requires_grad_()
        baselines = problem.baseline.expand_as(images).contiguous()
        parts.append(attribute(images, baselines, problem.weights[image, number]).detach())
    return torch.cat(parts).unflatten(0, (len(problem.images), count))


def by_image(
    problem: Problem, attribute: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor], at_once: int
) -> torch.Tensor:
    """Do as `by_row`, but with rows of one image at a time, so that what is drawn does not depend on the others."""
    parts = zip(problem.images.split(1), problem.weights.split(1), strict=True)
    return torch.cat([by_row(replace(problem, images=x, weights=w), attribute, at_once) for x, w in parts])


_NUMBERS = 2**20  # pixels under way at once: the layers of a network may hold many times as many


def rows_at_once(problem: Problem, each: int = 1) -> int:
    """Return how many rows fit, when each takes `each` images through the network."""
    return max(1, _NUMBERS // (problem.images[0].numel() * each))
