"""`imagrad explain` looking into the code: parts, units, single latents, spectra, traversals, and what is refused."""

import json
from pathlib import Path

import pytest
import torch

import imagrad
from imagrad import runs
from imagrad.cli.main import main
from imagrad.models.autoencoders import NetworkConfig, build

IMAGES = "digits:test[:3]"
OVER = "digits:test[:60]"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def saved(folder, code):
    """Write the run folder of an untrained network for the digits."""
    network = NetworkConfig("dense", (1, 8, 8), (16,), 5, code)
    config = {"network": network.as_dict(), "data": {}, "training": {}}
    runs.create(folder, {"command": "train", **config})
    tensors = build(network, seed=3).state_dict()
    runs.write_tensors(folder / runs.WEIGHTS, tensors, {"cause": runs.hash_cause(config)})
    return str(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("plain") / "run", "relu")


@pytest.fixture(scope="module")
def variational(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("variational") / "run", "gaussian")


def explain(capsys, model, *arguments, data=IMAGES):
    """Explain three digits into the folder e; return exit code, stdout and stderr."""
    capsys.readouterr()
    code = main(["explain", model, "--data", data, "--out", "e", *arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def metrics():
    return runs.read_json(Path("e/metrics.json"))


def figures():
    return sorted(path.stem for path in Path("e/figures").glob("*.png"))


def images(selection=IMAGES):
    return imagrad.load_dataset(selection).images()


def test_without_options_nothing_is_added(plain, capsys):
    code, out, _ = explain(capsys, plain, "--json")
    assert code == 0 and figures() == ["saliency"] and "told" not in json.loads(out)
    assert set(metrics()) == {"engine", "norm", "step", "kinks", "ties", "certificate", "images"}
    assert set(runs.read_config(Path("e"))["options"]) == {
        "fit", "invert", "norm", "latents", "engine", "kinks", "certify", "seed"
    }  # fmt: skip
    assert "units" not in runs.read_tensors(Path("e/maps.safetensors"))[1]


@pytest.mark.slow
def test_everything_at_once_of_an_encoder(plain, capsys):
    asked = ("--units", "spread", "--spread-over", OVER, "--per-latent", "2", "--spectrum", "--traversal", "3")
    code, out, _ = explain(capsys, plain, *asked)
    assert code == 0 and figures() == ["latents", "latents-signed", "patterns", "saliency", "spectrum", "traversal"]
    network = imagrad.load(plain)
    spread = imagrad.spread_of(network.encode(images(OVER)))
    result = imagrad.load_result("e/maps.safetensors")
    assert torch.equal(result.maps, imagrad.saliency(network.encode, images(), latents=spread.weights).maps)
    assert result.units == "standard deviations per unit of pixel value" and result.units in out
    numbers = metrics()
    assert (numbers["units"], numbers["units_of_values"]) == ("spread", result.units)
    assert numbers["spread"] == spread.as_dict() and numbers["spread"]["images"] == 60
    top = spread.most_active(3)
    assert numbers["latents"]["latents"] == top[:2] and numbers["traversal"]["latents"] == top
    tensors, facts = runs.read_tensors(Path("e/latents.safetensors"))
    rows = imagrad.jacobian(network.encode, images(), latents=top[:2]) * spread.weights[top[:2], None, None, None]
    assert torch.allclose(tensors["maps"], rows.float(), rtol=1e-5) and facts["units"] == result.units
    own = torch.linalg.svdvals(imagrad.jacobian(network.encode, images(), latents=spread.weights).flatten(2))
    tensors, _ = runs.read_tensors(Path("e/spectrum.safetensors"))
    assert torch.allclose(tensors["singular_values"], own, atol=1e-5)  # float32
    assert numbers["spectrum"]["effective_rank"] == tensors["effective_rank"].tolist()
    assert runs.read_tensors(Path("e/traversal.safetensors"))[0]["images"].shape == (3, 7, 1, 8, 8)
    assert runs.read_config(Path("e"))["options"]["spread_over"] == OVER
    assert f"latents {top[0]}, {top[1]}: a map of each" in out and "spectrum: effective rank" in out


def test_a_decoder_shows_what_its_latents_paint(plain, capsys):
    code, out, _ = explain(capsys, plain, "--part", "decoder", "--units", "spread", "--spectrum")
    network = imagrad.load(plain)
    codes = network.encode(images())
    spread = imagrad.spread_of(codes)
    result = imagrad.load_result("e/maps.safetensors")
    expected = imagrad.saliency(network.decode, codes).maps * spread.scale.float()
    assert code == 0 and torch.allclose(result.maps, expected) and torch.equal(result.images, codes)
    assert figures() == ["latents", "latents-signed", "patterns", "spectrum"], "a code is no image to draw a map of"
    assert metrics()["images"][1]["latent"] == int(expected[1].argmax()) and "at latent" in out
    assert metrics()["units_of_values"] == "pixel value per standard deviation of the latent"
    chosen = metrics()["latents"]["latents"]
    columns = torch.func.jacrev(lambda z: network.decode(z[None])[0])(codes[0])[..., chosen].movedim(-1, 0)
    tensors, _ = runs.read_tensors(Path("e/latents.safetensors"))
    assert torch.allclose(tensors["maps"][0], columns * spread.scale[chosen, None, None, None].float(), atol=1e-6)
    assert runs.read_config(Path("e"))["data"]["sha256"] == imagrad.load_dataset(IMAGES).fingerprint


@pytest.mark.slow
def test_some_latents_of_a_decoder(plain, capsys):
    code, _, _ = explain(capsys, plain, "--part", "decoder", "--latents", "1", "3", "--spectrum")
    maps = imagrad.load_result("e/maps.safetensors").maps
    assert code == 0 and maps.isnan().tolist() == [[True, False, True, False, True]] * 3
    assert metrics()["images"][0]["latent"] in (1, 3) and set(metrics()["latents"]["latents"]) <= {1, 3}
    assert max(metrics()["spectrum"]["effective_rank"]) <= 2


@pytest.mark.slow
def test_end_to_end(plain, capsys):
    code, out, _ = explain(capsys, plain, "--part", "end-to-end", "--spectrum")
    network = imagrad.load(plain)
    result = imagrad.load_result("e/maps.safetensors")
    assert code == 0 and torch.equal(result.maps, imagrad.saliency(network.reconstruct, images()).maps)
    assert max(metrics()["spectrum"]["effective_rank"]) <= 5, "the code is a bottleneck of 5 latents"
    assert "active latents" not in out and figures() == ["patterns", "saliency", "spectrum"]


@pytest.mark.slow
@pytest.mark.parametrize(("of", "method"), [("mean", "encode"), ("log-variance", "log_variance")])
def test_of_a_variational_encoder(variational, capsys, of, method):
    code, _, _ = explain(
        capsys, variational, "--of", of, "--units", "spread", "--spread-over", OVER, "--traversal", "2"
    )
    network = imagrad.load(variational)
    means, logs = network.encode(images(OVER)), network.log_variance(images(OVER))
    of_code = imagrad.spread_of(means, logs)
    dead = of_code.dead
    weights = of_code.weights if of == "mean" else imagrad.spread_of(logs).weights * ~dead
    result = imagrad.load_result("e/maps.safetensors")
    expected = imagrad.saliency(getattr(network, method), images(), latents=weights).maps
    assert code == 0 and torch.allclose(result.maps, expected) and expected.max() > 0
    assert (
        metrics()["spread"]["dead"] == dead.nonzero()[:, 0].tolist() and "active_latents" not in metrics()["images"][0]
    )


def test_single_latents_of_a_single_image(plain, capsys):
    code, _, _ = explain(capsys, plain, "--per-latent", "2", data="digits:test[:1]")
    strongest = imagrad.load(plain).encode(images("digits:test[:1]"))[0].argsort(descending=True)[:2].tolist()
    assert code == 0 and metrics()["latents"]["latents"] == strongest and "spread" not in metrics()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--part", "encodr"], "`part` must be one of: encoder, decoder, end-to-end; got 'encodr'"),
        (["--of", "draw"], "`of` must be one of: mean, log-variance; got 'draw'"),
        (["--of", "log-variance"], "only a gaussian code has a variance"),
        (["--of", "log-variance", "--part", "decoder"], "`of` says what the encoder gives"),
        (["--units", "metres"], "`units` must be one of: raw, spread; got 'metres'"),
        (["--units", "spread", "--part", "end-to-end"], "`units` of the part end-to-end can only be raw"),
        (["--per-latent", "0"], "`--per-latent` must be 1 to 12 latents, as many as a figure shows; got 0"),
        (["--traversal", "13"], "`--traversal` must be 1 to 12 latents, as many as a figure shows; got 13"),
        (["--part", "end-to-end", "--latents", "1"], "it takes neither --latents nor --per-latent"),
        (["--part", "end-to-end", "--per-latent", "1"], "it takes neither --latents nor --per-latent"),
        (["--latents", "5"], "`--latents` must be different indices from 0 to 4; got [5]"),
        (["--units", "spread", "--data", "digits[:1]"], "how far latents spread is measured over at least 2 images"),
        (["--spread-over", "digits[5000:]", "--spectrum"], "selects no image"),
    ],
)
def test_what_does_not_go_together_is_one_line(plain, capsys, arguments, message):
    code, out, err = explain(capsys, plain, *arguments)
    assert code == 2 and out == "" and not Path("e").exists()
    assert err.startswith("imagrad explain: error: ") and message in err and len(err.splitlines()) == 1
