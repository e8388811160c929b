"""Train into a run folder: saved after every epoch, resumed bit for bit."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from imagrad import runs
from imagrad.data.corruptions import check_level
from imagrad.data.datasets import Dataset, has_splits, load_dataset
from imagrad.data.selections import parse_selection
from imagrad.errors import InputError, RunFolderError, SelectionError
from imagrad.models.autoencoders import NetworkConfig, build
from imagrad.training.config import TrainingConfig
from imagrad.training.loop import Epoch, Progress, Trainer
from imagrad.training.losses import VARIANTS

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.csv"
_HELD_OUT = 10  # every tenth image of a source without splits


@dataclass(frozen=True)
class TrainingData:
    """The images to learn from and those to watch the loss on."""

    name: str
    images: torch.Tensor
    validation_name: str
    validation: torch.Tensor
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reporter:
    """Where a run tells how it goes on; the core itself prints nothing."""

    progress: Progress = lambda epoch, step, steps, loss: None
    epoch: Callable[[Epoch], None] = lambda epoch: None


def train(
    config: TrainingConfig, data: TrainingData, out: Path, *, device: str = "cpu", resume: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train as `config` says into the run folder `out`; return the metrics, which are saved there as well.

    Killed at any moment, at most the epoch under way is lost; `resume` goes on from the last saved one, and ends with
    the same bits as an undisturbed run on the same machine. Raises `RunFolderError` when `out` is in use, or when it
    cannot be resumed with these settings.
    """
    check_config(config)
    channels, height, width = data.images.shape[1:]
    network = NetworkConfig("dense", (channels, height, width), config.hidden, config.latents)
    settings = {
        "command": "train",
        "training": config.as_dict(),
        "network": network.as_dict() | {"image_shape": [channels, height, width], "hidden": list(config.hidden)},
        "data": data.facts,
    }
    if resume:
        _check_resumable(out, settings)
        runs.remove_leftovers(out)
        runs.write_json(out / runs.CONFIG, {"format": runs.FORMAT, **settings})  # `epochs` may have grown
    else:
        runs.create(out, settings)
    trainer = Trainer(build(network, config.seed), config, device)
    if resume:
        _restore(trainer, out)
    reporter = reporter or Reporter()
    for epoch in trainer.epochs(data.images, data.validation, reporter.progress):
        _save(trainer, out)
        reporter.epoch(epoch)
    metrics = _metrics(trainer, data)
    runs.write_json(out / runs.METRICS, metrics)
    return metrics


def check_config(config: TrainingConfig) -> None:
    """Raise `InputError` for a variant, a noise or a level that does not exist."""
    VARIANTS[config.variant]
    check_level(config.noise, config.kappa)


def load_training_data(config: TrainingConfig, data_dir: str | None = None) -> TrainingData:
    """Open the images that `config` names; without `validation`, the test split or every tenth image."""
    dataset = load_dataset(config.data, split="train", data_dir=data_dir)
    images = dataset.images()
    if config.validation is not None:
        watched = load_dataset(config.validation, data_dir=data_dir)
    elif has_splits(config.data):
        watched = load_dataset(_test_counterpart(config.data), data_dir=data_dir)
    else:
        return _hold_out(dataset, images)
    validation = watched.images()
    if validation.shape[1:] != images.shape[1:]:
        raise InputError(
            f"`validation` must have images of the same shape as `data`; got {tuple(validation.shape[1:])} and "
            f"{tuple(images.shape[1:])}."
        )
    facts = {"train": _facts(dataset), "validation": _facts(watched)}
    return TrainingData(dataset.name, images, watched.name, validation, facts, dataset.source.notes)


def _test_counterpart(text: str) -> str:
    """Name the test images of the same kind: mnist:train/label=3[:100] -> mnist:test/label=3."""
    selection = parse_selection(text)
    return f"{selection.base}:test" + (f"/label={selection.label}" if selection.label is not None else "")


def _hold_out(dataset: Dataset, images: torch.Tensor) -> TrainingData:
    """Keep every tenth image to watch the loss on."""
    if len(images) < 2:
        raise SelectionError(
            f"{dataset.name} holds {len(images)} image; at least 2 are needed, one to learn from and one to watch the "
            "loss on. Add images, or name others with `validation`."
        )
    watched = torch.zeros(len(images), dtype=torch.bool)
    watched[_HELD_OUT - 1 :: _HELD_OUT] = True
    watched[-1] |= len(images) < _HELD_OUT
    facts = {"train": {**_facts(dataset), "held_out": f"every {_HELD_OUT}th image, for validation"}}
    name = f"every {_HELD_OUT}th image of {dataset.name}"
    return TrainingData(dataset.name, images[~watched], name, images[watched], facts, dataset.source.notes)


def _facts(dataset: Dataset) -> dict[str, Any]:
    return {"selection": dataset.name, "images": len(dataset), "sha256": dataset.fingerprint}


def _metrics(trainer: Trainer, data: TrainingData) -> dict[str, Any]:
    """Measure the finished network on corrupted and on clean images."""
    last = trainer.history[-1]
    with torch.no_grad():
        codes = trainer.autoencoder.encode(data.validation.to(trainer.fabric.device))
    return {
        "epochs": last.number,
        "loss": trainer.evaluate(data.images, trainer.config.kappa),
        "validation_loss": last.validation_loss,
        "loss_on_clean": trainer.evaluate(data.images, 0.0),
        "validation_loss_on_clean": trainer.evaluate(data.validation, 0.0),
        "active_latents": int((codes > 0).any(dim=0).sum()),
        "model_sha256": runs.hash_tensors(trainer.autoencoder.state_dict()),
    }


# --- what is saved after each epoch ---


def _save(trainer: Trainer, out: Path) -> None:
    """Write checkpoint, weights and log; each file is whole at any moment, and the checkpoint alone resumes."""
    weights = trainer.autoencoder.state_dict()
    history = [asdict(epoch) for epoch in trainer.history]
    moments = {
        f"adam.{index}.{name}": value
        for index, state in trainer.optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    tensors = {f"network.{name}": value for name, value in weights.items()} | moments
    runs.write_tensors(out / CHECKPOINT, tensors, {"history": history})
    runs.write_tensors(out / runs.WEIGHTS, weights, {"epochs": len(history)})
    rows = io.StringIO()
    writer = csv.DictWriter(rows, history[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    runs.write_atomically(out / LOG, rows.getvalue().encode())


def _restore(trainer: Trainer, out: Path) -> None:
    """Set network, optimiser and history to the last saved epoch; before the first, to the start."""
    if not (out / CHECKPOINT).exists():
        return
    tensors, facts = runs.read_tensors(out / CHECKPOINT)
    weights = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    trainer.autoencoder.load_state_dict(weights)
    state = trainer.optimizer.state_dict()
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, index, moment = name.split(".", 2)
            state["state"].setdefault(int(index), {})[moment] = value
    trainer.optimizer.load_state_dict(state)
    trainer.history = [Epoch(**epoch) for epoch in facts["history"]]
    if len(trainer.history) > trainer.config.epochs:
        raise InputError(
            f"`epochs` must be at least the {len(trainer.history)} that {out} has already; got {trainer.config.epochs}."
        )


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
