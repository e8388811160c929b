"""Compare a Jacobian with central differences along two random directions, on a ladder of steps.

No single step suits every function, so a disagreement counts only where differences at steps 64 times apart agree
among themselves: with the true derivative they must, with truncation or rounding alone they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DIRECTIONS = 2
AGREEMENT = 1e-5  # relative; central differences of smooth functions do better by a factor of 1000
_CONVERGED = 0.003  # how far the differences of neighbouring rungs may be apart, relative to them
_BEYOND = 3  # times as large as what is uncertain must a disagreement be
_EXPONENTS = (17, 5, 26, 8, 20, 14, 23, 11, 2, 29, 32, 35, 38, 41, 44)  # of the steps 2**-k; the best ones first
_COARSE = 8  # the exponent up to which it says something that a function does not change
_ROUNDING = 4 * 2.0**-52  # of the values, at least
_FINE = 29  # the exponent from which on a function changes by rounding alone, unless it is steep
_NOTHING = 1e-12  # a slope below this, of a function that is 0 or does not change at all, may be rounding


@dataclass(frozen=True)
class Contradiction:
    """An output whose derivative along a direction differs from what central differences converge to."""

    index: tuple[int, ...]
    found: float
    expected: float


@dataclass(frozen=True)
class _Rung:
    """Central differences of all outputs at one step; NaN where the function cannot be evaluated."""

    step: float
    difference: Array
    claimed: Array
    """The same by the Jacobian, for the displacement that the step comes to in floating point."""
    rounding: Array
    bend: Array
    """How far the slopes to both sides are apart: at a kink it does not shrink with the step."""
    change: Array
    is_flat: NDArray[np.bool_]


def contradiction(
    function: Callable[[Array], Array], point: Array, value: Array, jacobian: Array, *, kinks_allowed: bool
) -> Contradiction | None:
    """Look for an output on which `jacobian`, of shape output.shape + point.shape, contradicts central differences.

    `value` is that of the function at `point`. `kinks_allowed` passes a derivative between the slopes to both sides of
    a kink. Costs 4 evaluations of `function` where the first step agrees, up to 60 where none does. Where the function
    cannot be evaluated around the point, nothing contradicts.
    """
    generator = np.random.default_rng(0)
    matrix = jacobian.reshape(value.size, point.size)
    for _ in range(DIRECTIONS):
        direction = generator.choice([-1.0, 1.0], point.shape) * generator.uniform(0.5, 1.0, point.shape)
        rungs, disagrees = _along(direction * _scale(point), function, point, value.ravel(), matrix)
        found = _judged(rungs, value.ravel(), disagrees, kinks_allowed)
        if found is not None:
            where, rung = found
            index = tuple(int(k) for k in np.unravel_index(where, value.shape))
            return Contradiction(index, float(rung.claimed[where]), float(rung.difference[where]))
    return None


def _scale(point: Array) -> Array:
    """Return the size of each element; of one that is 0, that of the largest, but not more than 1."""
    sizes = np.abs(point)
    return np.where(sizes > 0, sizes, min(np.max(sizes) or 1.0, 1.0))


def _along(
    direction: Array, function: Callable[[Array], Array], point: Array, value: Array, matrix: Array
) -> tuple[list[_Rung], NDArray[np.bool_]]:
    """Go along the ladder until every output agrees; return the rungs, coarse to fine, and who never agreed."""
    rungs: dict[int, _Rung] = {}
    disagrees = np.ones(value.shape, dtype=bool)
    tolerance = AGREEMENT * (np.abs(matrix) @ np.abs(direction).ravel())
    for exponent in _EXPONENTS:
        step = 2.0**-exponent
        ahead, behind = point + step * direction, point - step * direction
        there, back = (_evaluated(function, at, value.size) for at in (ahead, behind))
        rung = rungs[exponent] = _Rung(
            step=step,
            difference=(there - back) / (2 * step),
            claimed=matrix @ ((ahead - behind) / (2 * step)).ravel(),
            rounding=_ROUNDING * (np.abs(there) + np.abs(back)) / step,
            bend=np.abs(there - 2 * value + back) / step,
            change=np.abs(there - back),
            is_flat=there == back,
        )
        agrees = np.abs(rung.difference - rung.claimed) <= tolerance
        disagrees &= ~(agrees & (~rung.is_flat | (exponent <= _COARSE)))
        if not disagrees.any():
            break
    return [rungs[exponent] for exponent in sorted(rungs)], disagrees


def _evaluated(function: Callable[[Array], Array], at: Array, size: int) -> Array:
    """Return the values as one row; NaN where the function raises, or changes its shape, as outside its domain."""
    try:
        values: Any = function(at)
    except Exception:
        return np.full(size, np.nan)
    return values.ravel() if values.size == size else np.full(size, np.nan)


def _judged(
    rungs: list[_Rung], value: Array, disagrees: NDArray[np.bool_], kinks_allowed: bool
) -> tuple[int, _Rung] | None:
    """Return the first output that converges to something else, and the rung where it does."""
    scatter = np.max([rung.change for rung in rungs if rung.step <= 2.0**-_FINE], axis=0, initial=0)
    near = [~rung.is_flat & (np.abs(rung.difference - rung.claimed) <= 0.1 * np.abs(rung.claimed)) for rung in rungs]
    hidden = np.any(near, axis=0)  # by rounding: where a small step shows no change, a larger one shows the right one
    for coarse, middle, fine in zip(rungs, rungs[1:], rungs[2:], strict=False):
        error = np.abs(middle.difference - middle.claimed)
        uncertain = fine.rounding + scatter / fine.step
        nothing = _NOTHING * max(1.0, float(np.max(np.abs(middle.claimed))))
        wrong = disagrees & (error > _BEYOND * uncertain) & ((~middle.is_flat & (value != 0)) | (error > nothing))
        for one, other in ((coarse, middle), (middle, fine)):
            apart = np.abs(one.difference - other.difference)
            wrong &= (apart <= _CONVERGED * np.abs(middle.difference) + uncertain) & (_BEYOND * apart <= error)
        for rung in (coarse, middle, fine):
            wrong &= ~(rung.is_flat & hidden)
            if kinks_allowed:
                wrong &= error > 0.51 * rung.bend
        if wrong.any():
            return int(np.argmax(wrong)), middle
    return None
