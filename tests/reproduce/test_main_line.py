import torch

import imagrad
from imagrad import runs
from imagrad.data.datasets import load_dataset
from imagrad.reproduce.main_line import run_main_line
from imagrad.training.config import TrainingConfig


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


def test_main_line_is_repeatable(tmp_path):
    config = TrainingConfig(data="digits[:200]", epochs=1, hidden=(8,), latents=3)
    for name in ("a", "b"):
        run_main_line(config, tmp_path / name)
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file() and path.name != "environment.json":
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name
