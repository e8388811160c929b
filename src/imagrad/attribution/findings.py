"""Self-tests of a method on the user's own encoder and images: what would make its maps something else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from imagrad.attribution.contract import Finding, Method, Problem
from imagrad.attribution.networks import layers_of

_FEW = 4  # numbers of an image that are looked at, where all would cost as much as the maps
_TINY = 1e-6  # of the largest latent: attributions below it may be rounding themselves
_ROUNDING = 1e-3  # of the largest attribution, in float32; a dependence on other images is seldom as small


def findings_of(problem: Problem, method: Method) -> tuple[Finding, ...]:
    """Look at the first images of a problem: randomness, company, gradients, hooks and completeness."""
    one = replace(problem, images=problem.images[:1], weights=problem.weights[:1])
    random = [*_random(one)]
    found = [*random, *_gradient(one), *_hooks(one, method)]
    if not method.reduced and not random:  # saliency refuses what mixes a batch
        found += [*_batch(problem, method)]
    if method.complete is not None:
        found += [*_completeness(one, method, method.complete)]
    return tuple(found)


def _random(one: Problem) -> Iterator[Finding]:
    with torch.no_grad():
        first, again = (one.network(one.images) for _ in range(2))
    off = float((first - again).abs().max())
    if not off <= _TINY * float(first.abs().max()):
        yield Finding(
            "random",
            f"the same image is encoded differently each time, by up to {off:.3g}. Take out what draws at random.",
        )


def _gradient(one: Problem) -> Iterator[Finding]:
    with torch.enable_grad():
        codes = one.network.encode(one.images.clone().requires_grad_())
    if not codes.requires_grad:
        yield Finding(
            "gradient",
            "the codes are not connected to the image: they are constant, or computed under torch.no_grad() or from "
            "detached tensors. Every gradient is 0.",
        )


def _hooks(one: Problem, method: Method) -> Iterator[Finding]:
    text = method.inspect and method.inspect(layers_of(one.network, one.images))
    if text:
        yield Finding("hooks", text)


def _batch(problem: Problem, method: Method) -> Iterator[Finding]:
    """Encode and attribute the first image alone and beside another."""
    other = problem.images[-1:] if len(problem.images) > 1 else 0.5 * problem.images
    first, both = problem.images[:1], torch.cat([problem.images[:1], other])
    weights = problem.weights[:1, :_FEW]
    one, pair = (replace(problem, images=x, weights=weights.expand(len(x), -1, -1)) for x in (first, both))
    with torch.no_grad():
        codes = [problem.network(images)[0] for images in (first, both)]
    for what, alone, beside in (("code", *codes), ("attributions", method.run(one)[0], method.run(pair)[0])):
        off = float((beside - alone).abs().max())
        scale = max(float(alone.abs().max()), _TINY * float(codes[0].abs().max()))
        if not off <= _ROUNDING * scale:
            yield Finding(
                "batch",
                f"the {what} of an image changed by {off:.3g}, of {scale:.3g} at most, when another was beside it in "
                "the batch. Explain the network up to the layer that mixes images.",
            )
            return


def _completeness(one: Problem, method: Method, tolerance: float) -> Iterator[Finding]:
    """Compare the sum of the attributions of each number with the change that they are to explain."""
    found = method.run(one)[0].flatten(1)
    sums = found.sum(1)
    with torch.no_grad():
        own, reference = (one.network(x, one.weights)[0] for x in (one.images, one.baseline))
    change = own - reference
    scale = max(float(found.abs().sum(1).max()), float(change.abs().max()), _ROUNDING * float(own.abs().max()))
    off = (sums - change).abs()
    worst = int(off.argmax())
    if not float(off[worst]) <= tolerance * scale:
        yield Finding(
            "completeness",
            f"the attributions of a latent must sum to its difference from the baseline's, {float(change[worst]):.3g}; "
            f"they sum to {float(sums[worst]):.3g} (delta {float(off[worst]):.3g}). They do not explain the code.",
        )
