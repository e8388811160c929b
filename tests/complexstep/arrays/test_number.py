"""Every entry of the tables of lifted arrays: slopes against mpmath, functions against central differences of NumPy."""

import itertools
import math
import operator

import mpmath
import numpy as np
import pytest
from scipy import special

from imagrad.complexstep.arrays.functions import RULES
from imagrad.complexstep.arrays.number import LiftedArray
from imagrad.complexstep.arrays.pointwise import PLAIN as PLAIN_UFUNCS
from imagrad.complexstep.arrays.pointwise import PRODUCTS, SLOPES, SPECIAL_SLOPES, slopes_of
from imagrad.complexstep.arrays.tables import LINEAR, MULTILINEAR, PLAIN
from imagrad.errors import UnsupportedOperationError

GENERATOR = np.random.default_rng(8)
X = GENERATOR.normal(size=(4, 3))
Y = GENERATOR.normal(size=(4, 3))
DIRECTION = GENERATOR.normal(size=(4, 3))
SQUARE = GENERATOR.normal(size=(3, 3))


def lifted(values, derivatives):
    return LiftedArray(np.array(values, np.float64), derivatives)


def parts(result):
    """Return value and derivative as flat arrays, joined where a function returns several; plain ones have none."""
    if isinstance(result, list | tuple):
        both = [parts(item) for item in result]
        return np.concatenate([re for re, _ in both]), np.concatenate([im for _, im in both])
    if isinstance(result, LiftedArray):
        return result.re.ravel(), result.im.ravel()
    return np.ravel(result), np.zeros(np.size(result))


def assert_differentiates(function, point=X, direction=DIRECTION, rtol=1e-8):
    """Compare value and derivative with the function on plain arrays, by central differences of fourth order."""
    direction = direction[tuple(slice(size) for size in point.shape)]
    re, im = parts(function(LiftedArray(point.copy(), direction.copy())))
    assert np.abs(re - parts(function(point.copy()))[0]).max() <= 1e-13 * max(1, np.abs(re).max())
    h = 1e-3
    at = {k: parts(function(point + k * h * direction))[0] for k in (-2, -1, 1, 2)}
    expected = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)  # error h**4 = 1e-12, rounding 1e-13
    assert np.abs(im - expected).max() <= rtol * max(1e-3, np.abs(expected).max())


# --- slopes against mpmath ---

M = mpmath
REALS = [-700.0, -30.0, -3.0, -0.7, -1e-8, 1e-8, 0.7, 3.0, 30.0, 700.0]
MODERATE = [-300.0, -20.0, -0.7, -1e-8, 1e-8, 0.7, 20.0, 300.0]
POSITIVE = [1e-300, 1e-8, 0.3, 0.9999999, 1.5, 30.0, 1e8, 1e200]
UNIT = [-1 + 1e-12, -0.7, -1e-8, 1e-8, 0.3, 1 - 1e-12]

UNARY = {  # name -> (slope by mpmath at 60 digits, points)
    "positive": (lambda x: 1, REALS),
    "negative": (lambda x: -1, REALS),
    "conjugate": (lambda x: 1, REALS),
    "reciprocal": (lambda x: -1 / x**2, REALS),
    "square": (lambda x: 2 * x, REALS),
    "sqrt": (lambda x: 1 / (2 * M.sqrt(x)), POSITIVE),
    "cbrt": (lambda x: 1 / (3 * M.cbrt(x * x)), REALS[:5] + POSITIVE),
    "exp": (M.exp, REALS),
    "exp2": (lambda x: M.log(2) * M.mpf(2) ** x, REALS),
    "expm1": (M.exp, REALS),
    "log": (lambda x: 1 / x, POSITIVE),
    "log2": (lambda x: 1 / (x * M.log(2)), POSITIVE),
    "log10": (lambda x: 1 / (x * M.log(10)), POSITIVE),
    "log1p": (lambda x: 1 / (1 + x), [*UNIT, *POSITIVE]),
    "sin": (M.cos, REALS),
    "cos": (lambda x: -M.sin(x), REALS),
    "tan": (lambda x: M.sec(x) ** 2, REALS),
    "arcsin": (lambda x: 1 / M.sqrt(1 - x * x), UNIT),
    "arccos": (lambda x: -1 / M.sqrt(1 - x * x), UNIT),
    "arctan": (lambda x: 1 / (1 + x * x), REALS),
    "sinh": (M.cosh, REALS),
    "cosh": (M.sinh, REALS),
    "tanh": (lambda x: M.sech(x) ** 2, MODERATE),
    "arcsinh": (lambda x: 1 / M.sqrt(1 + x * x), [*REALS, 1e200]),
    "arccosh": (lambda x: 1 / M.sqrt(x * x - 1), [1 + 1e-12, 1.5, 30.0, 1e200]),
    "arctanh": (lambda x: 1 / (1 - x * x), UNIT),
    "deg2rad": (lambda x: M.pi / 180, REALS),
    "radians": (lambda x: M.pi / 180, REALS),
    "rad2deg": (lambda x: 180 / M.pi, REALS),
    "degrees": (lambda x: 180 / M.pi, REALS),
    "absolute": (M.sign, [*REALS, 0.0]),
    "fabs": (M.sign, [*REALS, 0.0]),
    **{name: (lambda x: 0, [*REALS, 0.0, 2.0]) for name in ("sign", "floor", "ceil", "trunc", "rint")},
    "expit": (lambda x: M.exp(-abs(x)) / (1 + M.exp(-abs(x))) ** 2, REALS),
    "log_expit": (lambda x: 1 / (1 + M.exp(x)), REALS),
    "logit": (lambda x: 1 / (x * (1 - x)), [1e-300, 1e-8, 0.3, 0.5, 1 - 1e-12]),
    "erf": (lambda x: 2 / M.sqrt(M.pi) * M.exp(-x * x), [-26.0, -7.3, -0.7, 1e-8, 0.0, 3.1, 25.987]),
    "erfc": (lambda x: -2 / M.sqrt(M.pi) * M.exp(-x * x), [-26.0, -7.3, -0.7, 1e-8, 0.0, 3.1, 25.987]),
    "ndtr": (lambda x: M.npdf(x), [-37.3, -7.3, -0.7, 1e-8, 0.0, 3.1, 36.987]),
    "gamma": (lambda x: M.gamma(x) * M.digamma(x), [0.1, 0.7, 2.5, 10.0, -0.5]),
    "gammaln": (M.digamma, [1e-8, 0.1, 0.7, 2.5, 10.0, 1e8]),
    "psi": (lambda x: M.polygamma(1, x), [1e-8, 0.1, 0.7, 2.5, 10.0, 1e8]),
    "entr": (lambda x: -M.log(x) - 1, [1e-300, 1e-8, 0.1, 0.9, 2.5]),
    "exp10": (lambda x: M.log(10) * M.mpf(10) ** x, [-300.0, -0.7, 0.0, 0.7, 300.0]),
}

PAIRS = [(0.7, 1.3), (-0.7, 1.3), (0.7, -1.3), (-2.0, -5.0), (1e8, 1.0), (3.0, 1e-8), (1e-8, 3e-8)]
CLOSE = [(0.7, 1.3), (-500.0, 100.0), (300.0, 300.0), (1e8, 1e8 + 0.5), (-1e8, -1e8 + 600)]
POSITIVES = [(0.7, 1.3), (2.0, -3.0), (1e8, 2.5), (1e-8, 0.5), (30.0, 0.0), (0.3, 1e-8)]

BINARY = {  # name -> (slopes by mpmath, points)
    "add": (lambda a, b: (1, 1), PAIRS),
    "subtract": (lambda a, b: (1, -1), PAIRS),
    "multiply": (lambda a, b: (b, a), PAIRS),
    "divide": (lambda a, b: (1 / b, -a / b**2), PAIRS),
    "power": (lambda a, b: (b * a ** (b - 1), a**b * M.log(a)), POSITIVES),
    "float_power": (lambda a, b: (b * a ** (b - 1), a**b * M.log(a)), POSITIVES),
    "remainder": (lambda a, b: (1, -M.floor(a / b)), [*PAIRS[:5], (7.3, 0.1), (-7.3, 0.1)]),
    "fmod": (lambda a, b: (1, -M.sign(a / b) * M.floor(abs(a / b))), [*PAIRS[:5], (7.3, 0.1), (-7.3, 0.1)]),
    "logaddexp": (lambda a, b: (1 / (1 + M.exp(b - a)), 1 / (1 + M.exp(a - b))), CLOSE),
    "logaddexp2": (lambda a, b: (1 / (1 + M.mpf(2) ** (b - a)), 1 / (1 + M.mpf(2) ** (a - b))), CLOSE),
    "arctan2": (lambda a, b: (b / (a**2 + b**2), -a / (a**2 + b**2)), [*PAIRS, (1e180, 1e180), (0.0, -1.0)]),
    "hypot": (lambda a, b: (a / M.hypot(a, b), b / M.hypot(a, b)), [*PAIRS, (1e200, 1e200), (0.0, -1.0)]),
    "copysign": (lambda a, b: (M.sign(a) * M.sign(b), 0), PAIRS),
    **{name: (lambda a, b: (a > b, b > a), PAIRS) for name in ("maximum", "fmax")},
    **{name: (lambda a, b: (a < b, b < a), PAIRS) for name in ("minimum", "fmin")},
    "floor_divide": (lambda a, b: (0, 0), PAIRS),
    "heaviside": (lambda a, b: (0, a == 0), [*PAIRS, (0.0, 0.3)]),
    "xlogy": (lambda a, b: (M.log(b), a / b), [(0.7, 1.3), (0.0, 2.0), (3.0, 1e-300), (-2.0, 1e8)]),
    "xlog1py": (lambda a, b: (M.log1p(b), a / (1 + b)), [(0.7, 1.3), (0.0, 2.0), (3.0, 1e-300), (-2.0, -0.9)]),
}


def ufunc_called(name):
    return getattr(np, name, None) or getattr(special, name)


def assert_close(found, exact):
    """To 14 digits, or to the smallest normal number."""
    assert abs(float(found) - float(exact)) <= 1e-14 * abs(float(exact)) + 1e-307


def test_every_ufunc_has_an_example():
    assert set(UNARY) | set(BINARY) | {"ldexp"} == {ufunc.__name__ for ufunc in SLOPES} | set(SPECIAL_SLOPES)


@pytest.mark.parametrize("name", UNARY)
def test_slope_against_mpmath(name):
    slope, points = UNARY[name]
    for module in (np, special):
        ufunc = getattr(module, name, None)
        if not isinstance(ufunc, np.ufunc):
            continue
        result = ufunc(LiftedArray(points, 1.0))
        assert np.array_equal(result.re, ufunc(np.array(points)))
        with mpmath.workdps(60):
            for point, found in zip(points, result.im, strict=True):
                exact = slope(M.mpf(point))
                if name in ("entr", "gamma", "gammaln"):  # the slope itself crosses 0
                    assert abs(found - float(exact)) <= 1e-14 * (abs(float(exact)) + 1)
                else:
                    assert_close(found, exact)


@pytest.mark.parametrize("name", BINARY)
def test_slopes_of_two_against_mpmath(name):
    slopes, points = BINARY[name]
    ufunc = ufunc_called(name)
    for a, b in points:
        with mpmath.workdps(60):
            exact = [float(s) for s in slopes(M.mpf(a), M.mpf(b))]
        first, second = ufunc(LiftedArray(a, 1.0), b), ufunc(a, LiftedArray(b, 1.0))
        assert first.re == second.re == ufunc(a, b)
        assert_close(first.im, exact[0])
        assert_close(second.im, exact[1])
        assert_close(ufunc(LiftedArray(a, 2.0), LiftedArray(b, 0.0)).im, 2 * exact[0])


def test_ldexp():
    assert np.ldexp(LiftedArray(0.75, 2.0), 3).im == 16


# --- conventions at kinks ---


def test_kinks_take_the_mean_of_both_sides():
    zero = LiftedArray(0.0, 1.0)
    assert np.abs(zero).im == 0
    assert np.maximum(zero, 0).im == np.minimum(0, zero).im == np.clip(zero, 0, 1).im == 0.5
    assert np.hypot(zero, 0).im == 0
    assert np.linalg.norm(LiftedArray([0.0, 0.0], 1.0)).im == LiftedArray([2.0, 2.0], [1.0, 0]).std().im == 0
    assert np.max(LiftedArray([1.0, 3.0, 3.0], [5.0, 1.0, 2.0])).im == 1.5
    assert np.power(LiftedArray(0.0, 1.0), 0).im == 0
    assert np.power(LiftedArray(0.0, 1.0), 1).im == 1
    assert np.power(0.0, LiftedArray(2.0, 1.0)).im == 0


def test_vertical_slopes_show():
    assert np.sqrt(LiftedArray(0.0, 1.0)).im == np.inf
    assert np.isnan(np.sqrt(LiftedArray(0.0, 0.0)).im)  # not 0: np.sqrt(x * x) would be wrong without a sign of it


# --- NumPy's other functions against central differences ---

POSITIVE_DEFINITE = SQUARE @ SQUARE.T + np.eye(3)
MASK = X[:, 0] > 0

FUNCTIONS = {  # function -> calls of it on a (4, 3) array
    np.sum: [np.sum, lambda x: np.sum(x, 1, keepdims=True), lambda x: np.sum(x, axis=(0, 1), where=X > 0)],
    np.mean: [np.mean, lambda x: np.mean(x, axis=0)],
    np.cumsum: [np.cumsum, lambda x: np.cumsum(x, axis=1)],
    np.diff: [np.diff, lambda x: np.diff(x, 2, axis=0)],
    np.ediff1d: [np.ediff1d],
    np.gradient: [np.gradient, lambda x: np.gradient(x, 0.5, axis=1)],
    np.trace: [np.trace, lambda x: np.trace(x, 1)],
    np.linalg.trace: [np.linalg.trace],
    np.reshape: [lambda x: np.reshape(x, (2, 6)), lambda x: np.reshape(x, -1, order="F")],
    np.ravel: [np.ravel],
    np.squeeze: [lambda x: np.squeeze(x[:1]) * X[0]],
    np.expand_dims: [lambda x: np.expand_dims(x, 1) * Y],
    np.broadcast_to: [lambda x: np.broadcast_to(x[0], (5, 3)) * 2],
    np.broadcast_arrays: [lambda x: np.broadcast_arrays(x, x[:1], 2.0)],
    np.atleast_1d: [lambda x: np.atleast_1d(x[0, 0])],
    np.atleast_2d: [lambda x: np.atleast_2d(x[0]).T],
    np.atleast_3d: [np.atleast_3d],
    np.transpose: [lambda x: np.transpose(x) @ Y, lambda x: np.transpose(x[None], (2, 0, 1))],
    np.permute_dims: [lambda x: np.permute_dims(x, (1, 0))],
    np.matrix_transpose: [np.matrix_transpose],
    np.swapaxes: [lambda x: np.swapaxes(x, 0, 1)],
    np.moveaxis: [lambda x: np.moveaxis(x[None], 0, -1)],
    np.rollaxis: [lambda x: np.rollaxis(x, 1)],
    np.copy: [np.copy],
    np.roll: [lambda x: np.roll(x, 1, axis=0)],
    np.flip: [lambda x: np.flip(x, 1)],
    np.fliplr: [np.fliplr],
    np.flipud: [np.flipud],
    np.rot90: [np.rot90],
    np.tile: [lambda x: np.tile(x, (2, 2))],
    np.repeat: [lambda x: np.repeat(x, [1, 0, 2, 1], axis=0)],
    np.take: [lambda x: np.take(x, [2, 0], axis=1)],
    np.take_along_axis: [lambda x: np.take_along_axis(x, np.argsort(Y, axis=0), axis=0)],
    np.compress: [lambda x: np.compress(MASK, x, axis=0)],
    np.extract: [lambda x: np.extract(X > 0, x)],
    np.delete: [lambda x: np.delete(x, 1, axis=0)],
    np.diagonal: [np.diagonal],
    np.linalg.diagonal: [np.linalg.diagonal],
    np.diag: [lambda x: np.diag(x[0]), lambda x: np.diag(x, -1)],
    np.diagflat: [np.diagflat],
    np.tril: [np.tril],
    np.triu: [lambda x: np.triu(x, 1)],
    np.concatenate: [lambda x: np.concatenate([x, Y, x * x], axis=1)],
    np.stack: [lambda x: np.stack([x, Y, 2 * x], axis=-1)],
    np.vstack: [lambda x: np.vstack((x, Y))],
    np.hstack: [lambda x: np.hstack((x, Y))],
    np.dstack: [lambda x: np.dstack((x, Y))],
    np.column_stack: [lambda x: np.column_stack((x[:, 0], Y))],
    np.block: [lambda x: np.block([[x, Y], [Y, x * x]])],
    np.append: [lambda x: np.append(x, 2.0), lambda x: np.append(Y, x, axis=0)],
    np.insert: [lambda x: np.insert(x, 1, 5.0, axis=0), lambda x: np.insert(x, 1, x[0] ** 2, axis=0)],
    np.split: [lambda x: np.split(x, 2)],
    np.array_split: [lambda x: np.array_split(x, 3)],
    np.hsplit: [lambda x: np.hsplit(x, [1])],
    np.vsplit: [lambda x: np.vsplit(x, 2)],
    np.dsplit: [lambda x: np.dsplit(x[None], 3)],
    np.where: [lambda x: np.where(x > 0, x * x, -3.0), lambda x: np.where(Y > 0, Y, x)],
    np.select: [lambda x: np.select([Y > 1, Y > 0], [x, x * x], 7.0)],
    np.real: [np.real],
    np.real_if_close: [np.real_if_close],
    # --- products ---
    np.dot: [lambda x: np.dot(x, x.T), lambda x: np.dot(Y.T, x), lambda x: np.dot(x[0], 2.0)],
    np.vdot: [lambda x: np.vdot(x, x), lambda x: np.vdot(Y, x)],
    np.inner: [lambda x: np.inner(x, Y)],
    np.outer: [lambda x: np.outer(x[0], x[1])],
    np.kron: [lambda x: np.kron(x, x[:2])],
    np.cross: [lambda x: np.cross(x, x[::-1])],
    np.tensordot: [lambda x: np.tensordot(x, x, axes=([0], [0])), lambda x: np.tensordot(x, Y)],
    np.convolve: [lambda x: np.convolve(x[0], x[:, 1], "same")],
    np.correlate: [lambda x: np.correlate(x[:, 0], Y[0], "valid")],
    np.einsum: [lambda x: np.einsum("ij,ik,il->jkl", x, x, Y), lambda x: np.einsum("ij->j", x, optimize=True)],
    np.linalg.matmul: [lambda x: np.linalg.matmul(x, x.T)],
    np.linalg.outer: [lambda x: np.linalg.outer(x[0], x[1])],
    np.linalg.vecdot: [lambda x: np.linalg.vecdot(x, x)],
    np.linalg.tensordot: [lambda x: np.linalg.tensordot(x, x)],
    np.linalg.cross: [lambda x: np.linalg.cross(x, Y)],
    # --- rules ---
    np.zeros_like: [lambda x: np.zeros_like(x) + x],
    np.ones_like: [lambda x: np.ones_like(x) * x],
    np.empty_like: [lambda x: np.copyto(new := np.empty_like(x), x) or new],
    np.full_like: [lambda x: np.full_like(x, 2.0) * x, lambda x: np.full_like(x, x[1, 1])],
    np.round: [lambda x: np.round(x, 0) * x],
    np.around: [lambda x: np.around(x) * x],
    np.fix: [lambda x: np.fix(x) * x],
    np.imag: [lambda x: np.imag(x) + x],
    np.copyto: [lambda x: np.copyto(new := 2 * x, x * x, where=X > 0) or new],
    np.pad: [lambda x: np.pad(x, 1, constant_values=3.0), lambda x: np.pad(x, ((1, 0), (2, 1)), "edge")],
    np.max: [np.max, lambda x: np.max(x, axis=0), lambda x: np.max(x, 1, keepdims=True)],
    np.amax: [np.amax],
    np.min: [lambda x: np.min(x, axis=1)],
    np.amin: [np.amin],
    np.ptp: [np.ptp, lambda x: np.ptp(x, axis=0)],
    np.clip: [lambda x: np.clip(x, -0.5, 0.5), lambda x: np.clip(x, None, Y)],
    np.sort: [np.sort, lambda x: np.sort(x, axis=0), lambda x: np.sort(x, axis=None)],
    np.quantile: [lambda x: np.quantile(x, [0.1, 0.5, 1.0], axis=0), lambda x: np.quantile(x, 0.3, 1, keepdims=True)],
    np.percentile: [lambda x: np.percentile(x, 33.0), lambda x: np.percentile(x, 5, keepdims=True)],
    np.median: [np.median, lambda x: np.median(x, axis=1)],
    np.interp: [
        lambda x: np.interp(x, [-1.0, 0.1, 0.7], [2.0, 3.0, 7.0]),
        lambda x: np.interp(Y, np.arange(4.0) - 2, x[:, 0]),
    ],
    np.prod: [np.prod, lambda x: np.prod(x, axis=0), lambda x: np.prod(x[None], axis=(0, -1), keepdims=True)],
    np.cumprod: [np.cumprod, lambda x: np.cumprod(x, axis=1)],
    np.average: [np.average, lambda x: np.average(x, 0, Y[:, 0] ** 2), lambda x: np.average(Y, weights=x * x)],
    np.var: [np.var, lambda x: np.var(x, axis=0, ddof=1), lambda x: np.var(x, 1, keepdims=True)],
    np.std: [np.std, lambda x: np.std(x, axis=0, ddof=1), lambda x: np.std(x, axis=1, keepdims=True)],
    np.cov: [np.cov, lambda x: np.cov(x, rowvar=False), lambda x: np.cov(x[0], bias=True)],
    np.corrcoef: [lambda x: np.corrcoef(x, rowvar=False)],
    np.polyval: [lambda x: np.polyval([2, -1, 3], x), lambda x: np.polyval(x[0], 1.5), lambda x: np.polyval(x[0], x)],
    np.linalg.norm: [
        np.linalg.norm,
        lambda x: np.linalg.norm(x, axis=1),
        lambda x: np.linalg.norm(x, 1, axis=1),
        lambda x: np.linalg.norm(x[0], np.inf),
        lambda x: np.linalg.norm(x[0], -np.inf),
        lambda x: np.linalg.norm(x, "fro"),
        lambda x: np.linalg.norm(x[None]),
        lambda x: np.linalg.norm(x, axis=(0, 1), keepdims=True),
    ],
    np.linalg.solve: [
        lambda x: np.linalg.solve(SQUARE, x[:3]),
        lambda x: np.linalg.solve(x[:3], Y[:3, 0]),
        lambda x: np.linalg.solve(x[:3], x[1:]),
    ],
    np.linalg.inv: [lambda x: np.linalg.inv(x[:3])],
    np.linalg.det: [lambda x: np.linalg.det(x[:3])],
    np.linalg.slogdet: [lambda x: np.linalg.slogdet(x[:3]), lambda x: np.linalg.slogdet(x[:3]).logabsdet],
    np.linalg.cholesky: [lambda x: np.linalg.cholesky(POSITIVE_DEFINITE + 0.1 * x[:3])],
    np.linalg.multi_dot: [lambda x: np.linalg.multi_dot([x, x.T, Y])],
    np.linalg.matrix_power: [
        lambda x: np.linalg.matrix_power(x[:3], 3),
        lambda x: np.linalg.matrix_power(x[:3], -1),
        lambda x: np.linalg.matrix_power(x[:3], 0) * x[0],
    ],
}  # fmt: skip


def test_every_function_has_an_example():
    assert set(FUNCTIONS) == set(LINEAR) | set(MULTILINEAR) | set(RULES)


CALLS = {
    f"{f.__module__}.{f.__name__}-{k}": (f, call) for f, calls in FUNCTIONS.items() for k, call in enumerate(calls)
}


@pytest.mark.parametrize(("function", "call"), CALLS.values(), ids=CALLS)
def test_function_agrees_with_central_differences(function, call, monkeypatch):
    met = []
    dispatch = LiftedArray.__array_function__
    monkeypatch.setattr(LiftedArray, "__array_function__", lambda x, f, *rest: met.append(f) or dispatch(x, f, *rest))
    assert_differentiates(call)
    assert function in met, "the example does not meet the function"


@pytest.mark.parametrize("ufunc", sorted(PRODUCTS, key=lambda u: u.__name__))
def test_product_ufuncs(ufunc):
    shapes = {"matmul": (X.T, X), "matvec": (X, X[0]), "vecmat": (X[:, 0], X), "vecdot": (X, X)}[ufunc.__name__]
    pick = {"matmul": lambda x: x.T, "vecmat": lambda x: x[:, 0]}.get(ufunc.__name__, lambda x: x)
    other = {"matvec": lambda x: x[0]}.get(ufunc.__name__, lambda x: x)
    assert_differentiates(lambda x: ufunc(pick(x), other(x)))
    assert_differentiates(lambda x: ufunc(shapes[0], other(x)))
    assert_differentiates(lambda x: ufunc(pick(x), shapes[1]))


PLAIN_CALLS = {
    np.searchsorted: lambda x: np.searchsorted(np.sort(x[:, 0]), 0.1),
    np.digitize: lambda x: np.digitize(x, [-1.0, 0, 1]),
    np.lexsort: lambda x: np.lexsort((x[:, 0], x[:, 1])),
    np.argpartition: lambda x: np.argpartition(x, 1),
    **{f: (lambda x, f=f: f(x, X)) for f in (np.isclose, np.allclose, np.array_equal, np.array_equiv)},
    **{f: (lambda x, f=f: f(x, X)) for f in (np.shares_memory, np.may_share_memory)},
}


@pytest.mark.parametrize("function", sorted(PLAIN, key=lambda f: f.__name__))
def test_plain_functions_answer_by_the_values(function):
    call = PLAIN_CALLS.get(function, function)
    found, expected = call(LiftedArray(X.copy(), DIRECTION)), call(X.copy())
    assert not isinstance(found, LiftedArray)
    assert np.array_equal(found, expected) if function is not np.result_type else found == expected


@pytest.mark.parametrize("ufunc", sorted(PLAIN_UFUNCS, key=lambda u: u.__name__))
def test_comparisons_are_plain_booleans(ufunc):
    inputs = (X, Y)[: ufunc.nin]
    found = ufunc(*(LiftedArray(values, DIRECTION) for values in inputs))
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, ufunc(*inputs))


# --- the array itself ---

METHODS = {
    "sum": lambda x: x.sum(axis=1),
    "mean": lambda x: x.mean(0, keepdims=True),
    "cumsum": lambda x: x.cumsum(axis=0),
    "trace": lambda x: x.trace(),
    "prod": lambda x: x.prod(axis=1),
    "cumprod": lambda x: x.cumprod(),
    "var": lambda x: x.var(axis=0, ddof=1),
    "std": lambda x: x.std(),
    "max": lambda x: x.max(axis=0),
    "min": lambda x: x.min(),
    "clip": lambda x: x.clip(-0.5, 0.5),
    "round": lambda x: x.round() * x,
    "dot": lambda x: x.dot(Y.T),
    "take": lambda x: x.take([1, 2]),
    "repeat": lambda x: x.repeat(2, axis=0),
    "squeeze": lambda x: x[:1].squeeze(),
    "ravel": lambda x: x.ravel(),
    "flatten": lambda x: x.flatten(),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "diagonal": lambda x: x.diagonal(),
    "compress": lambda x: x.compress(MASK, axis=0),
    "copy": lambda x: x.copy(),
    "conj": lambda x: x.conj() * x.conjugate(),
    "reshape": lambda x: x.reshape(6, 2) * x.reshape((6, 2)),
    "transpose": lambda x: x.transpose() @ x.transpose(1, 0).transpose((1, 0)),
    "astype": lambda x: x.astype(float) * x.astype(np.float64, copy=False),
    "item": lambda x: x[0, 0].item() * x.item(5),
    "T": lambda x: x.T @ x,
    "mT": lambda x: x.mT @ x,
    "real": lambda x: x.real * x + x.imag,
    "iteration": lambda x: sum(row @ row for row in x),
    "operators": lambda x: (2 * x - 1) / (3 + x * x) ** 2 + (1 - x) % 5 + abs(-x) - x + 2.0**x + np.float64(3) * x,
    "array on the left": lambda x: Y + Y * x - Y / (5 + x) + Y @ (Y.T @ x),
    "in place": lambda x: in_place(x),
    "sort in place": lambda x: sorted_in_place(x),
    "fancy indices": lambda x: x[[0, 0, 2]][:, [True, False, True]] * x[..., None, 0:1][[1, 1, 0]][:, 0],
    "writing": lambda x: written(x),
    "out where": lambda x: np.divide(1.0, x, out=np.zeros_like(x), where=X > 0.1),
    "reduce": lambda x: np.add.reduce(x) * np.maximum.reduce(x, axis=0) + np.multiply.reduce(x) - np.minimum.reduce(x),
    "accumulate": lambda x: np.add.accumulate(x) * np.multiply.accumulate(x),
    "outer": lambda x: np.multiply.outer(x[0], x) - np.subtract.outer(x[0], Y),
}  # fmt: skip


def in_place(x):
    x = x.copy()
    view = x[1:]  # a view, through which x changes
    view += x[:3] * 2
    view *= Y[1:]
    x[0] -= x[1]
    x /= 3
    return x


def sorted_in_place(x):
    x = x * x
    x.sort(axis=0)
    return x


def written(x):
    new = np.zeros_like(x)
    new[1:3] = x[:2] * x[2:]
    new[0, :] = 7.0
    new[X > 0.5] = x[1, 1]
    new[3] = [x[0, 0], 2.0, x[1, 0]] if isinstance(x, LiftedArray) else np.array([x[0, 0], 2.0, x[1, 0]])
    return new


@pytest.mark.parametrize("name", METHODS)
def test_methods_and_operators(name):
    assert_differentiates(METHODS[name])


def test_the_rest_of_the_array():
    x = LiftedArray(X, DIRECTION)
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((4, 3), 2, 12, np.float64, 4)
    assert x.argmax() == X.argmax()
    assert np.array_equal(x.argsort(axis=0), X.argsort(axis=0))
    assert x.argmin() == X.argmin()
    assert x.any()
    assert x.all()
    assert len(x.nonzero()) == 2
    assert x[:, 0].copy().searchsorted(99.0) == 4
    assert X[1, 1] in x
    assert 99.0 not in x
    assert bool(x[0, 0])
    assert round(LiftedArray(1.26, 1.0), 1).re == 1.3
    assert round(LiftedArray(1.26, 1.0)).im == 0
    assert repr(LiftedArray(1.0, 2.0)) == "LiftedArray(array(1.), im=array(2.))"
    filled = x.copy()
    filled.fill(3.0)
    assert np.array_equal(filled.im, np.zeros((4, 3)))
    assert np.array_equal(x.im, DIRECTION)
    assert np.zeros_like(x, dtype=bool).dtype == bool
    assert [operator.lt(x, 0).dtype, (x == x).all(), (x != x).any()] == [bool, True, False]
    assert max(x[0], key=lambda v: v.re).re == X[0].max()
    assert np.logical_and.reduce(x > -99, axis=None)


def test_out_of_a_comparison_may_be_plain():
    out = np.zeros((4, 3), bool)
    np.greater(LiftedArray(X, 1.0), 0, out=out)
    assert np.array_equal(out, X > 0)


@pytest.mark.parametrize("zeros", list(itertools.combinations(range(4), 2)))
def test_product_with_factors_of_zero(zeros):
    values = np.array([2.0, 3.0, 5.0, 7.0])
    values[list(zeros)] = 0
    found = np.prod(LiftedArray(values, np.eye(4)[zeros[0]]))
    assert found.re == found.im == 0
    values[zeros[1]] = 1
    assert np.prod(LiftedArray(values, np.eye(4)[zeros[0]])).im == np.prod(np.delete(values, zeros[0]))


# --- what is refused ---

x3 = LiftedArray([1.0, 2.0, 3.0], [1.0, 0.0, 0.0])
REFUSED = {
    "array": (lambda: np.array(x3), "cannot become a plain one.*np.stack"),
    "array of them": (lambda: np.array([x3[0], x3[1]]), "cannot become a plain one"),
    "asarray": (lambda: np.asarray(x3), "cannot become a plain one"),
    "sum of a list": (lambda: np.sum([x3[0], x3[1]]), "cannot become a plain one"),
    "float": (lambda: float(x3[0]), "cannot become a plain number"),
    "int": (lambda: int(x3[0]), "cannot become a plain number"),
    "complex": (lambda: complex(x3[0]), "cannot become a plain number"),
    "index": (lambda: [1, 2][x3[0]], "cannot become a plain number"),
    "math": (lambda: math.exp(x3[0]), "use NumPy's, such as np.exp"),
    "astype single": (lambda: x3.astype(np.float32), r"astype\(float32\) would lose its derivative, or digits"),
    "astype int": (lambda: x3.astype(int), r"astype\(int64\) would lose"),
    "complex operand": (lambda: x3 * 1j, "stand for real numbers; np.multiply met one of complex128"),
    "object operand": (lambda: x3 + np.array([None] * 3), "met one of object"),
    "into a real array": (lambda: np.add(x3, 1, out=np.zeros(3)), "np.add was to write a lifted array into a real"),
    "real array in place": (lambda: operator.iadd(np.zeros(3), x3), r"Allocate the real one with np\.zeros_like"),
    "copyto a real array": (lambda: np.copyto(np.zeros(3), x3), "does not cover this use of it"),
    "fft": (lambda: np.fft.fft(x3), r"np\.fft\.fft has no rule for lifted arrays"),
    "function": (lambda: np.nanmax(x3), r"np\.nanmax has no rule for lifted arrays.*arrays/functions\.py"),
    "ufunc": (lambda: np.nextafter(x3, 1), "ufunc nextafter has no rule.*one line, to SLOPES"),
    "ufunc of SciPy": (lambda: special.j0(x3), "ufunc j0 has no rule for lifted arrays"),
    "ufunc method": (lambda: np.subtract.reduce(x3), r"np\.subtract\.reduce; known: np\.add\.reduce"),
    "ufunc at": (lambda: np.add.at(x3, [0], 1.0), r"np\.add\.at; known"),
    "ufunc dtype": (lambda: np.add(x3, 1, dtype=np.float32), r"np\.add of lifted arrays does not take dtype"),
    "where without out": (lambda: np.log(x3, where=np.ones(3, bool)), "does not take where without out"),
    "out of a sum": (lambda: np.sum(x3, out=np.zeros(())), r"rule of np\.sum .* does not take out"),
    "out by position": (lambda: np.sum(x3, 0, None, np.zeros(())), "4 arguments by position, of which it takes 2"),
    "start of a sum": (lambda: np.sum(x3, initial=5.0), "does not take initial"),
    "start of differences": (lambda: np.diff(x3, prepend=5.0), "does not take prepend"),
    "single sum": (lambda: np.sum(x3, dtype=np.float32), "does not take dtype"),
    "lifted indices": (lambda: np.take(x3, x3), r"np\.take.*a lifted array where a plain one is expected"),
    "spectral norm": (lambda: np.linalg.norm(LiftedArray(SQUARE, 1.0), 2), r"np\.linalg\.norm .*ord=2"),
    "rule option": (lambda: np.var(x3, dtype=np.float32), r"rule of np\.var .*dtype"),
    "pad mode": (lambda: np.pad(x3, 1, "linear_ramp"), "mode='linear_ramp'"),
    "sample points": (lambda: np.interp(0.5, x3, [1.0, 2, 3]), "sample points that depend on the input"),
    "weights": (lambda: np.quantile(x3, 0.5, weights=np.ones(3)), "weights"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, words = REFUSED[name]
    with pytest.raises(UnsupportedOperationError, match=words):
        call()


def test_writing_one_into_a_real_array_is_refused():
    with pytest.raises(ValueError, match="setting an array element with a sequence") as caught:
        np.zeros(3)[0] = x3[0]
    assert isinstance(caught.value.__cause__, UnsupportedOperationError)


def test_namesakes_of_ufuncs_are_not_trusted():
    impostor = np.frompyfunc(lambda x: 2 * x, 1, 1)
    assert slopes_of(impostor) is None
    with pytest.raises(UnsupportedOperationError, match="has no rule for lifted arrays"):
        impostor(x3)


def test_planted_wrong_slope_is_seen(monkeypatch):
    monkeypatch.setitem(SLOPES, np.tanh, (lambda x, y: 1.000001 * (1 - y * y),))
    with pytest.raises(AssertionError, match="assert"):
        assert_differentiates(np.tanh)
