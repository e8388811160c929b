"""`imagrad explain --out maps.zarr` and what it refuses; the store itself is tested in tests/store."""

import json

import numpy as np
import pytest
import torch
import zarr
from PIL import Image
from torch import nn

import imagrad
from imagrad.cli.main import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Weights of a small network of our own, with the config beside them."""
    from imagrad.models.autoencoders import NetworkConfig, build

    folder = tmp_path_factory.mktemp("model")
    network = build(NetworkConfig("dense", (1, 8, 8), (6,), 3), 1)
    torch.save(network.state_dict(), folder / "net.pt")
    (folder / "net.json").write_text(json.dumps({"network": network.config.as_dict()}))
    return str(folder / "net.pt")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def explain(model, *options):
    return main(["explain", model, "--data", "digits:test[:10]", "--out", "maps.zarr", *options])


def test_maps_are_those_of_saliency_and_the_same_command_goes_on(here, model, capsys):
    options = ("--codes", "--spectrum", "--latent-maps", "0", "2", "--block-size", "4")
    assert explain(model, *options) == 0
    told = capsys.readouterr().out
    assert "maps.zarr holds maps of 10 of 10 images" in told and "latent_maps: 10 x 2 x 1 x 8 x 8" in told
    found = zarr.open_group("maps.zarr", mode="r")
    network = imagrad.open_network(model)
    images = imagrad.load_dataset("digits:test[:10]").images()
    result = imagrad.saliency(network.encode, images)
    assert np.allclose(found["maps"][:], result.maps.numpy(), rtol=1e-5, atol=1e-6)  # float32, other batches
    assert np.allclose(found["codes"][:], result.codes.numpy(), rtol=1e-5, atol=1e-6)
    rows = imagrad.jacobian(network.encode, images, latents=[0, 2])
    assert np.allclose(found["latent_maps"][:], rows.numpy(), rtol=1e-5, atol=1e-7)

    assert explain(model, *options, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["complete"] and result["done"] == 10 and result["missing"] == {}
    assert explain(model, *options, "--norm", "l1") == 1
    assert "norm: the store has l2, asked for is l1" in capsys.readouterr().err


def test_an_image_that_cannot_be_read(here, model, capsys):
    (here / "pictures").mkdir()
    for k in range(4):
        Image.fromarray(np.full((8, 8), 50 * k, np.uint8)).save(here / "pictures" / f"{k}.png")
    (here / "pictures" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    given = ["explain", model, "--data", "pictures", "--out", "maps.zarr"]
    assert main(given) == 0
    told = capsys.readouterr().out
    assert "maps.zarr holds maps of 3 of 4 images" in told
    assert "1 image could not be read, and is NaN in the maps" in told and "  0.png: " in told
    assert main([*given, "--strict"]) == 1
    assert "0.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "maps.zarr", "--part", "decoder"], "--part cannot be kept in a store"),
        (["--out", "maps.zarr", "--units", "spread", "--traversal", "2"], "--units, --traversal cannot be kept"),
        (["--out", "run", "--codes"], "--codes goes with a store: --out maps.zarr; got --out run"),
        (["--workers", "2", "--block-size", "8"], "--workers, --block-size goes with a store"),
        (["--out", "maps.zarr", "--latents", "0", "7"], r"7"),
    ],
)
def test_options_that_do_not_go_together(here, model, capsys, options, message):
    assert main(["explain", model, "--data", "digits:test[:4]", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_network_of_others_is_looked_at_first(here, capsys):
    class Mixing(nn.Module):
        def forward(self, images):
            return (images - images.mean(dim=0)).flatten(1)

    many = ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(Mixing(), (torch.rand(8, 1, 8, 8),), dynamic_shapes=many), "net.pt2")
    assert explain("net.pt2", "--trust") == 1
    assert "cannot be explained as it is" in capsys.readouterr().err and not (here / "maps.zarr").exists()
