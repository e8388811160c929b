"""Jacobians by the complex step: many perturbations through one program at once."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch

from imagrad.complexstep.number import Lifted
from imagrad.complexstep.program import Function, Program, export
from imagrad.errors import DerivativeError, InputError

DEFAULT_STEP = 2.0**-66
"""A power of two, so that dividing by it is exact. It must be small against the distance to the nearest singularity,
such as a denominator kept from zero by 1e-12; for one kept from it by less than 1e-16, take a smaller step."""

SMALLEST_STEP, LARGEST_STEP = 1e-200, 2.0**-53
MEMORY_BUDGET = 2**30
"""Bytes that the perturbations under way may take, unless told otherwise."""

_PARTS_ALIVE = 6  # real and imaginary part of an operation's input, of its result, and of scratch


def jacobian(
    function: Function, point: torch.Tensor, *, step: float = DEFAULT_STEP, memory_budget: int = MEMORY_BUDGET
) -> torch.Tensor:
    """Differentiate `function` at one point by the complex step.

    Returns float64 of shape output.shape + point.shape, as `torch.func.jacrev` does, exact to rounding.
    Costs one complex evaluation per element of `point`, in blocks that fit `memory_budget` (bytes).
    Raises `InputError` for an integer or complex point, and what `export` raises.
    Squire and Trapp 1998 (SIAM Review 40:110): df/dx = Im f(x + ih) / h + O(h**2), Eq. 2 of the paper.
    """
    check_point(point)
    check_step(step)
    check_budget(memory_budget)
    program = export(function, point, batched=False)
    count = _directions_at_once(program, 1, memory_budget)
    blocks = torch.arange(point.numel()).split(count)
    columns = [push_forward(program, point, unit_directions(point[None], block)[:, 0], step) for block in blocks]
    stacked = torch.cat(columns).movedim(0, -1)  # (*output, m)
    return stacked.reshape(stacked.shape[:-1] + point.shape)


def column_blocks(
    program: Program, points: torch.Tensor, features: torch.Tensor, step: float, memory_budget: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield Jacobian columns of all `points` (n, *input), some features at a time: (features, columns (k, n, q)).

    `features` are indices into the flattened input. All points are perturbed at once, each in the same feature:
    right only where the code of one does not depend on another, as an encoder's must not.
    """
    for block in features.split(_directions_at_once(program, len(points), memory_budget)):
        yield block, push_forward(program, points, unit_directions(points, block), step)


def push_forward(program: Program, point: torch.Tensor, directions: torch.Tensor, step: float) -> torch.Tensor:
    """Return Im f(point + ih direction) / h for each of the `directions` (k, *point): float64, (k, *output)."""
    real = point.detach().to(torch.float64)

    def imaginary(direction: torch.Tensor) -> torch.Tensor:
        return program.run(Lifted(real, step * direction)).im

    with torch.no_grad():
        return checked_finite(torch.vmap(imaginary)(directions) / step)


def checked_finite(derivatives: torch.Tensor) -> torch.Tensor:
    """Return the derivatives; raise `DerivativeError` when one is NaN or infinite."""
    if not torch.isfinite(derivatives).all():
        raise DerivativeError(
            "all derivatives must be finite; some are NaN or infinite. The network overflows, or has a pole, at this "
            "point: look at its output, and at the scale of its input."
        )
    return derivatives


def unit_directions(points: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return, for each feature, the direction that moves it in every point: float64, (k, *points)."""
    flat = torch.zeros(len(features), prod(points.shape[1:]), dtype=torch.float64, device=points.device)
    flat[torch.arange(len(features)), features] = 1
    shape = (len(features), *points.shape)
    return flat.view(len(features), 1, *points.shape[1:]).expand(shape)


def check_point(point: torch.Tensor) -> None:
    """Raise `InputError` unless `point` is a real floating-point tensor, not empty, with finite values."""
    if not isinstance(point, torch.Tensor) or point.numel() == 0:  # pyright: ignore[reportUnnecessaryIsInstance]
        got = f"one of shape {tuple(point.shape)}" if hasattr(point, "shape") else f"a {type(point).__name__}"
        raise InputError(f"what is differentiated must be a torch.Tensor with at least one element; got {got}.")
    if not point.is_floating_point():
        raise InputError(
            f"what is differentiated must be real floating-point numbers; got {point.dtype}. "
            "Integers have no derivative: differentiate what they are turned into, or convert with .float()."
        )
    if not torch.isfinite(point).all():
        count = int((~torch.isfinite(point)).sum())
        raise InputError(f"all values must be finite; {count} of {point.numel()} are NaN or infinite.")


def check_budget(memory_budget: int) -> None:
    """Raise `InputError` unless the budget is a positive number of bytes."""
    if memory_budget < 1:
        raise InputError(f"`memory_budget` must be a positive number of bytes; got {memory_budget}.")


def check_device(name: torch.device | str) -> None:
    """Raise `InputError` for a device that this machine has not, or on which float64 does not work."""
    try:
        if torch.empty(0, device=name).device.type not in ("cpu", "cuda"):
            raise RuntimeError("only cpu and cuda compute in float64")
    except (RuntimeError, AssertionError) as error:
        told = str(error).strip().split("\n", 1)[0]
        raise InputError(f"`device` must be one that this machine has; {str(name)!r} is not: {told}") from error


def check_step(step: float) -> None:
    """Raise `InputError` for a step so large that h**2 can be seen, or so small that it underflows."""
    if not SMALLEST_STEP <= step <= LARGEST_STEP:
        raise InputError(
            f"`step` must lie between {SMALLEST_STEP:g}, below which it underflows, and 2**-53, above which h**2 "
            f"can be seen; got {step:g}. The default is 2**-66."
        )


def _directions_at_once(program: Program, count: int, memory_budget: int) -> int:
    """Say how many directions of `count` points fit into the budget; at least one."""
    return max(1, memory_budget // (8 * _PARTS_ALIVE * program.largest_activation * max(1, count)))
