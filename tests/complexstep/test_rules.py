"""Every rule: met by an example, right far out; and the traps of a naive complex step."""

import json
from pathlib import Path

import mpmath
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from imagrad.complexstep import jacobian, literal_jacobian
from imagrad.complexstep.number import COMPLEX, Lifted
from imagrad.complexstep.points import DEFAULT_STEP
from imagrad.complexstep.rule_checks import check_rule
from imagrad.complexstep.rules import RULES
from imagrad.errors import DerivativeError, UnsupportedOperationError

from ..marks import slow

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # torch's own, under vmap

FLOAT64 = torch.float64
ENGINES = ("forward", "transpose", "complex")
GENERATOR = torch.Generator().manual_seed(11)


def some(*shape):
    return torch.randn(shape, dtype=FLOAT64, generator=GENERATOR)


def operation_of(name):
    namespace, packet, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), packet), overload)


def vector(*values):
    return torch.tensor(values, dtype=FLOAT64)


# --- every rule has an example ---
ROW, SQUARE, OTHER, IMAGE, VOLUME = some(6), some(4, 4), some(4, 4), some(1, 2, 6, 6), some(1, 1, 4, 4, 4)
SIGNAL, POSITIVE, MASK = some(1, 2, 7), some(4, 4).abs() + 0.1, SQUARE > 0

EXAMPLES = {  # those that no operator of torch's list meets: operation -> arguments
    "_adaptive_avg_pool3d": (VOLUME, [2, 3, 2]),
    "adaptive_avg_pool2d": (IMAGE, [3, 2]),
    "adaptive_avg_pool3d": (VOLUME, [2, 3, 2]),
    "alias": (SQUARE,),
    "detach": (SQUARE,),
    "lift_fresh_copy": (SQUARE,),
    "_euclidean_dist": (SQUARE, OTHER),
    "_fused_rms_norm": (SQUARE, [4], OTHER[0], 1e-6),
    "_native_batch_norm_legit.no_stats": (some(3, 2, 4), some(2), some(2), True, 0.1, 1e-5),
    "_native_batch_norm_legit_no_training": (some(3, 2, 4), some(2), some(2), some(2), some(2).abs(), 0.1, 1e-5),
    "_reshape_alias": (SQUARE, [2, 8], [8, 1]),
    "_upsample_bicubic2d_aa": (IMAGE, [4, 8], False, None, None),
    "_upsample_bicubic2d_aa.vec": (IMAGE, [4, 8], False, None),
    "_upsample_bilinear2d_aa": (IMAGE, [4, 8], False, None, None),
    "_upsample_bilinear2d_aa.vec": (IMAGE, [4, 8], False, None),
    "_upsample_nearest_exact1d.vec": (SIGNAL, [9], None),
    "_upsample_nearest_exact2d.vec": (IMAGE, [9, 4], None),
    "_upsample_nearest_exact3d.vec": (VOLUME, [5, 3, 4], None),
    "adaptive_avg_pool1d": (SIGNAL, [3]),
    "avg_pool1d": (SIGNAL, [2]),
    "all": (SQUARE,),
    "all.dim": (SQUARE, 1),
    "any": (SQUARE,),
    "any.dim": (SQUARE, 1),
    "argsort": (SQUARE,),
    "argsort.stable": (SQUARE,),  # stable is an option
    "bucketize.Tensor": (SQUARE, torch.arange(3.0)),
    "clamp": (SQUARE, -0.5, 0.5),
    "clamp_max": (SQUARE, 0.5),
    "col2im": (some(1, 8, 9), [4, 4], [2, 2], [1, 1], [0, 0], [1, 1]),
    "im2col": (IMAGE, [2, 2], [1, 1], [0, 0], [1, 1]),
    "copy": (SQUARE, OTHER[0]),
    "div.Scalar_mode": (SQUARE, 0.7),
    "fill.Tensor": (SQUARE, some()),
    "fmod.Scalar": (SQUARE, 0.7),
    "remainder.Scalar": (SQUARE, 0.7),
    "inner": (SQUARE, OTHER),
    "kron": (SQUARE, OTHER),
    "outer": (ROW, SQUARE[0]),
    "matmul": (SQUARE, OTHER),
    "linear": (SQUARE, some(3, 4), some(3)),
    "softmax.int": (SQUARE, 1),
    "log_softmax.int": (SQUARE, 1),
    "pow.Scalar": (0.7, SQUARE),
    "reflection_pad3d": (VOLUME, [1, 1, 2, 0, 1, 1]),
    "replication_pad3d": (VOLUME, [1, 1, 2, 0, 1, 1]),
    "reshape": (SQUARE.T, [2, 8]),
    "flatten.using_ints": (IMAGE, 1, 2),
    "scatter.value": (SQUARE, 0, torch.tensor([[0, 1]]), 2.0),
    "searchsorted.Tensor": (torch.arange(3.0), SQUARE),
    "slice_copy.Tensor": (SQUARE, 0, 1, 3),
    "special_ndtr": (SQUARE,),
    "square": (SQUARE,),
    "sym_size.int": (SQUARE, 0),
    "to.dtype": (SQUARE, FLOAT64),
    "true_divide.Tensor": (SQUARE, OTHER),
    "upsample_bicubic2d.vec": (IMAGE, [9, 4], False, None),
    "upsample_bilinear2d.vec": (IMAGE, [9, 4], False, None),
    "upsample_linear1d.vec": (SIGNAL, [9], False, None),
    "upsample_trilinear3d.vec": (VOLUME, [5, 3, 4], True, None),
    "upsample_nearest1d.vec": (SIGNAL, [9], None),
    "upsample_nearest2d.vec": (IMAGE, [9, 4], None),
    "upsample_nearest3d.vec": (VOLUME, [5, 3, 4], None),
    "where.ScalarOther": (MASK, SQUARE, 2.0),
    "where.ScalarSelf": (MASK, 2.0, SQUARE),
    "xlogy.Scalar_Other": (SQUARE, 2.0),
    "max_pool2d_with_indices_backward": (
        some(1, 2, 3, 3),
        IMAGE,
        [2, 2],
        [2, 2],
        [0, 0],
        [1, 1],
        False,
        F.max_pool2d(IMAGE, 2, return_indices=True)[1],
    ),
    "new_empty_strided": (SQUARE, [0, 4], [4, 1]),
    "rrelu_with_noise_functional": (SQUARE, torch.zeros(4, 4, dtype=torch.long), 0.1, 0.3, False),
    **dict.fromkeys(("isfinite", "isinf", "isneginf", "isposinf", "logical_not", "signbit"), (SQUARE,)),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor"), (SQUARE, OTHER)),
    **dict.fromkeys([f"{name}.Tensor" for name in ("eq", "ne", "ge", "gt", "le", "lt")], (SQUARE, OTHER)),
    **dict.fromkeys([f"{name}.Scalar" for name in ("eq", "ne", "ge", "gt", "le", "lt")], (SQUARE, 0.3)),
}
OPTIONS = {"argsort.stable": {"stable": True}, "div.Scalar_mode": {"rounding_mode": "floor"}}


def full_name(name):
    return f"aten.{name}" if "." in name else f"aten.{name}.default"


def test_every_rule_is_met():
    met = json.loads(Path(__file__).with_name("opinfo_ratchet.json").read_text())["met"]
    elsewhere = {"prims.view_of.default"}  # what detach is taken apart into: `test_detach_is_seen_through`
    ours = {name for name in RULES if name.startswith(("aten.", "prims."))}  # not what a page of the docs adds
    assert set(met) | {full_name(name) for name in EXAMPLES} | elsewhere == ours


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_rule_passes_its_check(name):
    check_rule(operation_of(full_name(name)), *EXAMPLES[name], **OPTIONS.get(name, {}))


@pytest.mark.parametrize("engine", ["forward", "transpose", "complex"])
def test_detach_is_seen_through(engine):
    """What is differentiated is what is computed: x * x, whatever autograd is told."""
    x = torch.tensor([0.5, -2.0], dtype=torch.float64)
    assert torch.equal(jacobian(lambda v: v * v.detach(), x, engine=engine), torch.diag(2 * x))


def test_every_rule_says_what_it_does():
    for name, rule in RULES.items():
        assert rule.summary.endswith((".", ":")), name
        assert len(rule.summary) <= 110, name


# --- scalar functions, in many digits ---
GRID = [0.0] + [
    s * v
    for v in (1e-12, 1e-3, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 19.0, 21.0, 30.0, 50.0, 300.0, 700.0, 1e4)
    for s in (1, -1)
]
S, PI, EXP = mpmath.sqrt, mpmath.pi, mpmath.exp


def logistic(v):
    return 1 / (1 + EXP(-v))


def gelu_slope(v):
    return mpmath.ncdf(v) + v * mpmath.npdf(v)


def tanh_gelu_slope(v):
    c = S(2 / PI)
    inner, slope = c * (v + mpmath.mpf("0.044715") * v**3), c * (1 + 3 * mpmath.mpf("0.044715") * v**2)
    return logistic(2 * inner) + v / 2 * mpmath.sech(inner) ** 2 * slope


def mish_slope(v):
    softplus = mpmath.log1p(EXP(v))
    return mpmath.tanh(softplus) + v * mpmath.sech(softplus) ** 2 * logistic(v)


SCALARS = {  # function -> (its derivative, the largest argument, relative precision)
    "exp": (torch.exp, EXP, 700, 4e-16),
    "expm1": (torch.expm1, EXP, 700, 4e-16),
    "tanh": (torch.tanh, lambda v: mpmath.sech(v) ** 2, 1e4, 2e-13),
    "sigmoid": (torch.sigmoid, lambda v: logistic(v) * logistic(-v), 1e4, 2e-13),
    "silu": (F.silu, lambda v: logistic(v) * (1 + v * logistic(-v)), 1e4, 2e-13),
    "logsigmoid": (F.logsigmoid, lambda v: logistic(-v), 1e4, 2e-13),
    "gelu": (F.gelu, gelu_slope, 30, 1e-11),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), tanh_gelu_slope, 10, 1e-11),
    "mish": (F.mish, mish_slope, 700, 2e-13),
    "erf": (torch.erf, lambda v: 2 / S(PI) * EXP(-(v**2)), 21, 2e-13),
    "erfc": (torch.erfc, lambda v: -2 / S(PI) * EXP(-(v**2)), 21, 2e-13),
    "atan": (torch.atan, lambda v: 1 / (1 + v**2), 1e4, 1e-15),
    "asinh": (torch.asinh, lambda v: 1 / S(1 + v**2), 1e4, 1e-15),
    "sinh": (torch.sinh, mpmath.cosh, 700, 1e-15),
    "sin": (torch.sin, mpmath.cos, 1e4, 1e-15),
    "softsign": (F.softsign, lambda v: 1 / (1 + abs(v)) ** 2, 1e4, 1e-11),
    "sinc": (torch.sinc, lambda v: (mpmath.cos(PI * v) - mpmath.sincpi(v)) / v if v else mpmath.mpf(0), 5, 1e-11),
}


@pytest.mark.parametrize("name", sorted(SCALARS))
@pytest.mark.parametrize("engine", ["forward", "complex"])
def test_scalar_function_against_mpmath(name, engine):
    """50 digits decide: closed forms in float64 are themselves wrong in the tails.

    Where a derivative falls like exp(-x), rounding x alone moves it by x eps: hence 2e-13 up to 700.
    """
    function, exact, largest, precision = SCALARS[name]
    values = [v for v in GRID if abs(v) <= largest]
    found = jacobian(function, vector(*values), engine=engine).diagonal()
    with mpmath.workdps(50):
        for value, derivative in zip(values, found.tolist(), strict=True):
            # what is below 1e-280 may underflow, with a step of 2**-66 in the complex arithmetic
            expected = float(exact(mpmath.mpf(value)))
            assert derivative == pytest.approx(expected, rel=precision, abs=1e-280), value


# --- traps: what a naive complex step gets wrong without a warning ---
def relative_error(found, expected):
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("step", [1e-16, 1e-20, DEFAULT_STEP, 1e-200])
def test_convolution_at_every_step(step):
    """torch's own complex convolution adds real and imaginary parts up, in which 1e-16 drowns."""
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 3, 3).double().requires_grad_(False)
    x = torch.rand(1, 1, 5, 5, dtype=FLOAT64)
    expected = torch.func.jacrev(conv)(x)
    assert relative_error(literal_jacobian(conv, x, step=step), expected) <= 1e-14
    z = torch.complex(x, torch.zeros_like(x))
    z[0, 0, 2, 2] += 1e-16j
    naive = F.conv2d(z, conv.weight.to(z.dtype)).imag / 1e-16
    assert relative_error(naive, expected[..., 0, 0, 2, 2]) > 0.1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("exponent", [2, 3, -1, 0, *slow(4, 5, -2, -3, 1)])
def test_whole_powers_of_negative_numbers(engine, exponent):
    """torch's complex power goes by angles: it is off by eps times the value, far more than h."""
    x = vector(-1.7, 0.3, 2.0, -0.01)
    found = jacobian(lambda v: v**exponent, x, engine=engine).diagonal()
    assert torch.allclose(found, exponent * x ** (exponent - 1), rtol=1e-15, atol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_tensor_of_whole_exponents(engine):
    x, exponents = vector(-1.7, 0.3, 2.0, -0.01), vector(4.0, 5.0, -3.0, 3.0)
    found = jacobian(lambda v: v**exponents, x, engine=engine).diagonal()
    assert torch.allclose(found, exponents * x ** (exponents - 1), rtol=1e-15, atol=0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("function", [torch.sigmoid, F.silu, F.softplus, F.mish, F.logsigmoid, F.gelu])
def test_far_out_nothing_is_nan(engine, function):
    x = vector(-800.0, -1e4, 800.0, 1e4)
    slopes = [1.0 if function in (F.logsigmoid,) else 0.0] * 2 + [
        0.0 if function in (torch.sigmoid, F.logsigmoid) else 1.0
    ] * 2
    assert torch.allclose(jacobian(function, x, engine=engine).diagonal(), vector(*slopes), rtol=1e-15, atol=1e-300)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_fill_value_has_no_derivative(engine):
    x = vector(1.0, 2.0)
    expected = F.pad(torch.eye(2, dtype=FLOAT64), (0, 0, 1, 1))
    assert torch.equal(jacobian(lambda v: F.pad(v, (1, 1), value=7.0), x, engine=engine), expected)
    filled = jacobian(lambda v: v.masked_fill(v > 1.5, 7.0), x, engine=engine)
    assert torch.equal(filled, torch.diag(vector(1.0, 0.0)))


@pytest.mark.parametrize("engine", ENGINES)
def test_softmax_of_one_number(engine):
    """Under vmap a softmax over "the last axis" of a number would mix the perturbations."""
    x = vector(0.3)
    assert float(jacobian(lambda v: torch.softmax(v[0], 0) * v[0], x, engine=engine)) == 1.0


@pytest.mark.parametrize("function", [torch.native_layer_norm, torch.native_group_norm])
def test_an_output_that_is_not_lifted_cannot_be_used(function):
    rest = ((6,), None, None, 1e-5) if function is torch.native_layer_norm else (None, None, 2, 3, 1, 1, 1e-5)
    x = torch.rand(2, 6, dtype=FLOAT64) if function is torch.native_layer_norm else torch.rand(2, 3, 1, dtype=FLOAT64)
    assert (
        relative_error(
            jacobian(lambda v: function(v, *rest)[0], x), torch.func.jacrev(lambda v: function(v, *rest)[0])(x)
        )
        < 1e-13
    )
    with pytest.raises(
        UnsupportedOperationError, match="the mean that a normalisation returns beside its result has no"
    ):
        jacobian(lambda v: function(v, *rest)[1] * 2, x)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "function",
    [torch.abs, torch.norm, torch.var, torch.std, lambda x: F.normalize(x, dim=0),
     lambda x: torch.cdist(x[None], x[None] * 2), lambda x: F.cosine_similarity(x, x.flip(0), 0), F.softsign],
)  # fmt: skip
def test_nothing_takes_a_modulus_or_a_conjugate(engine, function):
    x = vector(-1.0, 2.0, 0.5)
    expected = torch.func.jacrev(function)(x)
    assert torch.allclose(jacobian(function, x, engine=engine), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("engine", ENGINES)
def test_constants_are_those_of_float64(engine):
    """0.01 in float32 is off by 2e-10: enough to fail here."""
    assert float(jacobian(F.leaky_relu, vector(-1.0), engine=engine)) == 0.01
    assert float(jacobian(lambda x: torch.where(x > 0, x, 0.1 * x), vector(-1.0), engine=engine)) == 0.1
    assert float(jacobian(F.hardsigmoid, vector(1.0), engine=engine)) == 1 / 6


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_slice_to_the_end_is_written(engine):
    """The end is the largest integer, which vmap's slice_scatter cannot take."""

    def function(x):
        y = torch.zeros(2, 4, dtype=x.dtype)
        y[:, 1:] = x
        y[0] *= 2
        return y

    x = torch.rand(2, 3, dtype=FLOAT64)
    assert torch.equal(
        jacobian(function, x, engine=engine), torch.func.jacrev(lambda v: F.pad(v, (1, 0)) * vector(2, 1)[:, None])(x)
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pole_behind_a_where_is_left_out(engine):
    function = lambda x: torch.where(x > 0, x.sqrt(), x)  # noqa: E731
    x = vector(4.0, -1.0)
    if engine == "transpose":
        with pytest.raises(DerivativeError, match=r'engine="forward" may give the derivative that a transpose cannot'):
            jacobian(function, x, engine=engine)
    else:
        assert torch.equal(jacobian(function, x, engine=engine), torch.diag(vector(0.25, 1.0)))


@pytest.mark.parametrize("engine", ENGINES)
def test_masked_attention_rows_are_zero(engine):
    scores = torch.rand(2, 3, dtype=FLOAT64)
    mask = torch.tensor([[True, True, True], [False, True, False]])
    found = jacobian(lambda x: torch._safe_softmax(x.masked_fill(mask, -torch.inf), -1), scores, engine=engine)
    assert torch.equal(found[0], torch.zeros(3, 2, 3, dtype=FLOAT64))
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_are_in_the_type_of_the_point(dtype):
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)).to(dtype) + 0.1
    net = nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.LayerNorm(5), nn.Hardswish(), nn.Softmax(1)).requires_grad_(
        False
    )
    expected = torch.func.jacrev(net.double())(x.double())
    net.to(dtype)
    for engine in ("forward", "transpose"):
        found = jacobian(net, x, engine=engine)
        assert found.dtype == dtype
        assert relative_error(found.double(), expected) <= (1e-5 if dtype == torch.float32 else 1e-13)


def test_conversion_to_integers_is_refused():
    with pytest.raises(UnsupportedOperationError, match=r"converting to torch\.int64 .* loses the imaginary part"):
        jacobian(lambda x: x * x.long(), torch.rand(3))


def test_an_integer_buffer_is_refused():
    with pytest.raises(UnsupportedOperationError, match=r"converting to torch\.int64 .* loses the imaginary part"):
        jacobian(lambda x: torch.zeros(3, dtype=torch.long).copy_(x) * x, torch.rand(3))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_images_sampled_at_places_that_depend_on_the_input(engine):
    """A spatial transformer: the network turns the image by an angle that it reads off."""

    def transformer(image):
        angle = image.mean()
        rows = torch.stack(
            [torch.stack([angle.cos(), -angle.sin(), angle]), torch.stack([angle.sin(), angle.cos(), angle])]
        )
        return F.grid_sample(image, F.affine_grid(rows[None], [1, 1, 4, 4], align_corners=False), align_corners=False)

    x = torch.rand(1, 1, 5, 5, dtype=FLOAT64, generator=torch.Generator().manual_seed(3))
    assert relative_error(jacobian(transformer, x, engine=engine), torch.func.jacrev(transformer)(x)) <= 1e-13


def test_step_and_value_in_complex_arithmetic():
    """The imaginary part holds the step, and the real part the value."""
    x = vector(0.3, -2.0)
    z = RULES["aten.tanh.default"].apply(Lifted(x, 1e-100 * torch.ones_like(x), COMPLEX))
    assert torch.allclose(z.re, x.tanh(), rtol=1e-15, atol=0)
    assert torch.allclose(z.im / 1e-100, 1 - x.tanh() ** 2, rtol=1e-14, atol=0)
