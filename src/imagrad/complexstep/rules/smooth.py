"""Rules of smooth functions applied number by number: derivatives that stay right in the tails, complex kernels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from imagrad.complexstep.number import Lifted, Poison
from imagrad.complexstep.rules.table import pointwise, rule

aten = torch.ops.aten

_HALF_LN_2_PI = 0.5 * math.log(2 * math.pi)


def sech2(x: torch.Tensor) -> torch.Tensor:
    """1 / cosh(x)**2; 1 - tanh(x)**2 would lose all digits in the tails."""
    small = torch.exp(-2 * x.abs())
    return 4 * small / (1 + small) ** 2


def normal_density(x: torch.Tensor) -> torch.Tensor:
    """Density of the standard normal distribution."""
    return torch.exp(-0.5 * x * x - _HALF_LN_2_PI)


def normal_distribution(x: torch.Tensor) -> torch.Tensor:
    """Distribution function of the standard normal distribution, right in the left tail too."""
    return 0.5 * torch.erfc(-x * math.sqrt(0.5))


def sigmoid(z: torch.Tensor) -> torch.Tensor:
    """1 / (1 + exp(-z)), Eq. 10, of a complex number, written so that the exponential never overflows."""
    right = z.real >= 0
    small = torch.exp(torch.where(right, -z, z))
    return torch.where(right, torch.ones_like(z), small) / (1 + small)


def softplus(z: torch.Tensor, beta: float = 1, threshold: float = 20) -> torch.Tensor:
    """log(1 + exp(beta z)) / beta, of a complex number; z itself above the threshold, as the operation has it."""
    scaled = beta * z
    right = scaled.real >= 0
    small = torch.log1p(torch.exp(torch.where(right, -scaled, scaled)))
    curve = torch.where(right, scaled + small, small) / beta
    return torch.where(scaled.real > threshold, z, curve)


def _softplus_slope(_: Any, x: torch.Tensor, beta: float = 1, threshold: float = 20) -> torch.Tensor:
    return torch.where(beta * x > threshold, torch.ones_like(x), torch.sigmoid(beta * x))


def _silu_slope(_: Any, x: torch.Tensor) -> torch.Tensor:
    rising = torch.sigmoid(x)
    return rising * (1 + x * torch.sigmoid(-x))


# --- exponentials and logarithms ---
pointwise(aten.exp.default, lambda y, x: y, kernel=torch.exp)
pointwise(aten.exp2.default, lambda y, x: y * math.log(2), kernel=lambda z: torch.exp(z * math.log(2)))
pointwise(aten.expm1.default, lambda y, x: torch.exp(x), kernel=torch.expm1)
pointwise(aten.log.default, lambda y, x: 1 / x, kernel=torch.log)
pointwise(aten.log2.default, lambda y, x: 1 / (x * math.log(2)), kernel=torch.log2)
pointwise(aten.log10.default, lambda y, x: 1 / (x * math.log(10)), kernel=torch.log10)
pointwise(aten.log1p.default, lambda y, x: 1 / (1 + x), kernel=torch.log1p)

# --- powers ---
pointwise(aten.sqrt.default, lambda y, x: 0.5 / y, kernel=torch.sqrt)
pointwise(aten.rsqrt.default, lambda y, x: -0.5 * y / x, kernel=torch.rsqrt)
pointwise(aten.reciprocal.default, lambda y, x: -y * y, kernel=torch.reciprocal)

# --- trigonometric and hyperbolic ---
pointwise(aten.sin.default, lambda y, x: torch.cos(x), kernel=torch.sin)
pointwise(aten.cos.default, lambda y, x: -torch.sin(x), kernel=torch.cos)
pointwise(aten.tan.default, lambda y, x: 1 + y * y, kernel=torch.tan)
pointwise(aten.asin.default, lambda y, x: torch.rsqrt((1 - x) * (1 + x)))
pointwise(aten.acos.default, lambda y, x: -torch.rsqrt((1 - x) * (1 + x)))
pointwise(aten.atan.default, lambda y, x: 1 / (1 + x * x))
pointwise(aten.sinh.default, lambda y, x: torch.cosh(x), kernel=torch.sinh)
pointwise(aten.cosh.default, lambda y, x: torch.sinh(x), kernel=torch.cosh)
pointwise(aten.tanh.default, lambda y, x: sech2(x), kernel=torch.tanh)
pointwise(aten.asinh.default, lambda y, x: torch.rsqrt(1 + x * x))
pointwise(aten.acosh.default, lambda y, x: torch.rsqrt((x - 1) * (x + 1)))
pointwise(aten.atanh.default, lambda y, x: 1 / ((1 - x) * (1 + x)))
pointwise(aten.sinc.default, lambda y, x: _sinc_slope(x))
pointwise(
    aten.atan2.default,
    lambda y, a, b: b / (a * a + b * b),
    lambda y, a, b: -a / (a * a + b * b),
)
pointwise(aten.hypot.default, lambda y, a, b: a / y, lambda y, a, b: b / y)


def _sinc_slope(x: torch.Tensor) -> torch.Tensor:
    """Differentiate sin(pi x) / (pi x); near 0, where it is a difference of large numbers, its Taylor series."""
    angle = math.pi * x
    near = angle.abs() < 1e-2
    safe = torch.where(near, torch.ones_like(angle), angle)
    a2 = angle * angle
    series = angle * (-1 / 3 + a2 * (1 / 30 - a2 * (1 / 840 - a2 / 45360)))
    return math.pi * torch.where(near, series, (safe * torch.cos(safe) - torch.sin(safe)) / (safe * safe))


# --- activations ---
pointwise(aten.sigmoid.default, lambda y, x: torch.sigmoid(x) * torch.sigmoid(-x), kernel=sigmoid)
pointwise(aten.silu.default, _silu_slope, kernel=lambda z: z * sigmoid(z))
pointwise(aten.softplus.default, _softplus_slope, kernel=softplus)
pointwise(
    aten.mish.default,
    lambda y, x: torch.tanh(F.softplus(x)) + x * sech2(F.softplus(x)) * torch.sigmoid(x),
    kernel=lambda z: z * torch.tanh(softplus(z)),
)
pointwise(
    aten.logit.default,
    lambda y, x, eps=None: 1 / (x * (1 - x)) if eps is None else ((x > eps) & (x < 1 - eps)) / (x * (1 - x)),
)


def _gelu_slope(_: Any, x: torch.Tensor, approximate: str = "none") -> torch.Tensor:
    if approximate == "none":
        return normal_distribution(x) + x * normal_density(x)
    inner, slope = _gelu_inner(x), math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return torch.sigmoid(2 * inner) + 0.5 * x * sech2(inner) * slope


def _gelu_inner(x: torch.Tensor) -> torch.Tensor:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


pointwise(aten.gelu.default, _gelu_slope)


@rule(aten.log_sigmoid_forward.default)
def log_sigmoid(value: Lifted) -> tuple[Lifted, Any]:
    """log(1 / (1 + exp(-x))) = -softplus(-x); the second output is scratch."""
    slope = torch.sigmoid(-value.re)
    if not value.arithmetic.is_complex:
        return value.of(F.logsigmoid(value.re), slope * value.im), Poison("the scratch of log_sigmoid")
    return value.of_complex(-softplus(-value.as_complex(), threshold=math.inf)), Poison("the scratch of log_sigmoid")


# --- error functions, gamma functions, Bessel functions ---
_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)
pointwise(aten.erf.default, lambda y, x: _TWO_OVER_ROOT_PI * torch.exp(-x * x))
pointwise(aten.erfc.default, lambda y, x: -_TWO_OVER_ROOT_PI * torch.exp(-x * x))
pointwise(aten.erfinv.default, lambda y, x: torch.exp(y * y) / _TWO_OVER_ROOT_PI)
pointwise(aten.special_erfcx.default, lambda y, x: 2 * x * y - _TWO_OVER_ROOT_PI)
pointwise(aten.special_ndtr.default, lambda y, x: normal_density(x))
pointwise(aten.special_ndtri.default, lambda y, x: 1 / normal_density(y))
pointwise(aten.special_log_ndtr.default, lambda y, x: torch.exp(-0.5 * x * x - _HALF_LN_2_PI - y))
pointwise(aten.lgamma.default, lambda y, x: torch.digamma(x))
pointwise(aten.digamma.default, lambda y, x: torch.polygamma(1, x))
pointwise(aten.special_entr.default, lambda y, x: -torch.log(x) - 1)
pointwise(aten.i0.default, lambda y, x: torch.special.i1(x))
pointwise(aten.special_i0e.default, lambda y, x: torch.special.i1e(x) - torch.sign(x) * y)
pointwise(aten.special_i1.default, lambda y, x: torch.where(x == 0, 0.5, torch.i0(x) - y / x).to(x))
pointwise(
    aten.special_i1e.default,
    lambda y, x: torch.where(x == 0, 0.5, torch.special.i0e(x) - y * (torch.sign(x) + 1 / x)).to(x),
)


@rule(aten.polygamma.default, is_formula=True)
def polygamma(order: int, value: Lifted) -> Lifted:
    """Differentiate the digamma function once more."""
    return value.of(torch.polygamma(order, value.re), torch.polygamma(order + 1, value.re) * value.im)


# --- of two arguments ---
pointwise(
    aten.logaddexp.default,
    lambda y, a, b: torch.sigmoid(a - b),
    lambda y, a, b: torch.sigmoid(b - a),
)
pointwise(
    aten.logaddexp2.default,
    lambda y, a, b: torch.sigmoid((a - b) * math.log(2)),
    lambda y, a, b: torch.sigmoid((b - a) * math.log(2)),
)


def _xlogy_slope(y: torch.Tensor, a: Any, b: Any) -> torch.Tensor:
    b = torch.as_tensor(b, dtype=y.dtype, device=y.device)
    return torch.where((a == 0) & (b <= 0), torch.zeros_like(y), torch.log(b))


pointwise(aten.xlogy.Tensor, _xlogy_slope, lambda y, a, b: a / b)
pointwise(aten.xlogy.Scalar_Other, _xlogy_slope)
pointwise(aten.special_xlog1py.default, lambda y, a, b: torch.log1p(b), lambda y, a, b: a / (1 + b))


# --- powers: repeated products for whole exponents; torch's complex power goes through angles, in which h drowns ---
def _whole_power(z: torch.Tensor, exponent: int) -> torch.Tensor:
    if exponent < 0:
        return 1 / _whole_power(z, -exponent)
    result = torch.ones_like(z)
    while exponent:
        result = result * z if exponent % 2 else result
        z, exponent = z * z, exponent // 2
    return result


def _power_kernel(z: torch.Tensor, exponent: float) -> torch.Tensor:
    return _whole_power(z, int(exponent)) if float(exponent).is_integer() else torch.exp(exponent * torch.log(z))


def _power_slope(_: Any, x: torch.Tensor, exponent: float) -> torch.Tensor:
    return torch.zeros_like(x) if exponent == 0 else exponent * torch.pow(x, exponent - 1)


pointwise(aten.pow.Tensor_Scalar, _power_slope, kernel=_power_kernel)


def _base_slope(_: Any, x: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    return torch.where(exponent == 0, torch.zeros_like(x), exponent * torch.pow(x, exponent - 1))


def _exponent_slope(y: torch.Tensor, x: torch.Tensor, exponent: torch.Tensor) -> torch.Tensor:
    return torch.where((x == 0) & (exponent >= 0), torch.zeros_like(y), y * torch.log(x))


pointwise(aten.pow.Tensor_Tensor, _base_slope, _exponent_slope)


@rule(aten.pow.Scalar, is_formula=True)
def power_of_number(base: float, exponent: Lifted) -> Lifted:
    """base**x, of derivative log(base) base**x."""
    value = torch.pow(base, exponent.re)
    slope = _exponent_slope(value, torch.as_tensor(base, dtype=value.dtype, device=value.device), exponent.re)
    return exponent.of(value, slope * exponent.im)
