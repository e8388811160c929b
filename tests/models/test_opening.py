"""Networks from every kind of file are the network that was saved; none runs code that nobody trusted."""

import json
import pathlib
import pickle
import sys
import warnings
import zipfile

import joblib
import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

import imagrad
from imagrad import runs
from imagrad.errors import CorruptDataError, DataError, EncoderError, InputError, MissingDataError, UntrustedCodeError
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.models.formats import FORMATS, NetworkSource, format_of
from imagrad.models.formats.scikit import ESTIMATORS, module_of
from imagrad.models.opening import listed_layers

CODE = """
from pathlib import Path
import torch
from torch import nn

class Encoder(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Tanh())
        self.mean = nn.Linear(width, 3)
        self.out = nn.Linear(3, 64)

    def forward(self, images):
        mean = self.mean(self.body(images))
        return self.out(mean + torch.randn_like(mean))

def narrow():
    return Encoder(2)

def needs(size):
    return Encoder(size)

def fails():
    raise RuntimeError("no weights today")

def imports_late():
    import more_code
    return more_code.made

number = 3
made = nn.Flatten()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a module of somebody's code."""
    (tmp_path / "their_code.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("their_code", None)


@pytest.fixture
def theirs(here):
    """Their network, with its weights in files."""
    network = imagrad.open_network("their_code:Encoder", trust=True, latent="out")
    module = network.encode.network
    torch.save(module.state_dict(), "weights.pt")
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, "checkpoint.ckpt")
    torch.save(module, "whole.pth")
    safetensors.torch.save_file(module.state_dict(), "weights.safetensors")
    return module


def mean_of(module, images):
    with torch.no_grad():
        return module.mean(module.body(images))


@pytest.mark.parametrize(
    ("path", "class_path"),
    [
        ("weights.pt", "their_code:Encoder"),
        ("checkpoint.ckpt", "their_code:Encoder"),
        ("weights.safetensors", "their_code:Encoder"),
        ("whole.pth", None),
    ],
)
def test_weights_of_a_class(theirs, images, path, class_path):
    network = imagrad.open_network(path, latent="mean", class_path=class_path, trust=True)
    assert torch.equal(network.encode(images), mean_of(theirs, images))
    assert network.image_shape is None and network.autoencoder is None and network.name == path
    assert not network.encode.training and not any(p.requires_grad for p in network.encode.parameters())


def test_it_is_explained(theirs, images):
    """With a random draw behind the code, which does not count."""
    encode = imagrad.open_network("weights.pt", latent="mean", class_path="their_code:Encoder", trust=True).encode
    result = imagrad.saliency(encode, images)
    rows = torch.vmap(torch.func.jacrev(lambda one: theirs.mean(theirs.body(one[None]))[0]))(images)
    assert torch.allclose(result.maps, rows.square().sum(dim=1).sqrt(), rtol=1e-5)


def test_a_config_beside_the_weights(here, images):
    """A registered network needs no trust; one by its class path does."""
    network = build(NetworkConfig("dense", (1, 8, 8), (6,), 3), 1)
    torch.save(network.state_dict(), "ours.pt")
    (here / "ours.json").write_text(json.dumps({"network": network.config.as_dict()}))
    opened = imagrad.open_network("ours.pt")
    assert torch.equal(opened.encode(images), network.encode(images)) and opened.image_shape == (1, 8, 8)
    assert opened.part("decoder").takes_codes and opened.has_relu
    (here / "ours.json").write_text(json.dumps({"network": "their_code:Encoder", "arguments": {"width": 2}}))
    imagrad.open_network("their_code:narrow", trust=True)
    torch.save(sys.modules["their_code"].narrow().state_dict(), "ours.pt")
    assert imagrad.open_network("ours.pt", trust=True, latent="mean").encode(images).shape == (4, 3)


def test_a_run_folder_and_its_weights_alone(images):
    folder = imagrad.models.saved.DEFAULT
    whole, weights, shipped = (imagrad.open_network(x) for x in (folder, folder / runs.WEIGHTS, None))
    image = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(whole.encode(image), weights.encode(image))
    assert torch.equal(whole.encode(image), shipped.encode(image))
    assert whole.sha256 == weights.sha256 == shipped.sha256 == runs.hash_tensors(imagrad.load().state_dict())
    assert shipped.name == "the network that ships with imagrad"


def test_a_module_is_left_as_it_is(here, images):
    """Its mode, and its weights' wish for a gradient."""
    imagrad.open_network("their_code:Encoder", trust=True)
    module = sys.modules["their_code"].Encoder().train()
    network = imagrad.open_network(module, latent="mean")
    assert torch.equal(network.encode(images), module.mean(module.body(images)))
    assert module.training and all(p.requires_grad for p in module.parameters()) and network.name == "Encoder"
    assert network.sha256 == runs.hash_tensors(module.state_dict())
    assert [layer.name for layer in network.layers(images)][-2:] == ["mean", "out"]


def test_code_that_imports_late(here):
    """From the current folder, too."""
    (here / "more_code.py").write_text("from torch import nn\nmade = nn.Flatten()\n")
    assert isinstance(imagrad.open_network("their_code:imports_late", trust=True).encode, nn.Flatten)
    sys.modules.pop("more_code")


# --- exported by torch ---


@pytest.fixture
def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).eval()


def test_exported_program(here, plain, images):
    program = torch.export.export(plain, (images,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, "net.pt2")
    opened = imagrad.open_network("net.pt2", trust=True)
    assert torch.equal(opened.encode(images[:3]), plain(images[:3])) and opened.image_shape == (1, 8, 8)
    assert [layer.name for layer in opened.layers(images)] == ["0", "1", "2", "3", "4"]
    inner = imagrad.open_network("net.pt2", trust=True, latent="2")
    assert torch.equal(inner.encode(images[:3]), plain[:3](images[:3]))
    assert imagrad.saliency(inner.encode, images).certificate.passed


def test_exported_for_one_image(here, plain, images):
    """As torch.export does by default: any number is taken, one after the other, also of an inner tensor."""
    torch.export.save(torch.export.export(plain, (images[:1],)), "net.pt2")
    for latent, expected in ((None, plain), ("2", plain[:3])):
        opened = imagrad.open_network("net.pt2", trust=True, latent=latent)
        assert torch.allclose(opened.encode(images), expected(images), rtol=1e-5, atol=1e-6)
        assert imagrad.saliency(opened.encode, images).certificate.passed


class Several(nn.Module):
    def forward(self, images):
        return {"mean": images.flatten(1).sin(), "more": (images.flatten(1).cos(), 3)}


def test_one_of_several_results(images):
    with pytest.raises(EncoderError, match=r"--latent output.NAME.*it holds: 'mean' \(4, 64\), 'more.0' \(4, 64\)"):
        imagrad.saliency(imagrad.open_network(Several()).encode, images)
    network = imagrad.open_network(Several(), latent="output.more.0")
    assert torch.equal(network.encode(images), images.flatten(1).cos())
    assert [layer.name for layer in network.layers(images)] == ["output.mean", "output.more.0"]


@pytest.mark.parametrize("how", ["script", "trace"])
def test_torchscript(here, plain, images, how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.script(plain) if how == "script" else torch.jit.trace(plain, images)
        torch.jit.save(script, "net.pt")  # the suffix of a state dict: its content decides
    opened = imagrad.open_network("net.pt", trust=True)
    assert torch.equal(opened.encode(images[:1]), plain(images[:1]))
    assert torch.equal(opened.encode(images[:3]), plain(images[:3]))
    assert imagrad.saliency(opened.encode, images).certificate.passed


# --- Keras ---


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # Keras's own
def test_a_keras_model(here, images):
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    given = keras.Input((8, 8, 1))
    features = keras.layers.Conv2D(3, 3, activation="relu")(given)
    features = keras.layers.Flatten()(keras.layers.BatchNormalization()(features))
    model = keras.Model(given, keras.layers.Dense(4, name="out")(keras.layers.Dense(2, name="mean")(features)))
    model.save("net.keras")
    opened = imagrad.open_network("net.keras", trust=True, latent="mean")
    mean = keras.Model(model.input, model.get_layer("mean").output)
    expected = mean(images.movedim(1, -1))
    assert torch.equal(opened.encode(images), expected) and opened.image_shape == (1, 8, 8)
    assert imagrad.open_network("net.keras", trust=True).encode(images).shape == (4, 4)
    rows = torch.stack([torch.func.jacrev(lambda x: mean(x[None].movedim(1, -1))[0])(image) for image in images])
    found = imagrad.saliency(opened.encode, images)
    assert torch.allclose(found.maps, rows.square().sum(dim=1).sqrt().detach(), rtol=1e-4, atol=1e-6)
    layers = listed_layers(NetworkSource("net.keras", trust=True))
    assert [layer.name for layer in layers][-2:] == ["mean", "out"] and layers[-1].shape == (4,)
    with pytest.raises(InputError, match="'means' is no layer of this Keras model; it has input_layer, conv2d"):
        imagrad.open_network("net.keras", trust=True, latent="means")


# --- scikit-learn ---


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).random((60, 64))


def fitted(estimator, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        labelled = isinstance(estimator, MLPClassifier)
        return estimator.fit(rows, np.arange(60) % 3) if labelled else estimator.fit(rows, rows)


def answer_of(estimator, rows):
    for name in ("transform", "predict_proba", "predict"):
        if hasattr(estimator, name):
            return getattr(estimator, name)(rows)
    raise AssertionError(estimator)


ESTIMATED = {
    "MLPClassifier": lambda: MLPClassifier((7,), activation="logistic", max_iter=3, random_state=0),
    "MLPRegressor": lambda: MLPRegressor(
        hidden_layer_sizes=(7, 3, 7), activation="tanh", max_iter=3, random_state=0
    ),
    "PCA": lambda: PCA(4, whiten=True, svd_solver="full"),
    "StandardScaler": StandardScaler,
    "MinMaxScaler": lambda: MinMaxScaler((-1, 1)),
    "Pipeline": lambda: make_pipeline(StandardScaler(with_std=False), "passthrough", PCA(3, svd_solver="full")),
}  # fmt: skip


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_do_what_scikit_learn_does(rows, name):
    estimator = fitted(ESTIMATED[name](), rows)
    found = module_of(estimator)(torch.from_numpy(rows).float())
    expected = answer_of(estimator, rows)
    assert np.abs(found.numpy() - expected).max() <= 1e-5 * np.abs(expected).max()  # float32


def test_an_estimator_in_a_file(here, rows, images):
    estimator = fitted(ESTIMATED["MLPRegressor"](), rows)
    joblib.dump(estimator, "auto.joblib")
    opened = imagrad.open_network("auto.joblib", trust=True, latent="activation_1")
    hidden = np.tanh(images.flatten(1).double().numpy() @ estimator.coefs_[0] + estimator.intercepts_[0])
    expected = np.tanh(hidden @ estimator.coefs_[1] + estimator.intercepts_[1])
    assert np.abs(opened.encode(images).numpy() - expected).max() < 1e-6
    assert any("rounded from float64 to float32" in note for note in opened.notes)
    assert any("rows of 64 numbers" in note for note in opened.notes)


def test_estimators_that_cannot_be_explained(rows):
    with pytest.raises(
        InputError,
        match=r"MLPRegressor, MinMaxScaler, PCA, Pipeline, StandardScaler can be explained; got LinearRegression",
    ):
        module_of(LinearRegression())
    with pytest.raises(InputError, match="PCA must be fitted before it is explained"):
        module_of(PCA())
    with pytest.raises(InputError, match="MinMaxScaler with clip=True is not supported"):
        module_of(MinMaxScaler(clip=True).fit(rows))


# --- no code without trust ---


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def plant_pickle(path, touched):
    path.write_bytes(pickle.dumps({"weights": Payload(touched)}))


def plant_torch_save(path, touched):
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "more": Payload(touched)}, path)


def plant_exported(path, touched):
    """Exchange the pickled example inputs of a good file."""
    good = path.with_name("good.pt2")
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(3, 2),)), good)
    evil = path.with_name("evil.pt")
    torch.save(Payload(touched), evil)
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, evil.read_bytes() if "sample_inputs" in name else old.read(name))


def plant_run_folder(path, touched):
    path.mkdir()
    (path.parent / "planted.py").write_text(f"import pathlib\npathlib.Path({str(touched)!r}).touch()\n")
    config = {"format": runs.FORMAT, "network": {"network": "planted:Encoder"}}
    (path / runs.CONFIG).write_text(json.dumps(config))
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path / runs.WEIGHTS)


PLANTS = {
    "state.pt": plant_torch_save,
    "pickle.pt": plant_pickle,
    "estimator.pkl": plant_pickle,
    "estimator.joblib": plant_pickle,
    "program.pt2": plant_exported,
    "run": plant_run_folder,
}


@pytest.mark.parametrize("name", PLANTS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of what the payload leaves of the file
def test_a_payload_does_not_run_unless_trusted(here, name):
    touched = here / "touched"
    PLANTS[name](here / name, touched)
    touched.unlink(missing_ok=True)  # saving an object may call what it reduces to
    with pytest.raises(
        UntrustedCodeError, match=rf"{name}(/weights.safetensors)? is not opened without --trust \(trust=True\): "
    ):
        imagrad.open_network(name)
    assert not touched.exists()
    with pytest.raises((InputError, DataError)):  # the file holds no network
        imagrad.open_network(name, trust=True)
    assert touched.exists(), "the payload is harmless in itself: the test tests nothing"
    sys.modules.pop("planted", None)


def test_loading_a_run_folder_follows_no_class_path(here):
    touched = here / "touched"
    plant_run_folder(here / "run", touched)
    with pytest.raises(imagrad.ImagradError):
        imagrad.load(here / "run")
    assert not touched.exists()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_that_runs_code_says_so(name):
    assert (FORMATS[name].runs_code is not None) == ("needs --trust" in FORMATS[name].summary)


@pytest.mark.parametrize("path", ["x.pt2", "x.ts", "x.keras", "x.h5", "x.pkl", "x.joblib", "package.module:Name"])
def test_formats_that_run_code_are_not_even_looked_for_without_trust(path):
    with pytest.raises(UntrustedCodeError, match="safetensors, state dicts and ONNX files run no code"):
        format_of(NetworkSource(path))


def test_kinds_do_not_overlap(theirs):
    for path in ("weights.pt", "whole.pth", "weights.safetensors", "a.onnx", "a.pt2", "a.keras", "a.b:C", "a.pkl"):
        assert len([name for name in FORMATS if FORMATS[name].claims(path)]) == 1, path


# --- what is wrong is said ---


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (dict(source="nowhere"), MissingDataError, "no network at nowhere: neither a run folder, nor a file"),
        (dict(source="their_code.py"), InputError, r"no file that a network is read from; the kinds that are: class"),
        (dict(source="no.safetensors"), MissingDataError, "there is no file no.safetensors"),
        (dict(source="weights.pt"), MissingDataError, r"weights.pt holds weights alone.*in weights.json beside it"),
        (dict(source="weights.pt", class_path="their_code:Encoder"), UntrustedCodeError, "importing a class runs"),
        (dict(source="weights.pt", class_path="no_such:Encoder", trust=True), InputError, "cannot find no_such:Enc"),
        (dict(source="their_code:Missing", trust=True), InputError, "cannot find their_code:Missing"),
        (dict(source="their_code:number", trust=True), InputError, "could not be called with no arguments"),
        (dict(source="their_code:needs", trust=True), InputError, "Name a function without arguments"),
        (dict(source="their_code:Path", trust=True), EncoderError, r"must be a torch.nn.Module.*it is a Posix"),
        (
            dict(source="their_code:fails", trust=True),
            InputError,
            "cannot make their_code:fails: .*RuntimeError: no w",
        ),
        (
            dict(source="broken_code:Any", trust=True),
            InputError,
            "cannot import broken_code: its code raised Synt",
        ),
        (
            dict(class_path="their_code:Encoder", trust=True),
            InputError,
            "--class their_code:Encoder.*no file of weig",
        ),
        (
            dict(source="weights.pt", class_path="their_code:narrow", trust=True),
            InputError,
            r"are not those of Encoder: 3 of other shapes \(body.1.weight \(4, 64\) for \(2, 64\), body",
        ),
        (
            dict(source="prefixed.pt", class_path="their_code:Encoder", trust=True),
            InputError,
            r"6 missing \(body.1.weight, .*, \.\.\.\); 6 not known to it .*; they are all called model.NAME",
        ),
        (dict(source="whole.pth", latent="means", trust=True), InputError, "'means' names no module.*near: mean"),
        (dict(source="list.pt", class_path="their_code:Encoder", trust=True), InputError, "must hold a state dict"),
        (dict(source="broken.pt"), UntrustedCodeError, "holds more than tensors, or is damaged"),
        (dict(source="broken.pt", trust=True), CorruptDataError, "cannot read broken.pt"),
        (dict(source="broken.safetensors"), CorruptDataError, "cannot read broken.safetensors as safetensors"),
        (dict(source="broken.pt2", trust=True), CorruptDataError, "cannot read broken.pt2 as an exported program"),
        (dict(source="broken.ts", trust=True), CorruptDataError, "cannot read broken.ts as TorchScript"),
        (dict(source="broken.joblib", trust=True), CorruptDataError, "cannot read broken.joblib"),
    ],
)
def test_what_cannot_be_opened(theirs, here, source, error, message):
    torch.save([1, 2], "list.pt")
    torch.save({f"model.{name}": value for name, value in theirs.state_dict().items()}, "prefixed.pt")
    (here / "broken_code.py").write_text("def f(:")
    for suffix in ("pt", "safetensors", "pt2", "ts", "joblib"):
        (here / f"broken.{suffix}").write_bytes(b"no network at all")
    with pytest.raises(error, match=message):
        imagrad.open_network(**source)


def test_an_encoder_alone_has_no_other_parts(theirs):
    network = imagrad.open_network("whole.pth", latent="mean", trust=True)
    assert network.part().encode is network.encode
    with pytest.raises(EncoderError, match="known as an encoder alone: it has no decoder to explain"):
        network.part("decoder")
    with pytest.raises(EncoderError, match="it has no log-variance to explain"):
        network.part("encoder", "log-variance")
