"""Networks of others on the command line: opened, looked at first, explained, listed."""

import json
import sys

import pytest
import torch
from torch import nn

import imagrad
from imagrad import runs
from imagrad.cli.main import main

CODE = """
from torch import nn
import torch

class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU())
        self.mean, self.out = nn.Linear(6, 3), nn.Linear(3, 64)

    def forward(self, images):
        return self.out(self.mean(self.body(images)))

class Mixing(Encoder):
    def forward(self, images):
        return super().forward(images - images.mean(dim=0))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "their_code.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("their_code", None)


EXPLAIN = ["--trust", "--data", "digits:test[:3]", "--out", "run"]


def test_explain_an_inner_tensor_of_a_class(here, capsys):
    assert main(["explain", "their_code:Encoder", "--latent", "mean", *EXPLAIN]) == 0
    result = imagrad.load_result(here / "run" / "maps.safetensors")
    network = sys.modules["their_code"].Encoder()
    rows = torch.func.vmap(torch.func.jacrev(lambda x: network.mean(network.body(x[None]))[0]))(result.images)
    assert torch.allclose(result.maps, rows.square().sum(dim=1).sqrt(), rtol=1e-5, atol=1e-7)
    assert result.codes.shape == (3, 3) and result.certificate.passed
    config = runs.read_config(here / "run")
    assert config["model"]["path"] == "their_code:Encoder" and config["model"]["latent"] == "mean"
    assert len(config["model"]["sha256"]) == 64
    assert "explained 3 images with their_code:Encoder" in capsys.readouterr().out
    assert (here / "run" / "figures" / "saliency.png").is_file()


def test_preflight_comes_first(here, capsys):
    assert main(["explain", "their_code:Mixing", *EXPLAIN]) == 1
    told = capsys.readouterr().err
    assert "cannot be explained as it is" in told and "depends on the others of its batch" in told
    assert not (here / "run").exists()


def test_what_only_an_autoencoder_has(here, capsys):
    for options in (["--part", "decoder"], ["--of", "log-variance"], ["--traversal", "2"]):
        assert main(["explain", "their_code:Encoder", "--latent", "mean", *options, *EXPLAIN]) == 2
        assert "known as an encoder alone" in capsys.readouterr().err
    assert not (here / "run").exists()


def test_trust_is_asked_for(here, capsys):
    assert main(["explain", "their_code:Encoder", "--data", "digits:test[:3]"]) == 2
    assert "their_code:Encoder is not opened without --trust" in capsys.readouterr().err
    assert "their_code" not in sys.modules


def test_sizes_that_nobody_knows(here, capsys):
    common = ["preflight", "their_code:Encoder", "--trust"]
    assert main(common) == 2
    assert "does not say what size of images it takes: give --data, or --shape" in capsys.readouterr().err
    assert main([*common, "--data", "digits:test[:3]", "--fit", "pad"]) == 2
    assert "give --shape CHANNELS HEIGHT WIDTH" in capsys.readouterr().err
    assert main([*common, "--shape", "1", "8", "8"]) == 0
    assert "ready to be explained" in capsys.readouterr().out
    assert main(["preflight", "--shape", "1", "8", "8"]) == 2
    assert "`--shape` must be (1, 28, 28), which is what the network takes; got (1, 8, 8)" in capsys.readouterr().err


def test_layers(here, capsys):
    assert main(["layers", "their_code:Encoder", "--trust", "--data", "digits", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["layers"]
    assert [row["name"] for row in rows] == ["body.0", "body.1", "body.2", "body", "mean", "out"]
    assert rows[4] == {"name": "mean", "kind": "Linear", "shape": [3]}
    assert main(["layers"]) == 0
    assert "encoder.3   Linear       32" in capsys.readouterr().out


def test_certify_an_inner_tensor(here, capsys):
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 2)), "net.pt")
    assert main(["certify", "net.pt", "--trust", "--latent", "2", "--data", "digits:test[:2]"]) == 0
    assert "2 images of digits:test[:2] with net.pt" in capsys.readouterr().out


@pytest.mark.slow
def test_check_the_encoder_of_others(here, capsys):
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh()), "net.pt")
    given = ["check", "locality", "net.pt", "--trust", "--data", "digits", "--images", "20", "--out", "out"]
    assert main(given) in (0, 1)
    assert runs.read_json(here / "out" / runs.METRICS)["check"] == "locality"
