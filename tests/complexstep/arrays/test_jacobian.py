"""Black boxes of NumPy arrays: exact where they are analytic, and one guard for each way in which they are not."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from scipy import special

from imagrad.complexstep.arrays.jacobian import jacobian_of_array
from imagrad.complexstep.arrays.number import LiftedArray
from imagrad.complexstep.arrays.spot_check import contradiction
from imagrad.errors import DerivativeError, InputError, UnsupportedOperationError

GENERATOR = np.random.default_rng(5)
FIRST, SECOND = GENERATOR.normal(size=(7, 4)), GENERATOR.normal(size=(3, 7))
X = np.array([0.3, -0.7, 1.1, 0.4])


def network(x):
    return np.tanh(SECOND @ np.tanh(FIRST @ x))


def network_jacobian(x):
    hidden = np.tanh(FIRST @ x)
    outer = 1 - np.tanh(SECOND @ hidden) ** 2
    return outer[:, None] * SECOND * (1 - hidden**2) @ FIRST


def logsumexp(x):
    largest = np.max(x.real)
    return largest + np.log(np.sum(np.exp(x - largest)))


# --- what is analytic passes, to rounding ---

SMOOTH = {  # name -> (function, point, its Jacobian by a closed form)
    "tanh network": (network, X, network_jacobian(X)),
    "matrix": (lambda x: FIRST @ x, X, FIRST),
    "polynomial": (lambda x: x**3 - 2 * x, X, np.diag(3 * X**2 - 2)),
    "logsumexp": (logsumexp, X, np.exp(X) / np.exp(X).sum()),
    "logsumexp of large numbers": (logsumexp, X + 1e8, special.softmax(X + 1e8)),
    "tiny": (lambda x: 1e-8 * x**2, 1e-8 * X, np.diag(2e-16 * X)),
    "huge": (lambda x: 1e8 * x**2, 1e8 * X, np.diag(2e16 * X)),
    "of both sizes": (lambda x: x[0] * x[1], np.array([1e8, 1e-8]), np.array([1e-8, 1e8])),
    "steep": (lambda x: np.tanh(1e8 * x), 1e-9 * X, np.diag(1e8 / np.cosh(0.1 * X) ** 2)),
    "steep at 0": (lambda x: np.tanh(1e8 * x), np.zeros(2), 1e8 * np.eye(2)),
    "on a large offset": (lambda x: 1e8 + 1e-3 * x, X, 1e-3 * np.eye(4)),
    "derivative 0": (lambda x: x**2, np.zeros(3), np.zeros((3, 3))),
    "derivative 0 elsewhere": (lambda x: np.cos(x), np.zeros(3), np.zeros((3, 3))),
    "derivative of rounding errors only": (lambda x: np.sum(np.exp(x) / np.sum(np.exp(x))), X, np.zeros(4)),
    "the same less its value": (lambda x: np.sum(np.exp(x) / np.sum(np.exp(x))) - 1, X, np.zeros(4)),
    "the same of large numbers": (lambda x: 1e8 * (np.sum(np.exp(x) / np.sum(np.exp(x))) - 1), X, np.zeros(4)),
    "means of what is centred": (lambda x: 1e3 * np.mean(x**3 - np.mean(x**3)), X, np.zeros(4)),
    "saturated": (lambda x: np.tanh(x), 50 + X, np.diag(1 / np.cosh(50 + X) ** 2)),
    "near a pole": (lambda x: 1 / (x - 1), np.array([1 + 1e-6]), np.array([[-1 / (1 + 1e-6 - 1) ** 2]])),
    "near the end of its domain": (lambda x: np.sqrt(x), np.array([1e-12]), np.array([[5e5]])),
    "fast": (lambda x: np.sin(1e6 * x), X, np.diag(1e6 * np.cos(1e6 * X))),
    "cancelling": (lambda x: (x + 1e8) - 1e8, np.array([1e-3]), np.eye(1)),
    "list": (lambda x: [x[0] * x[1], 2 * x[0]], X[:2], np.array([[X[1], X[0]], [2, 0]])),
}


ROUNDING = {  # the size of what cancels
    "derivative of rounding errors only": 1,
    "the same less its value": 1,
    "the same of large numbers": 1e8,
    "means of what is centred": 1e3,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_pass_and_are_exact(name):
    function, point, expected = SMOOTH[name]
    found = jacobian_of_array(function, point)
    assert found.dtype == np.float64
    assert found.shape == expected.shape
    # closed forms are right to a few units of precision; sin(1e6 x) and 1 / (x - 1) magnify the rounding of x itself,
    # and where the derivative is 0 what remains is rounding
    tolerance = {"fast": 1e-9, "near a pole": 1e-9}.get(name, 1e-13)
    assert np.abs(found - expected).max() <= tolerance * (np.abs(expected).max() or ROUNDING.get(name, 0))


@pytest.mark.parametrize("name", sorted(set(SMOOTH) - {"list"}))
def test_lifted_arithmetic_agrees(name):
    function, point, expected = SMOOTH[name]
    found = jacobian_of_array(function, point, arithmetic="lifted")
    assert np.abs(found - expected).max() <= 1e-9 * np.abs(expected).max() + 1e-13 * ROUNDING.get(name, 0)


@pytest.mark.parametrize("arithmetic", ["native", "lifted"])
def test_shapes_are_output_then_point(arithmetic):
    point = GENERATOR.normal(size=(2, 3))
    product = jacobian_of_array(lambda x: x @ FIRST[:3], point, arithmetic=arithmetic)
    assert product.shape == (2, 4, 2, 3)
    assert np.array_equal(product, np.einsum("ik,lj->ijkl", np.eye(2), FIRST[:3]))
    assert jacobian_of_array(lambda x: np.sum(x**2), point, arithmetic=arithmetic) == pytest.approx(2 * point)
    scalar = jacobian_of_array(lambda x: x**2, np.array(3.0), arithmetic=arithmetic)
    assert scalar.shape == ()
    assert scalar == 6
    assert jacobian_of_array(lambda x: x * np.ones(2), np.float32(3), arithmetic=arithmetic).tolist() == [1, 1]
    assert jacobian_of_array(lambda x: x[:0], X, arithmetic=arithmetic).shape == (0, 4)


@pytest.mark.parametrize("step", [2.0**-53, 1e-100, 1e-200])
def test_step_changes_nothing(step):
    assert np.abs(jacobian_of_array(network, X, step=step) / network_jacobian(X) - 1).max() <= 1e-13


def test_against_mpmath_where_closed_forms_lose_digits():
    point = np.array([1e-9, 3.0, 18.0])
    found = jacobian_of_array(lambda x: np.tanh(x) ** 2, point).diagonal()
    with mpmath.workdps(50):
        exact = [float(2 * mpmath.tanh(v) * mpmath.sech(v) ** 2) for v in map(mpmath.mpf, point)]
    assert found == pytest.approx(exact, rel=1e-14)


def test_point_and_function_are_left_alone():
    point = X.copy()
    jacobian_of_array(network, point)
    assert np.array_equal(point, X)


# --- guards: each with its planted fault ---


def into_real_buffer(x):
    buffer = np.zeros(4)
    buffer[:2] = x[:2]
    return buffer * x


def layer_norm(x):
    return (x - np.mean(x)) / np.sqrt(np.var(x) + 1e-5)


def branch(x):
    return x * 2 if np.all(x == X) else x * 3


def counting():
    calls = itertools.count()
    return lambda x: x * (1 + 0.01 * next(calls))


def no_scaler(x):
    if np.iscomplexobj(x):
        raise ValueError("Complex data not supported\nand more")
    return x


CULPRIT = r"Usual culprits: np\.abs, np\.linalg\.norm, np\.var.*lifted"
FAULTS = {  # name -> (function, words of the error)
    "abs": (np.abs, "it returned float64: it dropped the imaginary part.*" + CULPRIT),
    "abs inside": (lambda x: np.abs(x) * x, "must agree with central differences.*" + CULPRIT),
    "norm": (np.linalg.norm, "it returned float64: it dropped"),
    "norm inside": (lambda x: x / np.linalg.norm(x), r"output \(\d,\) has slope .* by the one"),
    "layer norm": (layer_norm, "must agree with central differences"),
    "covariance": (lambda x: np.cov(np.stack([x, x**2])), r"output \(\d, \d\) has slope"),
    "conj": (lambda x: np.sum(x * np.conj(x)) + 0j * x[0], "must return real numbers for a real point"),
    "conj inside": (lambda x: np.sum(np.conj(x) * x**2), "along a random direction the output has slope"),
    "vdot": (lambda x: np.vdot(x, x) * x, "must agree with central differences"),
    "sign": (lambda x: x * np.sign(x), "must agree with central differences"),
    "real": (lambda x: x.real, "it returned float64: it dropped"),
    "real inside": (lambda x: x.real * x, "must agree with central differences"),
    "one output of two": (lambda x: np.stack([x[0], x[1].real + 0 * x[0]]), r"output \(1,\)"),
    "small fault on a large offset": (lambda x: 1e8 + 1e-3 * (x + 0 * np.conj(x)).real + 0 * x, "must agree"),
    "float": (lambda x: float(x[0]) * x, "NumPy warned 'Casting complex values to real discards"),
    "real buffer": (into_real_buffer, "dropped the imaginary part.* NumPy warned"),
    "astype": (lambda x: x.astype(float) * x, "NumPy warned"),
    "single precision": (lambda x: x.astype("c8") if np.iscomplexobj(x) else x, "it returned complex64"),
    "sigmoid": (lambda x: 1 / (1 + np.exp(800 + 0 * x - x)), r"NaN or infinite, though the values are finite.*expit"),
    "branch": (branch, "must be its value at the real one; they differ by up to 1.1"),
    "square root of a negative": (lambda x: np.sqrt(x[1]), "must be finite at `point`; 1 of its 1 values"),
    "kink": (lambda x: np.maximum(x - X[0], 0), "has a kink at this very point"),
    "math": (lambda x: math.exp(x[0]), "NumPy warned|must accept complex numbers"),
    "floor": (lambda x: np.floor(x) * x, r'it raised .*TypeError: ufunc .floor. .*Try arithmetic="lifted"'),
    "arctan2": (lambda x: np.arctan2(x[0], x[1]), "it raised .*arctan2"),
    "validation": (no_scaler, r'it raised ValueError: Complex data not supported\. Try arithmetic="lifted"'),
    "constant": (lambda x: np.ones(2), "or does not depend on its input"),
    "another shape": (lambda x: x[: 2 if np.iscomplexobj(x) else 3], r"returned \(3,\) for a real point and \(2,\)"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_caught(name):
    function, words = FAULTS[name]
    error = InputError if name == "conj" else DerivativeError
    with pytest.raises(error, match=words):
        jacobian_of_array(function, X)


LIFTED_RIGHT = ["abs", "abs inside", "norm", "norm inside", "layer norm", "covariance", "conj inside", "vdot", "sign"]
LIFTED_RIGHT += ["real inside", "kink", "floor", "arctan2", "constant"]


@pytest.mark.parametrize("name", LIFTED_RIGHT)
def test_lifted_arithmetic_differentiates_what_native_refuses(name):
    function, _ = FAULTS[name]
    point = X + (0 if name == "kink" else 1e-3)
    found = jacobian_of_array(function, point, arithmetic="lifted")
    differences = [function(point + h) - function(point - h) for h in 1e-6 * np.eye(4)]
    expected = np.stack(differences, axis=-1) / 2e-6
    assert np.abs(found - expected).max() <= 1e-8 * max(1, np.abs(expected).max())


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: float(x[0]) * x, "cannot become a plain number.*NumPy's, such as np.exp"),
        (lambda x: math.exp(x[0]), "cannot become a plain number"),
        (lambda x: np.asarray(x) * 2, "cannot become a plain one"),
        (lambda x: np.fft.fft(x).real, r"np\.fft\.fft has no rule for lifted arrays"),
        (special.i0, "the ufunc i0 has no rule for lifted arrays"),
    ],
)
def test_lifted_arithmetic_refuses_what_it_does_not_know(function, words):
    with pytest.raises(UnsupportedOperationError, match=words):
        jacobian_of_array(function, X, arithmetic="lifted")


def test_lifted_derivatives_that_are_thrown_away_are_caught():
    """The attribute `re` is open to all; finite differences see that the derivative is gone."""
    with pytest.raises(DerivativeError, match="slope 0 by the one"):
        jacobian_of_array(lambda x: x.re**2 if isinstance(x, LiftedArray) else x**2, X, arithmetic="lifted")


def test_ties_of_three_have_no_derivative_to_give():
    with pytest.raises(DerivativeError, match=r"has a kink at this very point.*three elements or more that tie"):
        jacobian_of_array(np.sort, np.ones(3), arithmetic="lifted")


def test_pole_nearer_than_the_step():
    with pytest.raises(DerivativeError, match="or has a pole nearer than the step"):
        jacobian_of_array(np.log, np.array([1e-25]))
    assert jacobian_of_array(np.log, np.array([1e-25]), step=1e-100) == pytest.approx(1e25, rel=1e-14)


def test_function_that_keeps_its_output():
    """What it returned before is overwritten by the next call."""
    buffers = {}

    def function(x):
        buffer = buffers.setdefault(type(x) if isinstance(x, LiftedArray) else x.dtype, np.zeros_like(x))
        buffer[...] = x**2
        return buffer

    for arithmetic in ("native", "lifted"):
        assert jacobian_of_array(function, X, arithmetic=arithmetic) == pytest.approx(np.diag(2 * X), rel=1e-14)


def test_lifted_write_into_a_real_array_is_refused():
    with pytest.raises(DerivativeError, match=r"setting an array element|cannot become a plain one"):
        jacobian_of_array(into_real_buffer, X, arithmetic="lifted")


def test_lifted_sigmoid_far_out():
    found = jacobian_of_array(special.expit, np.array([-700.0, 0.0, 30.0]), arithmetic="lifted").diagonal()
    assert found == pytest.approx([math.exp(-700), 0.25, math.exp(-30) / (1 + math.exp(-30)) ** 2], rel=1e-14)


def test_function_that_draws_at_random_is_refused():
    generator = np.random.default_rng(0)
    with pytest.raises(InputError, match="must return the same for the same input; two calls differed"):
        jacobian_of_array(lambda x: x + generator.normal(size=4), X)
    with pytest.raises(InputError, match="keep it from changing its state"):
        jacobian_of_array(counting(), X)


def writes(x):
    x *= 2
    return x


@pytest.mark.parametrize("arithmetic", ["native", "lifted"])
def test_function_that_writes_into_its_argument_is_refused(arithmetic):
    with pytest.raises(InputError, match="must not change its argument; it wrote into it"):
        jacobian_of_array(writes, X, arithmetic=arithmetic)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: None, "it returned a NoneType"),
        (lambda x: "text", "it returned a str"),
        (lambda x: [x, x[:2]], "it returned a list of rows that differ in length"),
        (lambda x: np.ma.array(x), "it returned a MaskedArray"),
        (lambda x: {"a": 1}, "it returned a dict"),
        (lambda x: x > 0, "must return real numbers for a real point; it returned bool"),
        (lambda x: x * 1j, "must return real numbers for a real point; it returned complex128"),
        (lambda x: x[9], "`function` must accept `point`; it raised IndexError: index 9 is out of bounds"),
        (3, "`function` must be callable; got a int"),
    ],
)
def test_function_that_is_none_is_refused(function, words):
    with pytest.raises(InputError, match=words):
        jacobian_of_array(function, X)


@pytest.mark.parametrize(
    ("point", "words"),
    [
        (np.array([1, 2]), r"at most 64 bits; got int64\. Integers have no derivative: convert with \.astype\(float\)"),
        (np.array([True]), "got bool. Booleans have no derivative"),
        (np.array([1j]), "got complex128. The derivative is that of a real function"),
        (np.array(["a"]), "got <U1"),
        (np.zeros(2, np.longdouble), "at most 64 bits; got float128"),
        (np.array([1.0, np.nan, np.inf]), "must be finite; 2 of 3 are NaN or infinite"),
        (np.zeros((0, 3)), r"at least one element; got shape \(0, 3\)"),
        ([1.0], "must be a numpy.ndarray of real numbers; got a list"),
        (np.ma.array([1.0]), "got a MaskedArray"),
    ],
)
def test_point_that_cannot_be_differentiated_is_refused(point, words):
    with pytest.raises(InputError, match=words):
        jacobian_of_array(np.tanh, point)


@pytest.mark.parametrize("step", [0.0, 1e-8, float("nan")])
def test_step_out_of_range_is_refused(step):
    with pytest.raises(InputError, match=r"`step` must lie between 1e-200, below which it underflows, and 2\*\*-53"):
        jacobian_of_array(np.tanh, X, step=step)


def test_unknown_arithmetic_is_refused():
    with pytest.raises(InputError, match="unknown `arithmetic` 'dual'; known: native, lifted"):
        jacobian_of_array(np.tanh, X, arithmetic="dual")


# --- the spot check by itself ---


@pytest.mark.parametrize("factor", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("error", [1e-3, -2.0])
def test_wrong_rule_is_found_at_every_scale(factor, error):
    """A Jacobian wrong by one part in a thousand, in one entry."""
    point = factor * np.abs(X)
    function = lambda x: np.sum(np.sin(x / factor))  # noqa: E731
    right = np.cos(point / factor) / factor
    wrong = right * np.array([1, 1, 1 + error, 1])
    value = np.asarray(function(point))
    assert contradiction(function, point, value, right, kinks_allowed=False) is None
    assert contradiction(function, point, value, wrong, kinks_allowed=False) is not None


def test_kinks_of_a_network_nearby_are_no_fault():
    """A thousand rectified units: some change sign within almost any step."""
    generator = np.random.default_rng(3)
    first, second = generator.normal(size=(1000, 5)), generator.normal(size=(4, 1000))
    point = generator.normal(size=5)
    hidden = first @ point
    found = jacobian_of_array(lambda x: second @ np.where((first @ x).real > 0, first @ x, 0), point)
    assert np.abs(found - second @ ((hidden > 0)[:, None] * first)).max() <= 1e-10


@pytest.mark.parametrize("seed", range(20))
def test_no_false_alarm_on_random_networks(seed):
    generator = np.random.default_rng(seed)
    sizes = 10.0 ** generator.integers(-8, 9, 6)
    weight = generator.normal(size=(30, 6)) / sizes
    point = generator.normal(size=6) * sizes
    scale = 10.0 ** generator.integers(-8, 9, 30)
    found = jacobian_of_array(lambda x: scale * np.tanh(weight @ x), point)
    expected = (scale / np.cosh(weight @ point) ** 2)[:, None] * weight
    assert np.abs(found / expected - 1).max() <= 1e-11  # the rounding of the closed form in the tails
