"""Sections 5 and 6 of the paper on a trained network: corrupt, reconstruct, explain, draw Figures 5, 6 and 7."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from imagrad import runs
from imagrad.attribution.results import SaliencyResult
from imagrad.attribution.saliency import saliency
from imagrad.data.corruptions import CORRUPTIONS
from imagrad.figures import draw, draw_image_rows, save_png_and_svg
from imagrad.models.saved import load
from imagrad.training.config import TrainingConfig
from imagrad.training.data import load_training_data
from imagrad.training.loop import generator

_SHOWN_IMAGES = 8  # in the figures of images
_SHOWN_MAPS = 4  # in the figure of maps
_FIGURE_NOISE = 3  # the purpose, in a generator's key, of the noise that Figure 5 shows


@dataclass(frozen=True)
class MainLine:
    """What the main line made."""

    metrics: dict[str, Any]
    result: SaliencyResult
    figures: tuple[Path, ...]


def explain_network(
    network: Path, config: TrainingConfig, out: Path, *, data_dir: str | None = None, device: str = "cpu"
) -> MainLine:
    """Explain the first images that the network of a run folder was watched on; save maps and Figures 5, 6 and 7.

    `config` is the one that it was trained with. The metrics are those of the training and of the maps.
    """
    data = load_training_data(config, data_dir)
    autoencoder = load(network, device)
    images = data.validation[:_SHOWN_IMAGES].to(device)
    name, kappa = config.corruption
    corrupted = CORRUPTIONS[name](images, kappa, generator(config.seed, _FIGURE_NOISE, 0, device))
    with torch.no_grad():
        reconstructed = autoencoder.reconstruct(corrupted)
    result = saliency(autoencoder.encode, images[:_SHOWN_MAPS])
    result.save(out / "maps.safetensors")
    noise = f"{name} noise\n$\\kappa$ = {kappa:g}"
    drawn = {
        "figure-5-corruption": draw_image_rows({"clean": images, noise: corrupted}),
        "figure-6-reconstruction": draw_image_rows(
            {"original": images, "reconstructed\nfrom the noisy": reconstructed}
        ),
        "figure-7-saliency": draw(result, titles=data.validation_titles[:_SHOWN_MAPS]),
    }
    figures = [path for name, figure in drawn.items() for path in save_png_and_svg(figure, out / "figures", name)]
    assert result.certificate is not None  # "sample" is the default
    metrics = runs.read_json(network / runs.METRICS) | {
        "largest_saliency": [float(saliency_map.max()) for saliency_map in result.maps],
        "ties": result.ties,
        "certificate": result.certificate.as_dict(),
        "training_images": len(data.images),
        "validation_images": len(data.validation),
        "data": data.facts,
    }
    return MainLine(metrics, result, tuple(figures))
