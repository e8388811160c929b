"""Section 4 held to its word: the orders of the errors, how small they get, and what a kink has for a derivative."""

from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from torch import nn

from imagrad.complexstep import literal_jacobian
from imagrad.data.datasets import load_dataset
from imagrad.data.fitting import Fit
from imagrad.errors import InputError
from imagrad.models.saved import load
from imagrad.reproduce import step_error
from imagrad.reproduce.step_error import (
    EPSILON,
    KINKED,
    STEPS,
    StepErrors,
    autoencoder_layers,
    complex_step,
    dense_layers,
    encoder_layers,
    evaluate,
    exact_column,
    measure_step_errors,
    nearest_kink,
    one_sided_table,
)

from ..marks import slow

PICTURE = Path(__file__).parents[2] / "examples/seven.jpg"
PIXEL = 542  # the most salient one, and not black
LAYERS = {"encoder": encoder_layers, "autoencoder": autoencoder_layers}


@pytest.fixture(scope="module")
def shipped():
    return load()


@pytest.fixture(scope="module")
def seven(shipped):
    return load_dataset(str(PICTURE), fit=Fit(shipped.config.image_shape, "pad", invert=True)).images()[0]


@pytest.fixture(scope="module")
def measured(shipped, seven):
    return {name: measure_step_errors(layers(shipped), seven, PIXEL) for name, layers in LAYERS.items()}


@pytest.fixture
def small(autoencoder):
    """The layers of a 64 - 16 - 5 - 16 - 64 network, a point, and a pixel that moves something."""
    point = np.random.default_rng(4).random(64)
    return autoencoder_layers(autoencoder), point, 20


def line_through(network, image, pixel):
    """The network as a function of how far the pixel has moved."""
    direction = torch.zeros(image.numel(), dtype=torch.float64).index_fill(0, torch.tensor(pixel), 1)
    start, along = image.double()[None], direction.reshape(1, *image.shape)
    return lambda t: network(start + t * along)


# --- Eq. 1 and 2 ---


def test_errors_fall_with_the_power_of_the_step_that_taylor_gives(measured):
    errors = measured["autoencoder"]
    assert errors.slope("forward") == pytest.approx(1, abs=0.1)
    assert errors.slope("central") == pytest.approx(2, abs=0.1)
    assert errors.slope("complex_step") == pytest.approx(2, abs=0.1)


def test_a_piecewise_linear_encoder_has_no_truncation_error(measured):
    errors = measured["encoder"]
    assert [errors.slope(method) for method in ("forward", "central", "complex_step")] == [None] * 3
    assert errors.complex_step.max() < 1e-14  # at every step, 0.1 too: Eq. 6 switches nothing
    assert errors.forward[errors.steps > errors.nearest_kink].min() > 1e-2, "a difference across a kink is wrong"


@pytest.mark.parametrize("name", LAYERS)
def test_complex_step_is_exact_to_rounding_from_1e_8_to_1e_300(measured, name):
    errors = measured[name]
    small = errors.steps < 1.01e-8
    assert errors.steps[small].max() == pytest.approx(1e-8) and errors.steps.min() == pytest.approx(1e-300)
    assert errors.complex_step[small].max() < 1e-14  # 3e-16 and 1e-15 were seen


def test_differences_never_get_there(measured):
    """The best step: about sqrt(eps) for forward, the cube root for central; below 1e-17 nothing moves at all."""
    smooth, linear = measured["autoencoder"], measured["encoder"]
    assert smooth.forward.min() > 1e-8 and smooth.central.min() > 1e-11
    assert linear.forward.min() > 1e-14 and linear.central.min() > 1e-14  # eps / h at the kink, which is near 0.007
    for errors in measured.values():
        assert np.all(errors.forward[errors.steps < 1e-18] == 1) and np.all(errors.central[errors.steps < 1e-18] == 1)
        tiny = (errors.steps < 1e-7) & (errors.steps > 1e-16)
        assert np.all(errors.central[tiny] > EPSILON / errors.steps[tiny] / 10), "rounding is eps / h"


@pytest.mark.parametrize("h", [1e-16, *slow(1e-1, 1e-2, 1e-4, 1e-100, 1e-200)])
@pytest.mark.parametrize(("name", "network"), [("encoder", "encode"), ("autoencoder", "reconstruct")])
def test_matrix_form_is_what_the_product_computes(shipped, seven, name, network, h):
    moved = line_through(getattr(load().double(), network), seven, PIXEL)
    found = literal_jacobian(moved, torch.zeros(1).double(), step=h).flatten().numpy()
    expected = complex_step(LAYERS[name](shipped), seven.double().numpy().ravel(), PIXEL, h)
    assert np.linalg.norm(found - expected) < 1e-14 * np.linalg.norm(expected)


# --- the truth ---


def test_truth_is_what_mpmath_differentiates(small):
    layers, point, pixel = small

    def run(t, row):
        values = [mpmath.mpf(float(x)) for x in point]
        values[pixel] += t
        for layer in layers:
            weight, bias = layer.weight, layer.bias
            values = [
                mpmath.fdot(zip(w.tolist(), values, strict=True)) + b
                for w, b in zip(weight, bias.tolist(), strict=True)
            ]
            if layer.activation == "relu":
                values = [max(z, 0) for z in values]
        return 1 / (1 + mpmath.exp(-values[row]))

    found = exact_column(layers, point, pixel)
    with mpmath.workdps(60):
        for row in (0, 17, 63):
            expected = mpmath.diff(lambda t, row=row: run(t, row), 0)
            assert abs(mpmath.mpf(str(found[row])) / expected - 1) < 1e-25  # mpmath's difference, in 60 digits


@pytest.mark.parametrize(("name", "network"), [("encoder", "encode"), ("autoencoder", "reconstruct")])
def test_truth_is_what_autograd_has(shipped, seven, name, network):
    moved = line_through(getattr(load().double(), network), seven, PIXEL)
    expected = torch.func.jacrev(moved)(torch.zeros(1).double()).flatten().numpy()
    found = exact_column(LAYERS[name](shipped), seven.double().numpy().ravel(), PIXEL).astype(float)
    assert np.linalg.norm(found - expected) < 1e-14 * np.linalg.norm(found)


def test_layers_compute_what_the_network_does(autoencoder, images):
    autoencoder.double()
    for layers, function in (
        (encoder_layers(autoencoder), autoencoder.encode),
        (autoencoder_layers(autoencoder), autoencoder.reconstruct),
    ):
        for image in images.double():
            found = evaluate(layers, image.numpy().ravel())
            assert found == pytest.approx(function(image[None]).numpy().ravel(), rel=1e-13, abs=1e-15)


def test_nearest_kink_is_where_the_first_relu_switches(small):
    layers, point, pixel = small
    nearest = nearest_kink(layers, point, pixel)

    def switched(t):
        moved = point + t * np.eye(1, 64, pixel)[0]
        return [np.sign(evaluate(layers[:k], moved)).tolist() for k in (1, 2, 3)]

    assert switched(-0.999 * nearest) == switched(0.999 * nearest) == switched(0)
    assert (switched(1.001 * nearest) == switched(0)) != (switched(-1.001 * nearest) == switched(0))


def test_what_never_switches_has_its_kink_at_infinity():
    assert nearest_kink(dense_layers([nn.Linear(3, 2), nn.Sigmoid()]), np.ones(3), 0) == np.inf


# --- planted faults ---


def test_relu_on_each_part_is_found(shipped, seven, monkeypatch):
    """ReLU of the imaginary part by its own sign, as some complex networks have it, loses every negative derivative."""

    def on_each_part(z):
        return np.maximum(np.real(z), 0) + (1j * np.maximum(np.imag(z), 0) if np.iscomplexobj(z) else 0)

    monkeypatch.setitem(step_error._ACTIVATIONS, "relu", on_each_part)
    errors = measure_step_errors(encoder_layers(shipped), seven, PIXEL, np.array([1e-8, 1e-100]))
    assert errors.complex_step.min() > 1e-2


def test_conjugate_sigmoid_is_found(shipped, seven, monkeypatch):
    right = step_error._sigmoid
    monkeypatch.setitem(step_error._ACTIVATIONS, "sigmoid", lambda z: right(np.conj(z)))
    errors = measure_step_errors(autoencoder_layers(shipped), seven, PIXEL, np.array([1e-100]))
    assert errors.complex_step == pytest.approx(2)  # the derivative with the wrong sign


def test_wrong_order_is_found():
    steps = STEPS[STEPS > 1e-6]
    errors = StepErrors(steps, steps**2, steps**3, steps, np.inf)
    found = errors.slope("forward"), errors.slope("central"), errors.slope("complex_step")
    assert found == pytest.approx((2, 3, 1), abs=1e-6)


def test_steps_across_a_kink_do_not_count_for_the_slope():
    steps = STEPS[STEPS > 1e-5]
    errors = np.where(steps > 1e-3, 1.0, steps)
    assert StepErrors(steps, errors, errors, errors, 1e-3).slope("forward") == pytest.approx(1, abs=1e-6)
    assert StepErrors(steps, errors, errors, errors, np.inf).slope("forward") != pytest.approx(1, abs=0.1)


# --- borders ---


@pytest.mark.parametrize("pixel", [-1, 64])
def test_a_pixel_that_is_not_there(autoencoder, images, pixel):
    with pytest.raises(InputError, match=f"`pixel` must be from 0 to 63; got {pixel}"):
        measure_step_errors(encoder_layers(autoencoder), images[0], pixel)


@pytest.mark.parametrize("modules", [[nn.Conv2d(1, 1, 3)], [nn.ReLU()], [nn.Linear(2, 2), nn.ReLU(), nn.Sigmoid()]])
def test_other_layers_are_refused(modules):
    with pytest.raises(InputError, match="layers must be Linear, each with a ReLU or Sigmoid"):
        dense_layers(modules)


# --- at a kink ---


EXPECTED = {  # of ReLU(x), ReLU(-x), |x| and max(x, 2x) at 0: by hand
    "forward difference": (1, 0, 1, 2),
    "backward difference": (0, -1, -1, 1),
    "central difference": (0.5, -0.5, 0, 1.5),
    "complex step, Eq. 6": (0, 0, 0, 1),
    'jacobian, kinks="right"': (1, 0, 1, 2),
    'jacobian, kinks="left"': (0, -1, -1, 1),
    'jacobian, kinks="mean"': (0.5, -0.5, 0, 1.5),
}


@pytest.mark.slow
def test_one_sided_table():
    table = one_sided_table()
    assert table.functions == tuple(KINKED)
    assert table.rows == EXPECTED  # exact: the step is a power of two
