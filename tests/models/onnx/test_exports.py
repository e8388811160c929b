"""Exported networks, by both exporters of torch, by Keras and scikit-learn: equal in values and derivatives."""

import contextlib
import io
import logging
import subprocess
import sys
import warnings
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from imagrad import jacobian, saliency
from imagrad.models.onnx import read_onnx

from .networks import network

DYNAMO, TORCHSCRIPT = "dynamo", "torchscript"
ROUNDING = 2e-6  # float32, relative: some dozen layers


@pytest.fixture(autouse=True)
def quiet():
    """The exporters warn, log and print."""
    logging.disable(logging.CRITICAL)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def export(module, path, exporter, *, is_dynamic=True, dtype=torch.float32, version=None):
    """Export for any number of images, or for one."""
    example = torch.rand(2 if is_dynamic else 1, 1, 8, 8, dtype=dtype)
    if exporter == DYNAMO:
        shapes = ({0: torch.export.Dim("batch")},) if is_dynamic else None
        torch.onnx.export(
            module, (example,), path, dynamo=True, opset_version=version, external_data=False, dynamic_shapes=shapes
        )
    else:
        axes = {"x": {0: "batch"}} if is_dynamic else None
        torch.onnx.export(
            module, (example,), path, dynamo=False, opset_version=version, input_names=["x"], dynamic_axes=axes
        )
    return path


def images_of(count=3, dtype=torch.float32):
    return torch.rand(count, 1, 8, 8, dtype=dtype, generator=torch.Generator().manual_seed(1))


def check_same(found, function, images, rounding=ROUNDING):
    """Values and Jacobians are those of the network that was exported."""
    expected = function(images).detach()
    torch.testing.assert_close(found(images), expected, rtol=0, atol=rounding * float(expected.abs().max()))
    rows = torch.stack([torch.func.jacrev(lambda x: function(x[None])[0])(image) for image in images]).detach()
    off = (jacobian(found, images).reshape(rows.shape) - rows).abs().max() / rows.abs().max()
    assert off <= rounding


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


EXPORTS = [
    ("conv", DYNAMO, True, None),
    *(
        slow(name, exporter, is_dynamic, None)
        for name in ("conv", "residual", "transformer")
        for exporter in (DYNAMO, TORCHSCRIPT)
        for is_dynamic in (True, False)
        if (name, exporter, is_dynamic) != ("conv", DYNAMO, True)
    ),
    slow("recurrent", DYNAMO, True, None),
    slow("recurrent", TORCHSCRIPT, False, None),
    *(slow("residual", DYNAMO, True, version) for version in (18, 23)),
    *(slow("transformer", exporter, True, version) for exporter, version in ((DYNAMO, 18), (TORCHSCRIPT, 14))),
    slow("conv", TORCHSCRIPT, True, 9),
]


@pytest.mark.parametrize(("name", "exporter", "is_dynamic", "version"), EXPORTS)
def test_an_exported_network_is_the_network(tmp_path, name, exporter, is_dynamic, version):
    module = network(name)
    path = export(module, tmp_path / "net.onnx", exporter, is_dynamic=is_dynamic, version=version)
    check_same(read_onnx(path), module, images_of())


@pytest.mark.parametrize("exporter", [slow(DYNAMO), TORCHSCRIPT])
def test_each_output_of_an_encoder_can_be_the_code(tmp_path, exporter):
    module = network("dense")
    path = export(module, tmp_path / "net.onnx", exporter)
    for k, output in enumerate(onnx.load(path).graph.output):
        check_same(read_onnx(path, latent=output.name), lambda x, k=k: module(x)[k], images_of())


def test_an_inner_tensor_is_the_layer(tmp_path):
    module = network("dense")
    path = export(module, tmp_path / "net.onnx", TORCHSCRIPT)
    found = read_onnx(path, latent="/body/body.2/Tanh")
    assert found.code == "/body/body.2/Tanh_output_0"
    check_same(found, module.body[:3], images_of())


def test_float64_is_exact(tmp_path):
    """A network exported in float64 has its derivatives to rounding of that; epsilons and factors are none of these."""
    module = network("dense", torch.float64)
    path = export(module, tmp_path / "net.onnx", TORCHSCRIPT, dtype=torch.float64)
    found = read_onnx(path, latent=onnx.load(path).graph.output[0].name)
    check_same(found, lambda x: module(x)[0], images_of(dtype=torch.float64), 1e-14)


def test_saliency_is_certified_also_in_float64(tmp_path):
    path = export(network("conv"), tmp_path / "net.onnx", TORCHSCRIPT)
    found = read_onnx(path)
    in_double = read_onnx(path).double()
    result = saliency(found, images_of(2), dtype=torch.float64)
    assert result.certificate.passed
    again = saliency(in_double, images_of(2).double())
    torch.testing.assert_close(result.maps, again.maps, rtol=1e-5, atol=1e-7)
    assert again.certificate.passed


def test_the_complex_step_in_numpy_gives_the_same_derivatives(tmp_path):
    """An independent road: ONNX's own reference evaluator, run on complex numbers."""
    from onnx.reference import ReferenceEvaluator

    module = network("piecewise")
    path = export(module, tmp_path / "net.onnx", TORCHSCRIPT)
    image = images_of(1)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype.kind == "f":
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.complex128), tensor.name))
    evaluator = ReferenceEvaluator(model)
    step, pixels = 1e-30, np.eye(64).reshape(64, 1, 1, 8, 8)
    columns = [evaluator.run(None, {"x": image.double().numpy() + 1j * step * p})[0][0].imag / step for p in pixels]
    expected = torch.from_numpy(np.stack(columns, -1)).reshape(1, 4, 1, 8, 8)
    found = jacobian(read_onnx(path).double(), image.double())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "residual", "transformer", "recurrent"])
def test_onnxruntime_gives_the_same_values(tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = export(network(name), tmp_path / "net.onnx", TORCHSCRIPT)
    (expected,) = onnxruntime.InferenceSession(path).run(None, {"x": images_of().numpy()})
    torch.testing.assert_close(read_onnx(path)(images_of()), torch.from_numpy(expected), rtol=0, atol=1e-5)


# --- scikit-learn ---


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(0)
    rows = generator.random((60, 16))
    return rows, rows @ generator.random((16, 1)), generator.integers(0, 3, 60)


def from_scikit(model, path, dtype, **options):
    skl2onnx = pytest.importorskip("skl2onnx")
    made = skl2onnx.to_onnx(model, np.zeros((1, 16), dtype), **options)
    path.write_bytes(made.SerializeToString())
    return path


def check_scikit(found, predict, rows, dtype, tolerance):
    points = rows[:3].astype(dtype)
    expected = np.asarray(predict(points)).reshape(3, -1)
    np.testing.assert_allclose(found(torch.from_numpy(points)).numpy(), expected, rtol=0, atol=tolerance)
    result = saliency(found, torch.from_numpy(points))
    assert result.certificate.passed
    return result


SCIKIT = {
    "pca": lambda: PCA(4),
    "white": lambda: PCA(4, whiten=True),
    "scaled": lambda: make_pipeline(StandardScaler(), PCA(5)),
    "tanh": lambda: MLPRegressor(hidden_layer_sizes=(8, 6), activation="tanh", max_iter=5),
    "logistic": lambda: make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(8,), activation="logistic", max_iter=5)
    ),
}


@pytest.mark.parametrize("dtype", [slow(np.float32), np.float64])
@pytest.mark.parametrize("name", ["logistic", *(slow(name) for name in ("pca", "white", "scaled", "tanh"))])
def test_scikit_learn_networks_are_read(tmp_path, table, name, dtype):
    rows, targets, _ = table
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    model = SCIKIT[name]().fit(rows, targets.ravel())
    path = from_scikit(model, tmp_path / "net.onnx", dtype)
    predict = model.predict if hasattr(model, "predict") else model.transform
    result = check_scikit(read_onnx(path), predict, rows, dtype, tolerance)
    if name == "pca":
        norms = np.linalg.norm(model.components_, axis=0)  # the map of a linear encoder is known
        np.testing.assert_allclose(result.maps.numpy(), np.tile(norms, (3, 1)), rtol=0, atol=tolerance)


@pytest.mark.slow
def test_the_probabilities_of_a_scikit_learn_classifier_are_a_code(tmp_path, table):
    rows, _, labels = table
    model = MLPClassifier(hidden_layer_sizes=(8,), max_iter=5).fit(rows, labels)
    path = from_scikit(model, tmp_path / "net.onnx", np.float64, options={"zipmap": False})
    check_scikit(read_onnx(path, latent="probabilities"), model.predict_proba, rows, np.float64, 1e-12)


# --- Keras ---

KERAS = """
import os, sys
os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy as np, torch
from keras import layers
keras.utils.set_random_seed(0)
inputs = keras.Input((8, 8, 1))
x = layers.Conv2D(4, 3, activation="relu", padding="same")(inputs)
x = layers.MaxPooling2D(2)(layers.BatchNormalization()(x))
x = layers.Conv2D(4, 3, strides=2, padding="same", activation="gelu")(x)
code = layers.Dense(5, activation="softplus")(layers.Flatten()(x))
model = keras.Model(inputs, code)
model.layers[2].moving_variance.assign(np.full(4, 0.7))
images = np.random.default_rng(0).random((3, 8, 8, 1)).astype("float32")
codes = model(images, training=False).detach().numpy()
model.export(sys.argv[1], format="onnx", verbose=False)
model.eval()
x = torch.from_numpy(images).requires_grad_(True)
value = model(x, training=False)
rows = [torch.autograd.grad(v, x, retain_graph=True)[0] for v in value.sum(0)]
np.savez(sys.argv[2], images=images, codes=codes, jacobian=torch.stack(rows, 1).numpy())
"""


@pytest.mark.slow
def test_keras_networks_are_read(tmp_path):
    """In a process of its own: Keras chooses its backend when it is imported."""
    if find_spec("keras") is None:
        pytest.skip("could not find keras")
    files = [str(tmp_path / "net.onnx"), str(tmp_path / "known.npz")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KERAS, *files], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    held = np.load(files[1])
    found = read_onnx(files[0])
    images = torch.from_numpy(held["images"])
    torch.testing.assert_close(found(images), torch.from_numpy(held["codes"]), rtol=0, atol=1e-5)
    torch.testing.assert_close(jacobian(found, images), torch.from_numpy(held["jacobian"]), rtol=0, atol=1e-5)
