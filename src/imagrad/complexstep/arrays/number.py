"""The lifted array: real numbers with a derivative, for NumPy functions whose complex kernels are not analytic.

It stands for re + i h im in the limit of a small step h, as a pair of real arrays: the square of h is dropped, not
rounded away. Every operation goes through a table; one that is in no table raises `UnsupportedOperationError`, and so
does everything that would turn a lifted array into a plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from imagrad.complexstep.arrays.functions import RULES
from imagrad.complexstep.arrays.pointwise import PLAIN as PLAIN_UFUNCS
from imagrad.complexstep.arrays.pointwise import PRODUCTS, slopes_of
from imagrad.complexstep.arrays.tables import KEYWORDS, LINEAR, MULTILINEAR, PLAIN, Parts, real, tangent
from imagrad.errors import UnsupportedOperationError


def _method(function: Callable[..., Any]) -> Any:
    def method(self: LiftedArray, *args: Any, **kwargs: Any) -> Any:  # as the function: what it takes is checked there
        return function(self, *args, **kwargs)

    return method


class LiftedArray(NDArrayOperatorsMixin):  # the one mixin here: NumPy's own, which sends operators to __array_ufunc__
    """Values `re` and derivatives `im`, float64 and of one shape; indexing gives views of both, as in NumPy."""

    __slots__ = ("im", "re")

    def __init__(self, re: Any, im: Any = 0.0) -> None:
        """Take the values, and derivatives that broadcast to their shape."""
        self.re = np.asarray(re, dtype=np.float64)
        im = np.asarray(im, dtype=np.float64)
        self.im = im if im.shape == self.re.shape else np.broadcast_to(im, self.re.shape).copy()

    # --- what NumPy calls ---

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, where: Any = True, **options: Any
    ) -> Any:
        """Apply a ufunc by its slopes; its reductions, as the functions that they are; its outer form."""
        if method != "__call__":
            return _by_method(ufunc, method, inputs, {**options, **({} if out is None else {"out": out})})
        refused = {name: value for name, value in options.items() if not (name == "dtype" and value == np.float64)}
        if refused or (where is not True and out is None):
            met = ", ".join(refused) or "where without out"
            raise UnsupportedOperationError(f"np.{ufunc.__name__} of lifted arrays does not take {met}.")
        with np.errstate(all=None if where is True else "ignore"):  # masked elements may lie outside the domain
            result = _apply_ufunc(ufunc, inputs)
        return result if out is None else _written(ufunc, result, out, where)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Apply one of NumPy's other functions by its table."""
        try:
            with np.errstate(all="ignore"):
                return _wrapped(_apply_function(function, args, kwargs))
        except (TypeError, AttributeError) as error:
            raise UnsupportedOperationError(
                f"the rule of {_name(function)} for lifted arrays does not cover this use of it: {error}."
            ) from error

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse to become a plain array."""
        raise UnsupportedOperationError(
            "a lifted array cannot become a plain one: its derivative would be lost. It met np.array, np.asarray, a "
            "real array that it was to be written into, or a library that calls these. Join lifted arrays by np.stack "
            "or np.concatenate; allocate with np.zeros_like(x)."
        )

    def _refuse(self) -> NoReturn:
        raise UnsupportedOperationError(
            "a lifted array cannot become a plain number: its derivative would be lost. It met float, int, complex, or "
            "a function of the math module; use NumPy's, such as np.exp for math.exp."
        )

    __float__ = __int__ = __complex__ = __index__ = _refuse

    # --- Python's protocols ---

    def __bool__(self) -> bool:
        """Say whether the one value is not zero."""
        return bool(self.re)

    def __len__(self) -> int:
        """Return the size of the first axis."""
        return len(self.re)

    def __iter__(self) -> Iterator[LiftedArray]:
        """Go through the first axis."""
        return (self[k] for k in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        """Say whether one of the values equals this one."""
        return bool(np.any(self.re == real(value)))

    def __getitem__(self, index: Any) -> LiftedArray:
        """Return the elements at a plain index, as a view where NumPy gives one."""
        return LiftedArray(self.re[index], self.im[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write numbers, lifted or plain; plain ones have derivative 0."""
        self.re[index] = real(value)
        self.im[index] = tangent(value)

    def __round__(self, digits: int | None = None) -> Any:
        """Round to a decimal place; the derivative is 0."""
        return np.round(cast("Any", self), digits or 0)

    def __repr__(self) -> str:
        """Show both parts."""
        return f"LiftedArray({self.re!r}, im={self.im!r})"

    # --- attributes and methods of numpy.ndarray ---

    shape = property(lambda self: self.re.shape)
    ndim = property(lambda self: self.re.ndim)
    size = property(lambda self: self.re.size)
    dtype = property(lambda self: self.re.dtype)
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.matrix_transpose(self))
    real = property(lambda self: self)  # it stands for real numbers
    imag = property(lambda self: np.zeros_like(self))

    sum, mean, cumsum, trace = _method(np.sum), _method(np.mean), _method(np.cumsum), _method(np.trace)
    prod, cumprod, var, std = _method(np.prod), _method(np.cumprod), _method(np.var), _method(np.std)
    max, min, clip, round = _method(np.max), _method(np.min), _method(np.clip), _method(np.round)
    argmax, argmin, argsort = _method(np.argmax), _method(np.argmin), _method(np.argsort)
    any, all, nonzero, searchsorted = _method(np.any), _method(np.all), _method(np.nonzero), _method(np.searchsorted)
    dot, take, repeat, squeeze = _method(np.dot), _method(np.take), _method(np.repeat), _method(np.squeeze)
    ravel, swapaxes, diagonal = _method(np.ravel), _method(np.swapaxes), _method(np.diagonal)
    compress = _method(lambda x, condition, axis=None: np.compress(condition, x, axis))
    copy = flatten = _method(lambda x: LiftedArray(x.re.copy(), x.im.copy()))
    conj = conjugate = _method(np.conjugate)

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        """Return it in another shape, given as one argument or several."""
        return np.reshape(cast("Any", self), shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        """Return it with its axes in another order, given as one argument or several."""
        return np.transpose(cast("Any", self), axes[0] if len(axes) == 1 else axes or None)

    def astype(self, dtype: Any, copy: bool = True) -> LiftedArray:
        """Copy it; every type but float64 is refused."""
        if np.dtype(dtype) != np.float64:
            raise UnsupportedOperationError(
                f"a lifted array is float64; astype({np.dtype(dtype).name}) would lose its derivative, or digits of it."
            )
        return LiftedArray(self.re.copy(), self.im.copy()) if copy else self

    def item(self, *index: int) -> LiftedArray:
        """Return one element, lifted."""
        return self[np.unravel_index(0, self.shape)] if not index else np.ravel(cast("Any", self))[index[0]]

    def fill(self, value: Any) -> None:
        """Write one number everywhere."""
        self[...] = value

    def sort(self, axis: int = -1) -> None:
        """Sort in place."""
        self[...] = np.sort(cast("Any", self), axis)


# --- ufuncs ---

_METHODS: dict[tuple[np.ufunc, str], Callable[..., Any]] = {
    (np.add, "reduce"): np.sum,
    (np.multiply, "reduce"): np.prod,
    (np.maximum, "reduce"): np.max,
    (np.minimum, "reduce"): np.min,
    (np.logical_and, "reduce"): np.all,
    (np.logical_or, "reduce"): np.any,
    (np.add, "accumulate"): np.cumsum,
    (np.multiply, "accumulate"): np.cumprod,
}


def _by_method(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Apply `ufunc.reduce`, `ufunc.accumulate` or `ufunc.outer`."""
    if method == "outer" and not options:
        a, b = inputs
        return ufunc(np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b)
    if (ufunc, method) not in _METHODS:
        raise UnsupportedOperationError(
            f"lifted arrays do not support np.{ufunc.__name__}.{method}; known: "
            f"{', '.join(f'np.{u.__name__}.{m}' for u, m in _METHODS)}."
        )
    return _METHODS[ufunc, method](*inputs, **{"axis": 0, **options})


def _apply_ufunc(ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Any:
    """Return f(x), with derivative the sum over the inputs of slope times derivative."""
    values = [_checked(ufunc, value) for value in inputs]
    if ufunc in PLAIN_UFUNCS:
        return ufunc(*values)
    if ufunc in PRODUCTS:
        return _wrapped(_multilinear(ufunc, "x x", inputs, {}))
    slopes = slopes_of(ufunc)
    if slopes is None:
        raise UnsupportedOperationError(
            f"the ufunc {ufunc.__name__} has no rule for lifted arrays. Write it by others that have one, or add its "
            "slope, one line, to SLOPES in complexstep/arrays/pointwise.py."
        )
    result = ufunc(*values)
    with np.errstate(all="ignore"):  # a slope that is infinite or NaN shows in the derivative
        terms = [
            slope(*values, result) * value.im
            for slope, value in zip(slopes, inputs, strict=True)
            if isinstance(value, LiftedArray)
        ]
    return LiftedArray(result, np.asarray(sum(terms[1:], terms[0])))


def _checked(ufunc: np.ufunc, value: Any) -> Any:
    """Return the value of an input, an array of real numbers."""
    array = np.asarray(real(value))
    if array.dtype.kind not in "fiub":
        raise UnsupportedOperationError(
            f"lifted arrays stand for real numbers; np.{ufunc.__name__} met one of {array.dtype} as well."
        )
    return array


def _written(ufunc: np.ufunc, result: Any, out: Any, where: Any) -> LiftedArray | np.ndarray:
    """Write into `out=`, or, for `a += b`, into a."""
    (target,) = out
    if isinstance(target, LiftedArray) and isinstance(result, LiftedArray):
        np.copyto(cast("Any", target), cast("Any", result), where=where)
        return target
    if not isinstance(target, LiftedArray) and not isinstance(result, LiftedArray):
        np.copyto(target, result, where=where)  # booleans of a comparison
        return target
    raise UnsupportedOperationError(
        f"np.{ufunc.__name__} was to write a lifted array into a real one, which would lose its derivative. Allocate "
        "the real one with np.zeros_like(x), or write a = a + b for a += b."
    )


# --- functions ---


def _apply_function(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if function in RULES:
        return RULES[function](*args, **kwargs)
    if function in LINEAR:
        return _linear(function, LINEAR[function], args, kwargs)
    if function in MULTILINEAR:
        return _multilinear(function, MULTILINEAR[function], args, kwargs)
    if function in PLAIN:
        return function(*map(real, args), **{name: real(value) for name, value in kwargs.items()})
    raise UnsupportedOperationError(
        f"{_name(function)} has no rule for lifted arrays. Write it by functions that have one, or add a rule, one to "
        "five lines, to complexstep/arrays/functions.py."
    )


def _linear(function: Any, words: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Act on the values and on the derivatives alike."""
    named = _named(words, args, kwargs)
    plain = [real(value) if name in ("x", "condition") else value for name, value in named]
    derivative = [tangent(a) if name == "x" else b for (name, a), b in zip(named, plain, strict=True)]
    re, im = function(*plain, **kwargs), function(*derivative, **kwargs)
    return [Parts(*pair) for pair in zip(re, im, strict=True)] if isinstance(re, list | tuple) else Parts(re, im)


def _multilinear(function: Any, words: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Parts:
    """Sum over the lifted arguments, each in turn replaced by its derivative."""
    plain = [real(value) if name == "x" else value for name, value in _named(words, args, kwargs)]
    derivatives = [
        function(*plain[:k], value.im, *plain[k + 1 :], **kwargs)
        for k, value in enumerate(args)
        if isinstance(value, LiftedArray)
    ]
    return Parts(function(*plain, **kwargs), sum(derivatives[1:], derivatives[0]))


def _named(words: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
    """Give each positional argument its name from the table; raise `TypeError` for what the table does not know."""
    names = words.replace("*x", " ".join("x" * len(args))).split()
    refused = [name for name in kwargs if name not in KEYWORDS]
    refused += ["dtype"] if kwargs.get("dtype") not in (None, np.float64, float) else []
    refused += ["out"] if kwargs.get("out") is not None else []
    if refused:
        raise TypeError(f"it does not take {', '.join(refused)}")
    if len(args) > len(names):
        raise TypeError(f"{len(args)} arguments by position, of which it takes {len(names)}")
    named = list(zip(names, args, strict=False))
    if any(_holds_lifted(value) for name, value in named if name not in ("x", "condition")):
        raise TypeError("a lifted array where a plain one is expected")
    return named


def _holds_lifted(value: Any) -> bool:
    return isinstance(value, LiftedArray) or (isinstance(value, list | tuple) and any(map(_holds_lifted, value)))


def _wrapped(result: Any) -> Any:
    """Turn parts into lifted arrays, also inside lists and tuples, named ones among them."""
    if isinstance(result, Parts):
        return LiftedArray(result.re, result.im)
    if hasattr(result, "_make"):
        return type(result)._make(map(_wrapped, result))
    return type(result)(map(_wrapped, result)) if type(result) in (list, tuple) else result


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
