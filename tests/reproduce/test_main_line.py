import re

import torch

import imagrad
from imagrad import runs
from imagrad.data.datasets import load_dataset
from imagrad.figures import draw_image_rows
from imagrad.reproduce import main_line
from imagrad.reproduce.main_line import run_main_line
from imagrad.training.config import TrainingConfig
from imagrad.training.loop import generator


def test_main_line_explains_the_network_it_trained(tmp_path):
    config = TrainingConfig(data="digits", epochs=2, hidden=(16,), latents=5)
    said = []
    line = run_main_line(config, tmp_path / "run", announce=said.append)
    network = imagrad.load(tmp_path / "run")
    assert line.metrics["model_sha256"] == runs.hash_tensors(network.state_dict())
    images = load_dataset("digits:test").images()[:4]
    assert torch.equal(line.result.maps, imagrad.saliency(network.encode, images).maps)
    assert torch.equal(imagrad.load_result(tmp_path / "run" / "maps.safetensors").maps, line.result.maps)
    assert len(line.figures) == 6 and all(path.is_file() for path in line.figures)
    assert runs.read_json(tmp_path / "run" / "metrics.json") == line.metrics
    assert said == ["training on 1437 images of digits:train for 2 epochs", "explaining the first test images"]


def test_figures_show_what_they_say(tmp_path, monkeypatch):
    drawn = []

    def remember(rows):
        drawn.append(rows)
        return draw_image_rows(rows)

    monkeypatch.setattr(main_line, "draw_image_rows", remember)
    config = TrainingConfig(data="digits[:200]", epochs=1, hidden=(8,), latents=3, kappa=0.4, seed=2)
    run_main_line(config, tmp_path / "run")
    images = load_dataset("digits:test").images()[:8]
    noisy = (images + 0.4 * torch.randn(images.shape, generator=generator(2, 3, 0))).clamp(0, 1)
    corruption, reconstruction = drawn
    assert list(corruption) == ["clean", "gaussian noise\n$\\kappa$ = 0.4"]
    assert torch.equal(corruption["clean"], images) and torch.allclose(list(corruption.values())[1], noisy)
    assert torch.equal(reconstruction["original"], images)
    network = imagrad.load(tmp_path / "run")
    assert torch.allclose(list(reconstruction.values())[1], network.reconstruct(noisy), atol=1e-6)
    svg = (tmp_path / "run/figures/figure-7-saliency.svg").read_text()
    assert [text for text in re.findall(r"label \d", svg)] == ["label 2", "label 3", "label 4", "label 5"]


def test_main_line_is_repeatable(tmp_path):
    config = TrainingConfig(data="digits[:200]", epochs=1, hidden=(8,), latents=3)
    for name in ("a", "b"):
        run_main_line(config, tmp_path / name)
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file() and path.name != "environment.json":
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name
