"""Section 4's claim measured: how wrong finite differences and the complex step are, step by step, and at a kink."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from imagrad.complexstep import jacobian, literal_jacobian
from imagrad.errors import InputError
from imagrad.models.autoencoders import Autoencoder

Array = NDArray[Any]
Function = Callable[[torch.Tensor], torch.Tensor]

EPSILON = float(np.finfo(np.float64).eps)
STEPS = np.concatenate([10.0 ** -np.arange(1, 20.1, 0.25), 10.0 ** -np.arange(30, 301, 10.0)])
"""From 1e-1 to 1e-300: four a decade where the errors change, one in ten decades below 1e-20."""

_DIGITS = 50  # of the reference; float64 has 16
_FEWEST = 4  # points that a slope is fitted to
_ABOVE_ROUNDING = 100


@dataclass(frozen=True)
class StepErrors:
    """Relative errors of one column of a Jacobian, ||found - exact||_2 / ||exact||_2, one for each step."""

    steps: Array
    forward: Array
    central: Array
    complex_step: Array
    nearest_kink: float
    """How far the input can move along its axis, either way, before a ReLU switches."""

    def slope(self, method: str) -> float | None:
        """Fit the power of h that the error of "forward", "central" or "complex_step" follows, where truncation rules.

        That is where the error is 100 times its rounding (eps, or eps / h for a difference) and, for a difference, no
        ReLU switches between its points. None when fewer than 4 steps are of that kind.
        """
        errors: Array = getattr(self, method)
        is_difference = method != "complex_step"
        rounding = EPSILON / self.steps if is_difference else EPSILON
        chosen = errors > _ABOVE_ROUNDING * rounding
        if is_difference:
            chosen &= self.steps < self.nearest_kink
        if chosen.sum() < _FEWEST:
            return None
        return float(np.polyfit(np.log10(self.steps[chosen]), np.log10(errors[chosen]), 1)[0])


@dataclass(frozen=True)
class Layer:
    """A dense layer: activation(weight @ values + bias), in float64."""

    weight: Array  # (out, in)
    bias: Array
    activation: str


def encoder_layers(autoencoder: Autoencoder) -> tuple[Layer, ...]:
    """Return the layers of `encode`."""
    return dense_layers(autoencoder.encoder)


def autoencoder_layers(autoencoder: Autoencoder) -> tuple[Layer, ...]:
    """Return the layers of `reconstruct`: the encoder's, the decoder's, and the sigmoid at their end."""
    return dense_layers([*autoencoder.encoder, *autoencoder.decoder, nn.Sigmoid()])


def dense_layers(modules: Iterable[nn.Module]) -> tuple[Layer, ...]:
    """Read linear modules, each with the ReLU or sigmoid behind it; raise `InputError` for any other module."""
    layers: list[Layer] = []
    for module in modules:
        if isinstance(module, nn.Linear):
            weight, bias = (value.detach().cpu().double().numpy() for value in (module.weight, module.bias))
            layers.append(Layer(weight, bias, "none"))
        elif isinstance(module, nn.ReLU | nn.Sigmoid) and layers and layers[-1].activation == "none":
            layers[-1] = Layer(layers[-1].weight, layers[-1].bias, type(module).__name__.lower())
        elif not isinstance(module, nn.Flatten):
            raise InputError(f"layers must be Linear, each with a ReLU or Sigmoid or nothing behind it; got {module}.")
    return tuple(layers)


def measure_step_errors(layers: Sequence[Layer], image: torch.Tensor, pixel: int, steps: Array = STEPS) -> StepErrors:
    """Differentiate the layers at `image` with respect to one pixel, an index into the flattened image, at each step.

    The truth is the chain rule in 50 decimal digits. Raises `InputError` for a pixel that is not there.
    """
    point = image.detach().cpu().double().numpy().ravel()
    if not 0 <= pixel < len(point):
        raise InputError(f"`pixel` must be from 0 to {len(point) - 1}; got {pixel}.")
    exact = exact_column(layers, point, pixel)
    methods = (forward_difference, central_difference, complex_step)
    found = [[_relative_error(method(layers, point, pixel, h), exact) for h in steps.tolist()] for method in methods]
    forward, central, complex_ = (np.array(errors) for errors in found)
    return StepErrors(steps, forward, central, complex_, nearest_kink(layers, point, pixel))


# --- the three methods: one column of the Jacobian each, (out,) ---


def forward_difference(layers: Sequence[Layer], point: Array, pixel: int, h: float) -> Array:
    """(f(x + h) - f(x)) / h."""
    return (evaluate(layers, _moved(point, pixel, h)) - evaluate(layers, point)) / h


def central_difference(layers: Sequence[Layer], point: Array, pixel: int, h: float) -> Array:
    """(f(x + h) - f(x - h)) / 2h."""
    return (evaluate(layers, _moved(point, pixel, h)) - evaluate(layers, _moved(point, pixel, -h))) / (2 * h)


def complex_step(layers: Sequence[Layer], point: Array, pixel: int, h: float) -> Array:
    """Im f(x + ih) / h, Eq. 2."""
    return np.imag(evaluate(layers, _moved(point.astype(np.complex128), pixel, 1j * h))) / h


def evaluate(layers: Sequence[Layer], values: Array) -> Array:
    """Run the layers on float64 or complex128, (in,) -> (out,)."""
    for layer in layers:
        values = _ACTIVATIONS[layer.activation](layer.weight @ values + layer.bias)
    return values


def _moved(point: Array, pixel: int, shift: complex) -> Array:
    moved = point.copy()
    moved[pixel] += shift
    return moved


def _relu(z: Array) -> Array:
    """Eq. 6, by the real part."""
    return np.where(np.real(z) > 0, z, 0)


def _sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), Eq. 10, written so that the exponential never overflows."""
    small = np.exp(np.where(np.real(z) > 0, -z, z))
    return np.where(np.real(z) > 0, 1, small) / (1 + small)


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": _relu, "sigmoid": _sigmoid, "none": lambda z: z}


# --- the truth, and where it changes ---


def exact_column(layers: Sequence[Layer], point: Array, pixel: int) -> Array:
    """Return df/dx_pixel by the chain rule D2 W2 D1 W1, as an array of `Decimal` with 50 digits."""
    with localcontext(prec=_DIGITS):
        values, column = _decimals(point), _decimals(np.eye(1, len(point), pixel)[0])
        for layer in layers:
            weight = _decimals(layer.weight)
            values, column = weight @ values + _decimals(layer.bias), weight @ column
            if layer.activation == "relu":
                on = values > 0
                values, column = values * on, column * on
            elif layer.activation == "sigmoid":
                values = np.array([1 / (1 + (-z).exp()) for z in values])
                column = values * (1 - values) * column
        return column


def nearest_kink(layers: Sequence[Layer], point: Array, pixel: int) -> float:
    """Return the smallest |t| at which x + t e_pixel switches a ReLU; infinity where none ever does."""
    values, column, nearest = point, np.eye(1, len(point), pixel)[0], np.inf
    for layer in layers:
        values, column = layer.weight @ values + layer.bias, layer.weight @ column
        if layer.activation != "relu":
            break  # no straight line from here on
        moving = column != 0
        nearest = min(nearest, float(np.abs(values[moving] / column[moving]).min(initial=np.inf)))
        values, column = _relu(values), column * (values > 0)
    return nearest


def _decimals(values: Array) -> Array:
    """Turn float64 into `Decimal`, exactly."""
    return np.asarray(np.frompyfunc(Decimal, 1, 1)(values))


def _relative_error(found: Array, exact: Array) -> float:
    with localcontext(prec=_DIGITS):
        wrong = _decimals(found) - exact
        squared: Any = (wrong @ wrong) / (exact @ exact)  # a Decimal
        return float(squared.sqrt())


# --- at a kink ---


@dataclass(frozen=True)
class OneSidedTable:
    """Derivatives at 0 of functions with a kink there: one row a method, one column a function."""

    functions: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]


KINKED: dict[str, Function] = {
    "ReLU(x)": torch.relu,
    "ReLU(-x)": lambda x: torch.relu(-x),
    "|x| = ReLU(x) + ReLU(-x)": lambda x: torch.relu(x) + torch.relu(-x),
    "max(x, 2x) = x + ReLU(x)": lambda x: x + torch.relu(x),
}
"""Functions of one number with a kink at 0."""


def one_sided_table(step: float = 2.0**-20) -> OneSidedTable:
    """Differentiate each of `KINKED` at 0 by differences of this step, by Eq. 6, and from the right and the left."""
    zero = torch.zeros(1, dtype=torch.float64)

    def difference(ahead: float, behind: float) -> Callable[[Function], torch.Tensor]:
        return lambda f: (f(zero + ahead * step) - f(zero - behind * step)) / ((ahead + behind) * step)

    methods: dict[str, Callable[[Function], torch.Tensor]] = {
        "forward difference": difference(1, 0),
        "backward difference": difference(0, 1),
        "central difference": difference(1, 1),
        "complex step, Eq. 6": lambda f: literal_jacobian(f, zero),
        'jacobian, kinks="right"': lambda f: jacobian(f, zero, kinks="right"),
        'jacobian, kinks="left"': lambda f: jacobian(f, zero, kinks="left"),
        'jacobian, kinks="mean"': lambda f: jacobian(f, zero, kinks="mean"),
    }
    rows = {name: tuple(float(method(f)) for f in KINKED.values()) for name, method in methods.items()}
    return OneSidedTable(tuple(KINKED), rows)
