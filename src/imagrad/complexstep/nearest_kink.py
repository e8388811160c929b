"""How far from the points that were looked at the derivative is another one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import inf

import torch
from torch import fx

from imagrad.complexstep.points import normal
from imagrad.complexstep.program import Program

_PROBES = 4
_CANDIDATES = 3
_MANY = 2**20  # places with a kink, of which half the probes tell enough
_NUMBERS = 2**16  # of the largest tensor of the points that are looked at together


def nearest_kink(
    program: Program, point: torch.Tensor, held: tuple[torch.Tensor, ...], generator: torch.Generator
) -> float | None:
    """Return about how far the nearest kink is that the points do not stand on; None when there is none.

    For each place where an operation has one: the distance to it over the length of its gradient, which some random
    directions estimate for all places, and autograd gives for those that then seem nearest.
    """
    parts = [(point, *held)]
    if program.batch is None:
        parts = [tuple(x[part] for x in parts[0]) for part in program.graph.parts(len(point), _NUMBERS)]
    found = [_nearest(program, inputs, generator) for inputs in parts]
    return min((distance for distance in found if distance is not None), default=None)


def _nearest(program: Program, inputs: tuple[torch.Tensor, ...], generator: torch.Generator) -> float | None:
    """Find it for some points together."""
    point, *held = inputs
    with torch.no_grad():
        nearest = _smallest(_estimates(program, inputs, generator))
    if not nearest:
        return None
    with torch.enable_grad():
        moving, gaps = point.clone().requires_grad_(True), dict[tuple[int, int], torch.Tensor]()

        def watch(k: int, gap: torch.Tensor) -> None:
            gaps.update({(k, place): gap[place] for _, operation, place in nearest if operation == k})

        _watch_gaps(program, (moving, *held), watch)
        return min(_refined(distance, gaps[k, place], moving) for distance, k, place in nearest)


def _estimates(
    program: Program, inputs: tuple[torch.Tensor, ...], generator: torch.Generator
) -> dict[int, torch.Tensor]:
    """Estimate how far each kink of each operation is; infinity where the point stands on it or never meets it."""
    here, slopes = dict[int, torch.Tensor](), dict[int, torch.Tensor]()
    point, *held = inputs
    _watch_gaps(program, inputs, here.__setitem__)
    probes = _PROBES if sum(map(len, here.values())) < _MANY else _PROBES // 2
    reach = 1e-7 * (float(point.abs().amax()) or 1.0)

    def add(k: int, gap: torch.Tensor) -> None:
        change = gap - here[k]
        slopes.setdefault(k, torch.zeros_like(gap)).addcmul_(change, change, value=1 / (probes * reach**2))

    for _ in range(probes):
        _watch_gaps(program, (point + reach * normal(point, generator), *held), add)
    return {k: _over(here[k], slopes[k].sqrt_()) for k in here}


def _smallest(estimates: dict[int, torch.Tensor]) -> list[tuple[float, int, int]]:
    """Return the smallest finite estimates of all, with the operation and the place of each."""
    found: list[tuple[float, int, int]] = []
    for k, estimate in estimates.items():
        values, places = estimate.topk(min(_CANDIDATES, len(estimate)), largest=False)
        found += [(value, k, place) for value, place in zip(values.tolist(), places.tolist(), strict=True)]
    return sorted(candidate for candidate in found if candidate[0] < inf)[:_CANDIDATES]


def _over(gaps: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Divide gaps by the lengths of their gradients; infinity where there is no gap, or no end of it."""
    distances = gaps / lengths
    return distances.where((gaps > 0) & distances.isfinite() & lengths.isfinite(), torch.inf)


def _refined(distance: float, gap: torch.Tensor, moving: torch.Tensor) -> float:
    """Return the distance to a kink by the gradient of its gap, or what it has been estimated at."""
    if not gap.requires_grad:
        return distance
    (slope,) = torch.autograd.grad(gap, moving, retain_graph=True)
    found = float(gap.detach() / slope.norm())
    return found if 0 < found < inf else distance


def _watch_gaps(program: Program, inputs: tuple[torch.Tensor, ...], watch: Callable[[int, torch.Tensor], None]) -> None:
    """Show `watch` how far each element of each operation that has kinks is from one, in float64, in order."""
    count = itertools.count()

    def see(_: fx.Node, gap: torch.Tensor) -> None:
        watch(next(count), gap.to(torch.float64).flatten())

    program.run_real(*inputs, watch=see)
