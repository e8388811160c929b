"""The slopes of elementwise functions of NumPy and scipy.special: one line each.

Each slope takes the inputs and the output of the ufunc, all real, and is written so that 14 digits stay right in the
tails, where textbook forms such as 1 - tanh(x)**2 have none left. At a kink it is the mean of both sides: `abs` has
slope 0 at 0, `maximum` gives each of two equal inputs one half. Steps such as `sign` and `floor` have slope 0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import log, pi, sqrt
from typing import Any

import numpy as np

Slope = Callable[..., Any]

_LN2, _LN10 = log(2), log(10)


def slopes_of(ufunc: np.ufunc) -> tuple[Slope, ...] | None:
    """Return the slope with respect to each input; None for a ufunc that is not in the tables.

    SciPy's are known by name, so that SciPy need not be imported, and by identity, so that no namesake passes.
    """
    if ufunc in SLOPES:
        return SLOPES[ufunc]
    is_scipys = getattr(sys.modules.get("scipy.special"), ufunc.__name__, None) is ufunc
    return SPECIAL_SLOPES.get(ufunc.__name__) if is_scipys else None


def _special() -> Any:
    """Return scipy.special, which is imported already when one of its functions is called."""
    return sys.modules["scipy.special"]


def _gauss(x: Any, half: float) -> Any:
    """Return exp(-half x**2): the square is split in two, as its rounding alone would cost x**2 units of precision."""
    x = np.clip(x, -50.0, 50.0)  # beyond, it is 0
    short = x.astype(np.float32).astype(np.float64)  # its square is exact
    return np.exp(-half * short * short) * np.exp(half * (short - x) * (short + x))


def _logistic(x: Any, exponential: Any = np.exp) -> Any:
    """Return 1 / (1 + exp(-x)) without overflow."""
    e = exponential(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1 + e)


def _bell(x: Any) -> Any:
    """Return the slope of the logistic function."""
    e = np.exp(-np.abs(x))
    return e / (1 + e) ** 2


def _chosen(a: Any, b: Any, y: Any) -> Any:
    """Return 1 where `a` is the larger, or the smaller, one, and a half where both are."""
    return np.where(a == b, 0.5, a == y)


def _power_base(a: Any, b: Any, y: Any) -> Any:
    a = np.asarray(a, np.float64)  # integers have no negative powers
    return np.where(np.equal(b, 0), 0.0, b * a ** (b - 1.0))


def _power_exponent(a: Any, b: Any, y: Any) -> Any:
    return np.where((np.equal(a, 0)) & (np.greater(b, 0)), 0.0, y * np.log(a))


def _over(a: Any, r: Any) -> Any:
    """Return a / r for |a| <= r, and 0 for 0 / 0: at its kink the hypotenuse has slope 0."""
    return np.where(r == 0, 0.0, a / r)


def _flat(*_: Any) -> float:
    return 0.0


SLOPES: dict[np.ufunc, tuple[Slope, ...]] = {
    # --- arithmetic ---
    np.positive: (lambda x, y: 1.0,),
    np.negative: (lambda x, y: -1.0,),
    np.conjugate: (lambda x, y: 1.0,),  # a lifted array stands for real numbers
    np.add: (lambda a, b, y: 1.0, lambda a, b, y: 1.0),
    np.subtract: (lambda a, b, y: 1.0, lambda a, b, y: -1.0),
    np.multiply: (lambda a, b, y: b, lambda a, b, y: a),
    np.divide: (lambda a, b, y: 1 / b, lambda a, b, y: -y / b),
    np.reciprocal: (lambda x, y: -y * y,),
    np.square: (lambda x, y: 2 * x,),
    np.power: (_power_base, _power_exponent),
    np.float_power: (_power_base, _power_exponent),
    np.remainder: (lambda a, b, y: 1.0, lambda a, b, y: np.rint((y - a) / b)),
    np.fmod: (lambda a, b, y: 1.0, lambda a, b, y: np.rint((y - a) / b)),
    np.ldexp: (lambda a, b, y: np.ldexp(1.0, b), _flat),
    # --- roots, exponentials, logarithms ---
    np.sqrt: (lambda x, y: 0.5 / y,),
    np.cbrt: (lambda x, y: 1 / (3 * y * y),),
    np.exp: (lambda x, y: y,),
    np.exp2: (lambda x, y: _LN2 * y,),
    np.expm1: (lambda x, y: np.exp(x),),
    np.log: (lambda x, y: 1 / x,),
    np.log2: (lambda x, y: 1 / (_LN2 * x),),
    np.log10: (lambda x, y: 1 / (_LN10 * x),),
    np.log1p: (lambda x, y: 1 / (1 + x),),
    np.logaddexp: (lambda a, b, y: _logistic(np.subtract(a, b)), lambda a, b, y: _logistic(np.subtract(b, a))),
    np.logaddexp2: (
        lambda a, b, y: _logistic(np.subtract(a, b), np.exp2),
        lambda a, b, y: _logistic(np.subtract(b, a), np.exp2),
    ),
    # --- trigonometric and hyperbolic ---
    np.sin: (lambda x, y: np.cos(x),),
    np.cos: (lambda x, y: -np.sin(x),),
    np.tan: (lambda x, y: 1 + y * y,),
    np.arcsin: (lambda x, y: 1 / np.sqrt((1 - x) * (1 + x)),),
    np.arccos: (lambda x, y: -1 / np.sqrt((1 - x) * (1 + x)),),
    np.arctan: (lambda x, y: 1 / (1 + x * x),),
    np.arctan2: (
        lambda a, b, y: b / np.hypot(a, b) / np.hypot(a, b),
        lambda a, b, y: -a / np.hypot(a, b) / np.hypot(a, b),
    ),
    np.hypot: (lambda a, b, y: _over(a, y), lambda a, b, y: _over(b, y)),
    np.sinh: (lambda x, y: np.cosh(x),),
    np.cosh: (lambda x, y: np.sinh(x),),
    np.tanh: (lambda x, y: 4 * _bell(2 * x),),
    np.arcsinh: (lambda x, y: 1 / np.hypot(1, x),),
    np.arccosh: (lambda x, y: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1)),),
    np.arctanh: (lambda x, y: 1 / ((1 - x) * (1 + x)),),
    np.deg2rad: (lambda x, y: pi / 180,),
    np.radians: (lambda x, y: pi / 180,),
    np.rad2deg: (lambda x, y: 180 / pi,),
    np.degrees: (lambda x, y: 180 / pi,),
    # --- kinks ---
    np.absolute: (lambda x, y: np.sign(x),),
    np.fabs: (lambda x, y: np.sign(x),),
    np.copysign: (lambda a, b, y: np.sign(a) * np.copysign(1, b), _flat),
    np.maximum: (_chosen, lambda a, b, y: _chosen(b, a, y)),
    np.minimum: (_chosen, lambda a, b, y: _chosen(b, a, y)),
    np.fmax: (_chosen, lambda a, b, y: _chosen(b, a, y)),
    np.fmin: (_chosen, lambda a, b, y: _chosen(b, a, y)),
    # --- steps ---
    np.sign: (_flat,),
    np.floor: (_flat,),
    np.ceil: (_flat,),
    np.trunc: (_flat,),
    np.rint: (_flat,),
    np.floor_divide: (_flat, _flat),
    np.heaviside: (_flat, lambda a, b, y: np.equal(a, 0)),
}

SPECIAL_SLOPES: dict[str, tuple[Slope, ...]] = {
    "expit": (lambda x, y: _bell(x),),
    "log_expit": (lambda x, y: _logistic(-x),),
    "logit": (lambda x, y: 1 / (x * (1 - x)),),
    "erf": (lambda x, y: 2 / sqrt(pi) * _gauss(x, 1.0),),
    "erfc": (lambda x, y: -2 / sqrt(pi) * _gauss(x, 1.0),),
    "ndtr": (lambda x, y: 1 / sqrt(2 * pi) * _gauss(x, 0.5),),
    "gamma": (lambda x, y: y * _special().psi(x),),
    "gammaln": (lambda x, y: _special().psi(x),),
    "psi": (lambda x, y: _special().polygamma(1, x),),
    "entr": (lambda x, y: -np.log(x) - 1,),
    "xlogy": (lambda a, b, y: np.log(b), lambda a, b, y: a / b),
    "xlog1py": (lambda a, b, y: np.log1p(b), lambda a, b, y: a / (1 + b)),
    "exp10": (lambda x, y: _LN10 * y,),
    # scipy.special has its own kernels of these
    "cbrt": SLOPES[np.cbrt],
    "exp2": SLOPES[np.exp2],
    "expm1": SLOPES[np.expm1],
    "log1p": SLOPES[np.log1p],
}

PRODUCTS: frozenset[np.ufunc] = frozenset(
    getattr(np, name) for name in ("matmul", "vecdot", "matvec", "vecmat") if hasattr(np, name)
)
"""Linear in each of their two inputs."""

PLAIN: frozenset[np.ufunc] = frozenset(
    getattr(np, name)
    for name in (
        "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not "
        "isfinite isinf isnan signbit"
    ).split()
)
"""They decide by the real part, and answer with plain booleans."""
