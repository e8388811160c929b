import json
import shutil

import pytest
import torch

import imagrad
from imagrad import runs
from imagrad.data.datasets import load_dataset
from imagrad.errors import CorruptDataError, RunFolderError
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.models.saved import DEFAULT, load


@pytest.fixture
def run(tmp_path):
    """A run folder with a small network."""
    config = NetworkConfig("dense", (1, 8, 8), (6,), 3)
    path = runs.create(tmp_path / "run", {"command": "train", "network": config.as_dict()})
    write_weights(path, build(config, seed=4).state_dict())
    return path


def write_weights(path, tensors):
    """Write weights as of the run's config."""
    runs.write_tensors(path / runs.WEIGHTS, tensors, {"epochs": 1, "cause": runs.hash_cause(runs.read_config(path))})


def test_load(run):
    network = load(run)
    expected = build(NetworkConfig("dense", (1, 8, 8), (6,), 3), seed=4)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), expected.parameters(), strict=True))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert imagrad.load(str(run)).config == network.config


def test_shipped_network_is_the_papers_and_small():
    network = imagrad.load()
    assert network.config == NetworkConfig("dense", (1, 28, 28), (128,), 32)
    assert (DEFAULT / runs.WEIGHTS).stat().st_size < 1_000_000
    config = runs.read_config(DEFAULT)
    assert config["training"]["epochs"] == 100 and config["training"]["kappa"] == 0.15
    assert len(config["data"]["train"]["sha256"]) == 64
    assert "imagrad train --data mnist" in runs.read_json(DEFAULT / runs.ENVIRONMENT)["command"]
    assert runs.read_json(DEFAULT / runs.METRICS)["model_sha256"] == runs.hash_tensors(network.state_dict())


def test_shipped_network_has_the_papers_loss_on_real_mnist(mnist_folder):
    """Section 5.2: 'in the range of 0.08-0.09', training and test; computed here with numbers of our own."""
    network = imagrad.load()
    for split in ("train", "test"):
        images = load_dataset(f"mnist:{split}[:10000]", data_dir=str(mnist_folder)).images()
        noisy = (images + 0.15 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
        pixels = network(noisy).double().clamp(1e-12, 1 - 1e-12)
        loss = -(images * pixels.log() + (1 - images) * (1 - pixels).log()).mean()
        assert 0.08 <= float(loss) <= 0.09, split


def test_shipped_network_was_trained_on_the_real_mnist(mnist_folder):
    config = runs.read_config(DEFAULT)
    assert load_dataset("mnist:test", data_dir=str(mnist_folder)).fingerprint == config["data"]["validation"]["sha256"]


def edit(path, **changes):
    config = json.loads((path / runs.CONFIG).read_text())
    (path / runs.CONFIG).write_text(json.dumps({**config, **changes}))


def described(**changes):
    return {"network": "dense", "image_shape": [1, 8, 8], "hidden": [6], "latents": 3, **changes}


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            described(hidden=[7]),
            r"do not match its config\.json: decoder\.0\.bias must be \(7,\) torch\.float32; it is \(6,\)",
        ),
        (described(hidden=[]), r"decoder\.0\.bias"),
        (described(hidden=[6, 6]), r"decoder\.2\.bias must be \(6,\)"),
        (described(network="os.system"), "unknown network 'os.system'"),
        ({"latents": 3}, "a network config has the keys"),
        ([1], r"a network config has the keys .* got \[1\]"),
        (described(latents="three"), "cannot build a network from"),
    ],
)
def test_config_that_does_not_fit(run, network, message):
    edit(run, network=network)
    tensors, _ = runs.read_tensors(run / runs.WEIGHTS)
    write_weights(run, tensors)
    with pytest.raises(RunFolderError, match=message):
        load(run)


def test_weights_of_another_run_of_the_same_sizes(run, tmp_path):
    other = runs.create(tmp_path / "other", {**runs.read_config(run), "training": {"seed": 7, "epochs": 3}})
    write_weights(other, build(NetworkConfig("dense", (1, 8, 8), (6,), 3), seed=7).state_dict())
    assert load(other).config.latents == 3
    shutil.copy(other / runs.WEIGHTS, run / runs.WEIGHTS)
    with pytest.raises(
        RunFolderError, match=r"do not belong to its config\.json: they were trained with other settings"
    ):
        load(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda weight: weight.double(),
            r"encoder\.1\.bias must be \(6,\) torch\.float32; it is \(6,\) torch\.float64",
        ),
        (lambda weight: weight * torch.nan, r"must be finite; decoder\.0\.bias has NaN or infinity"),
    ],
)
def test_weights_of_another_type_or_without_value(run, change, message):
    tensors, _ = runs.read_tensors(run / runs.WEIGHTS)
    changed = {k: change(v) if "nan" in message.lower() or k == "encoder.1.bias" else v for k, v in tensors.items()}
    write_weights(run, changed)
    with pytest.raises(RunFolderError, match=message):
        load(run)


def test_folder_without_a_network(run):
    runs.write_json(run / runs.CONFIG, {"format": runs.FORMAT, "command": "explain"})
    with pytest.raises(RunFolderError, match="holds no network; it was made by `imagrad explain`"):
        load(run)


def test_training_that_has_not_come_to_its_first_epoch(run):
    (run / runs.WEIGHTS).unlink()
    with pytest.raises(RunFolderError, match=r"has no weights\.safetensors yet"):
        load(run)


def test_changed_weights(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    content = bytearray((run / runs.WEIGHTS).read_bytes())
    content[-2] ^= 1
    (run / runs.WEIGHTS).write_bytes(content)
    with pytest.raises(CorruptDataError, match="was changed after imagrad wrote it"):
        load(run)
    assert load(tmp_path / "copy").config.latents == 3


def test_no_such_folder(tmp_path):
    with pytest.raises(RunFolderError, match=r"expected a run folder, found nothing at .*imagrad train --out"):
        load(tmp_path / "nowhere")
