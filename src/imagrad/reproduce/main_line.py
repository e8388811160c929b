"""Sections 3 to 6 of the paper in one go: train, corrupt, reconstruct, explain, draw."""

from __future__ import annotations

from collections.abc import Callable
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
from imagrad.training.run import Reporter, train

_SHOWN_IMAGES = 8  # in the figures of images
_SHOWN_MAPS = 4  # in the figure of maps
_FIGURE_NOISE = 3  # the purpose, in a generator's key, of the noise that Figure 5 shows


@dataclass(frozen=True)
class MainLine:
    """What the main line made."""

    metrics: dict[str, Any]
    result: SaliencyResult
    figures: tuple[Path, ...]


def run_main_line(
    config: TrainingConfig, out: Path, *, data_dir: str | None = None, device: str = "cpu",
    reporter: Reporter | None = None, announce: Callable[[str], None] = lambda text: None,
) -> MainLine:  # fmt: skip
    """Train an autoencoder into `out`, explain the first test images, draw Figures 5, 6 and 7."""
    data = load_training_data(config, data_dir)
    announce(f"training on {len(data.images)} images of {data.name} for {config.epochs} epochs")
    metrics = train(config, data, out, device=device, reporter=reporter)
    autoencoder = load(out, device)
    images = data.validation[:_SHOWN_IMAGES].to(device)
    corrupted = CORRUPTIONS[config.noise](images, config.kappa, generator(config.seed, _FIGURE_NOISE, 0, device))
    with torch.no_grad():
        reconstructed = autoencoder.reconstruct(corrupted)
    announce("explaining the first test images")
    result = saliency(autoencoder.encode, images[:_SHOWN_MAPS])
    result.save(out / "maps.safetensors")
    noise = f"{config.noise} noise\n$\\kappa$ = {config.kappa:g}"
    drawn = {
        "figure-5-corruption": draw_image_rows({"clean": images, noise: corrupted}),
        "figure-6-reconstruction": draw_image_rows(
            {"original": images, "reconstructed\nfrom the noisy": reconstructed}
        ),
        "figure-7-saliency": draw(result, titles=data.validation_titles[:_SHOWN_MAPS]),
    }
    figures = [path for name, figure in drawn.items() for path in save_png_and_svg(figure, out / "figures", name)]
    metrics |= {"largest_saliency": [float(saliency_map.max()) for saliency_map in result.maps], "ties": result.ties}
    runs.write_json(out / runs.METRICS, metrics)
    return MainLine(metrics, result, tuple(figures))
