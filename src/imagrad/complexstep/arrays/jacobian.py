"""Jacobians of functions of NumPy arrays that cannot be looked into: the complex step, with guards.

NumPy's complex kernels are taken as they are, and some of them quietly give up the imaginary part. So each result is
held against what must be true of an analytic function; a guard that trips says which.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import numpy as np
from numpy.exceptions import ComplexWarning
from numpy.typing import NDArray

from imagrad.complexstep.arrays.number import LiftedArray
from imagrad.complexstep.arrays.spot_check import contradiction
from imagrad.complexstep.arrays.tables import Parts, real, tangent
from imagrad.complexstep.points import check_step
from imagrad.errors import DerivativeError, ImagradError, InputError

Array = NDArray[np.float64]
ArrayFunction = Callable[[Any], Any]
Arithmetic = Literal["native", "lifted"]

_CULPRITS = {
    "native": "Usual culprits: np.abs, np.linalg.norm, np.var, np.std, np.cov, np.sign, np.conj, .real, float(), a "
    'real array that results are written into. arithmetic="lifted" differentiates most of them; or write them by other '
    "means, such as np.sqrt(np.sum(x * x)) for the norm.",
    "lifted": "Usual culprits: the attribute .re, a test for the type of the input, three elements or more that tie.",
}
_LIFTED_HINT = 'Try arithmetic="lifted", which gives the function an array of real numbers with derivatives.'


def jacobian_of_array(
    function: ArrayFunction, point: Any, *, step: float = 2.0**-66, arithmetic: Arithmetic = "native"
) -> Array:
    """Differentiate a function of a NumPy array at one point by the complex step.

    `point` is a real floating-point array, of any shape, or number; `function` returns an array or a number.
    Returns float64 of shape output.shape + point.shape. Costs one evaluation per element of `point`, and about ten
    real ones for the guards, or some fifty where central differences are hard to get right.
    "native" gives the function complex128, with imaginary part `step`; "lifted" gives it a `LiftedArray`, for which
    `step` tends to 0. Raises `InputError` for an argument that cannot be used, and `DerivativeError` where a guard
    trips: what it computes is not the derivative.
    Squire and Trapp 1998 (SIAM Review 40:110): df/dx = Im f(x + ih) / h + O(h**2).
    """
    at = _checked_point(point)
    _check_options(function, step, arithmetic)
    evaluate = _natively if arithmetic == "native" else _lifted
    with np.errstate(all="ignore"):  # what is not finite is told by an error
        value = _value(function, at)
        again = _value(function, at)
        if value.shape != again.shape or not _is_same(value, again):
            raise InputError(
                "`function` must return the same for the same input; two calls differed. Fix what it draws at random, "
                "or keep it from changing its state."
            )
        evaluations = [evaluate(function, at, direction, step, value) for direction in _unit_directions(at)]
        derivatives = np.stack([evaluation.im for evaluation in evaluations], axis=-1)  # (*output, m)
        real_parts = np.stack([evaluation.re for evaluation in evaluations], axis=-1)
        _check_real_parts(function, at, value, Parts(real_parts, derivatives), arithmetic)
        jacobian = derivatives.reshape(value.shape + at.shape)
        _check_by_differences(function, at, value, jacobian, arithmetic)
    return jacobian


# --- arguments ---


def _checked_point(point: Any) -> Array:
    """Return the point in float64; raise `InputError` for anything but finite real floating-point numbers."""
    if not isinstance(point, np.ndarray | np.floating | float) or isinstance(point, np.ma.MaskedArray | np.matrix):
        raise InputError(f"`point` must be a numpy.ndarray of real numbers; got a {type(point).__name__}.")
    array = np.asarray(point)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        hint = {
            "i": "Integers have no derivative: convert with .astype(float).",
            "u": "Integers have no derivative: convert with .astype(float).",
            "b": "Booleans have no derivative: convert with .astype(float).",
            "c": "The derivative is that of a real function: give real and imaginary part as two real arrays.",
        }.get(array.dtype.kind, "Convert with .astype(float).")
        raise InputError(f"`point` must be real floating-point numbers of at most 64 bits; got {array.dtype}. {hint}")
    if array.size == 0:
        raise InputError(f"`point` must have at least one element; got shape {array.shape}.")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise InputError(f"all values of `point` must be finite; {count} of {array.size} are NaN or infinite.")
    return array.astype(np.float64)


def _check_options(function: Any, step: float, arithmetic: str) -> None:
    if not callable(function):
        raise InputError(f"`function` must be callable; got a {type(function).__name__}.")
    check_step(step)
    if arithmetic not in get_args(Arithmetic):
        raise InputError(f"unknown `arithmetic` {arithmetic!r}; known: {', '.join(get_args(Arithmetic))}.")


def _unit_directions(at: Array) -> Iterator[Array]:
    for feature in range(at.size):
        direction = np.zeros(at.shape)
        direction.flat[feature] = 1
        yield direction


# --- evaluations ---


def _value(function: ArrayFunction, at: Array) -> Array:
    """Evaluate at a real point, in real numbers; raise `InputError` for a function that cannot be used."""
    try:
        output = _called(function, at.copy())
    except ImagradError:
        raise
    except Exception as error:
        raise InputError(f"`function` must accept `point`; it raised {_told(error)}") from error
    array = _as_array(output)
    if array.dtype.kind not in "iuf":
        raise InputError(f"`function` must return real numbers for a real point; it returned {array.dtype}.")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise DerivativeError(
            f"`function` must be finite at `point`; {count} of its {array.size} values are NaN or infinite there."
        )
    return array.astype(np.float64)


def _natively(function: ArrayFunction, at: Array, direction: Array, step: float, value: Array) -> Parts:
    """Evaluate at a complex point, in NumPy's own complex numbers."""
    point = np.empty(at.shape, np.complex128)
    point.real, point.imag = at, step * direction
    try:
        array = _as_array(_called(function, point))
    except ImagradError:
        raise
    except ComplexWarning as warning:
        raise DerivativeError(
            f"`function` dropped the imaginary part, which carries the derivative: NumPy warned {str(warning)!r}. "
            + _CULPRITS["native"]
        ) from warning
    except Exception as error:
        raise DerivativeError(
            "`function` must accept complex numbers, which carry the derivative; it raised "
            f"{_told(error)} {_LIFTED_HINT}"
        ) from error
    _check_shape(array, value)
    if array.dtype.kind != "c":
        raise DerivativeError(
            f"`function` must return complex numbers for a complex point; it returned {array.dtype}: it dropped the "
            f"imaginary part, which carries the derivative, or does not depend on its input. {_CULPRITS['native']}"
        )
    if array.dtype == np.complex64:
        raise DerivativeError("`function` must keep double precision; it returned complex64. Leave out its casts.")
    _check_finite(array)
    return Parts(np.real(array).astype(np.float64), (np.imag(array) / step).astype(np.float64))


def _lifted(function: ArrayFunction, at: Array, direction: Array, step: float, value: Array) -> Parts:
    """Evaluate at a lifted array; what it returns as plain numbers does not depend on the input."""
    try:
        output = _called(function, LiftedArray(at.copy(), direction.copy()))
        parts = LiftedArray(real(output), tangent(output))
    except ImagradError:
        raise
    except Exception as error:
        raise DerivativeError(f"`function` must accept a lifted array; it raised {_told(error)}") from error
    _check_shape(parts.re, value)
    _check_finite(parts.re, parts.im)
    return Parts(parts.re.copy(), parts.im.copy())  # the function may keep what it returned, and write into it


def _called(function: ArrayFunction, argument: Any) -> Any:
    """Call the function; raise `InputError` if it changes its argument, and let NumPy's complex warnings be errors."""
    before = argument.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ComplexWarning)
        output = function(argument)
    if not (np.array_equal(real(before), real(argument)) and np.array_equal(tangent(before), tangent(argument))):
        raise InputError("`function` must not change its argument; it wrote into it. Let it begin with x = x.copy().")
    return output


def _as_array(output: Any) -> NDArray[Any]:
    """Turn numbers, arrays, and lists of them into an array; raise `InputError` for anything else."""
    if not isinstance(output, np.ma.MaskedArray):
        try:
            array = np.asarray(output)
        except ValueError:  # a ragged list
            array = np.empty(0, object)
        if array.dtype.kind in "biufc":
            return array
    raise InputError(
        f"`function` must return a number or an array of numbers; it returned a {type(output).__name__}"
        + (" of rows that differ in length, or of other things." if isinstance(output, list | tuple) else ".")
    )


def _told(error: Exception) -> str:
    """Return the first line of an error, and of the one that caused it."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first.rstrip('.')}."


# --- guards ---


def _check_shape(array: NDArray[Any], value: Array) -> None:
    if array.shape != value.shape:
        raise DerivativeError(
            f"`function` must return one shape; it returned {value.shape} for a real point and {array.shape} for the "
            "same one with a derivative."
        )


def _check_finite(*arrays: NDArray[Any]) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise DerivativeError(
            "all derivatives must be finite; some are NaN or infinite, though the values are finite. `function` has a "
            "pole or a vertical slope at `point`, or overflows on the way, as 1 / (1 + np.exp(-x)) does at -800: "
            'write it another way, such as scipy.special.expit with arithmetic="lifted".'
        )


def _is_same(found: Array, expected: Array, sizes: Array | float = 0.0) -> bool:
    """Say whether values agree to rounding, given the sizes of what was added up in them."""
    largest = np.max(np.abs(expected), initial=0)
    return bool((np.abs(found - expected) <= 1e-9 * (np.abs(expected) + sizes) + 1e-12 * (1 + largest)).all())


def _check_real_parts(function: ArrayFunction, at: Array, value: Array, columns: Parts, arithmetic: Arithmetic) -> None:
    """Raise `DerivativeError` where Re f(x + ih) is not f(x), as for a function that branches on complex numbers."""
    found, expected = columns.re, value[..., None]
    sizes = np.sum(np.abs(columns.im * at.ravel()), axis=-1)[..., None]
    if _is_same(found, expected, sizes):
        return
    nearby = [_value(function, at * (1 + k * 2.0**-51)) for k in (-3, -1, 1, 2)]  # what rounding does to f, to compare
    scatter = np.max([np.abs(values - value) for values in nearby], axis=0)[..., None]
    if (np.abs(found - expected) > np.minimum(8 * scatter, 1e-6 * (1 + np.max(np.abs(value))))).any():
        raise DerivativeError(
            "the real part of `function` at a complex point must be its value at the real one; they differ by up to "
            f"{np.max(np.abs(found - expected)):.3g}. It takes another branch there, compares complex numbers, takes "
            f"the root or logarithm of a negative one, or has a pole nearer than the step. {_CULPRITS[arithmetic]}"
        )


def _check_by_differences(
    function: ArrayFunction, at: Array, value: Array, jacobian: Array, arithmetic: Arithmetic
) -> None:
    """Raise `DerivativeError` where central differences converge to something else."""
    in_double: Callable[[Array], Array] = lambda x: _as_array(function(x)).astype(np.float64)  # noqa: E731
    wrong = contradiction(in_double, at, value, jacobian, kinks_allowed=arithmetic == "lifted")
    if wrong is not None:
        where = f"output {wrong.index}" if wrong.index else "the output"
        raise DerivativeError(
            f"the complex step must agree with central differences; along a random direction {where} has slope "
            f"{wrong.found:.6g} by the one and {wrong.expected:.6g} by the other. The function is not analytic here, "
            f"has a kink at this very point, or a pole nearer than the step. {_CULPRITS[arithmetic]}"
        )
