"""Train into a run folder: saved after every epoch, resumed bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from imagrad import runs
from imagrad.data.corruptions import check_level
from imagrad.errors import RunFolderError
from imagrad.models.autoencoders import NETWORKS, NetworkConfig, build
from imagrad.training.checkpoints import restore, save
from imagrad.training.config import TrainingConfig
from imagrad.training.data import TrainingData
from imagrad.training.distributed import is_first, processes
from imagrad.training.loop import Epoch, Progress, Trainer
from imagrad.training.losses import check_variant
from imagrad.training.statistics import active_latents, sparseness


@dataclass(frozen=True)
class Reporter:
    """Where a run tells how it goes on; the core itself prints nothing."""

    start: Callable[[int], None] = lambda epochs: None
    """Called once with the number of epochs that are done already: 0, or more after `resume`."""
    progress: Progress = lambda epoch, step, steps, loss: None
    epoch: Callable[[Epoch], None] = lambda epoch: None


def train(
    config: TrainingConfig, data: TrainingData, out: Path, *, device: str = "cpu", resume: bool = False,
    reporter: Reporter | None = None, save_every: int = 1,
) -> dict[str, Any]:  # fmt: skip
    """Train as `config` says into the run folder `out`; return the metrics, which are saved there as well.

    Killed at any moment, at most `save_every` epochs are lost; `resume` goes on from the last saved one, and ends with
    the same bits as an undisturbed run on the same machine. Raises `RunFolderError` when `out` is in use, or when it
    cannot be resumed with these settings. Under torchrun all processes call this, and the first alone writes.
    """
    check_config(config)
    network = network_of(config, data.images)
    settings = {
        "command": "train",
        "training": config.as_dict(),
        "network": network.as_dict(),
        "data": data.facts,
    }
    trainer = Trainer(build(network, config.seed), config, device)
    if resume:
        _check_resumable(out, settings)
        restore(trainer, out)
    if is_first():
        _begin(out, settings, resume=resume)
    reporter = reporter or Reporter()
    reporter.start(len(trainer.history))
    cause = runs.hash_cause(settings)
    for epoch in trainer.epochs(data.images, data.validation, reporter.progress):
        if is_first() and (epoch.number % save_every == 0 or epoch.number == config.epochs):
            save(trainer, out, cause)
        reporter.epoch(epoch)
    metrics = _metrics(trainer, data)
    if is_first():
        runs.write_json(out / runs.METRICS, metrics)
    return metrics


def _begin(out: Path, settings: dict[str, Any], *, resume: bool) -> None:
    """Write what the run folder begins with, or goes on with."""
    if resume:
        runs.remove_leftovers(out)
        runs.write_json(out / runs.CONFIG, {"format": runs.FORMAT, **settings})  # `epochs` may have grown
    else:
        runs.create(out, settings)
    together = {"processes": processes()} if processes() > 1 else {}
    runs.write_json(out / runs.ENVIRONMENT, runs.environment() | together)


def network_of(config: TrainingConfig, images: torch.Tensor) -> NetworkConfig:
    """Say which network is trained on images (n, channels, height, width)."""
    channels, height, width = images.shape[1:]
    return NetworkConfig(config.network, (channels, height, width), config.hidden, config.latents, config.ending)


def check_config(config: TrainingConfig) -> None:
    """Raise `InputError` for a variant, a noise, a level or a network that cannot be."""
    NETWORKS[config.network]
    check_level(*config.corruption)
    check_variant(config)


def _metrics(trainer: Trainer, data: TrainingData) -> dict[str, Any]:
    """Measure the finished network on corrupted and on clean images."""
    last = trainer.history[-1]
    with torch.no_grad():
        codes = trainer.autoencoder.encode(data.validation.to(trainer.fabric.device))
    return {
        "epochs": last.number,
        "loss": trainer.evaluate(data.images, trainer.config.corruption[1]),
        "validation_loss": last.validation_loss,
        "loss_on_clean": trainer.evaluate(data.images, 0.0),
        "validation_loss_on_clean": trainer.evaluate(data.validation, 0.0),
        "reconstruction": trainer.config.reconstruction,
        "penalty": last.penalty,
        "active_latents": active_latents(codes, trainer.config.ending),
        "sparseness": sparseness(codes),
        "model_sha256": runs.hash_tensors(trainer.autoencoder.state_dict()),
    }


def _check_resumable(out: Path, settings: dict[str, Any]) -> None:
    """Raise `RunFolderError`, naming the first difference, unless `out` was begun with the same settings."""
    before = runs.read_config(out)
    for section, wanted in settings.items():
        begun = before.get(section)
        if not isinstance(wanted, dict) or not isinstance(begun, dict):
            if begun != wanted:
                raise RunFolderError(f"{out} cannot be resumed: it was made by `imagrad {begun}`.")
            continue
        for name in wanted:
            if wanted[name] != begun.get(name) and name != "epochs":
                raise RunFolderError(
                    f"{out} was begun with {name} = {begun.get(name)}, not {wanted[name]}. "
                    "Resume with the same settings (only `epochs` may grow), or train into another folder."
                )
