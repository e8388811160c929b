import re

import pytest
import torch

import imagrad
from imagrad import runs
from imagrad.data.datasets import load_dataset
from imagrad.figures import draw_image_rows
from imagrad.reproduce import main_line
from imagrad.reproduce.main_line import explain_network
from imagrad.training.config import TrainingConfig
from imagrad.training.data import load_training_data
from imagrad.training.loop import generator
from imagrad.training.run import train

SMALL = TrainingConfig(data="digits[:200]", epochs=1, hidden=(8,), latents=3, kappa=0.4, seed=2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run folder of a small network."""
    out = tmp_path_factory.mktemp("runs") / "network"
    train(SMALL, load_training_data(SMALL), out)
    return out


def test_main_line_explains_the_network_it_is_given(trained, tmp_path):
    line = explain_network(trained, SMALL, tmp_path / "maps")
    network = imagrad.load(trained)
    trained_metrics = runs.read_json(trained / "metrics.json")
    assert line.metrics.items() >= trained_metrics.items()
    assert line.metrics["model_sha256"] == runs.hash_tensors(network.state_dict())
    assert (line.metrics["training_images"], line.metrics["validation_images"]) == (200, 360)
    images = load_dataset("digits:test").images()[:4]
    expected = imagrad.saliency(network.encode, images).maps
    assert torch.equal(line.result.maps, expected)
    assert line.metrics["largest_saliency"] == [float(one.max()) for one in expected]
    assert torch.equal(imagrad.load_result(tmp_path / "maps" / "maps.safetensors").maps, line.result.maps)
    assert len(line.figures) == 6 and all(path.is_file() for path in line.figures)
    assert runs.read_json(trained / "metrics.json") == trained_metrics, "the network's own folder stays as it was"


@pytest.mark.slow
def test_figures_show_what_they_say(trained, tmp_path, monkeypatch):
    drawn = []

    def remember(rows):
        drawn.append(rows)
        return draw_image_rows(rows)

    monkeypatch.setattr(main_line, "draw_image_rows", remember)
    explain_network(trained, SMALL, tmp_path / "maps")
    images = load_dataset("digits:test").images()[:8]
    noisy = (images + 0.4 * torch.randn(images.shape, generator=generator(2, 3, 0))).clamp(0, 1)
    corruption, reconstruction = drawn
    assert list(corruption) == ["clean", "gaussian noise\n$\\kappa$ = 0.4"]
    assert torch.equal(corruption["clean"], images) and torch.allclose(list(corruption.values())[1], noisy)
    assert torch.equal(reconstruction["original"], images)
    network = imagrad.load(trained)
    assert torch.allclose(list(reconstruction.values())[1], network.reconstruct(noisy), atol=1e-6)
    svg = (tmp_path / "maps/figures/figure-7-saliency.svg").read_text()
    assert [text for text in re.findall(r"label \d", svg)] == ["label 2", "label 3", "label 4", "label 5"]


@pytest.mark.slow
def test_main_line_is_repeatable(trained, tmp_path):
    first, second = (explain_network(trained, SMALL, tmp_path / name) for name in ("a", "b"))
    assert first.metrics == second.metrics
    files = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 7
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name
