"""Train the classifier of Table 3 on clean images, into a run folder, and read it back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from imagrad import runs
from imagrad.complexstep.threads import threads
from imagrad.data.datasets import has_splits, load_dataset
from imagrad.data.selections import parse_selection
from imagrad.data.sources import Dataset
from imagrad.errors import InputError, RunFolderError
from imagrad.models.classifiers import Classifier, ClassifierShape, build_classifier
from imagrad.training.checkpoints import restore_epochs, save_epochs
from imagrad.training.config import ClassifierConfig
from imagrad.training.loop import check_finite, generator
from imagrad.training.run import Reporter

_ORDER = 4  # the purpose, in a generator's key, of the order of the images
_HELD_OUT = 10  # every tenth image of a source without splits
_BATCH = 50  # images at a time: larger batches leave the processor's cache


@dataclass
class _Lesson:
    """A classifier on its way."""

    classifier: Classifier
    config: ClassifierConfig
    device: str
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __post_init__(self) -> None:
        self.classifier.to(self.device)
        self.optimizer = torch.optim.Adam(self.classifier.parameters(), lr=self.config.learning_rate, fused=True)

    def epoch(self, images: torch.Tensor, labels: torch.Tensor, reporter: Reporter) -> float:
        """Go through the images once; return the mean cross-entropy."""
        number, total, seen = len(self.history) + 1, 0.0, 0
        order = torch.randperm(len(images), generator=generator(self.config.seed, _ORDER, number)).to(images.device)
        batches = order.split(self.config.batch_size)
        self.classifier.train()
        for step, batch in enumerate(batches, start=1):
            self._set_rate((number - 1 + step / len(batches)) / self.config.epochs)
            loss = cross_entropy(self.classifier(images[batch]), labels[batch])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total, seen = total + float(loss.detach()) * len(batch), seen + len(batch)
            reporter.progress(number, step, len(batches), check_finite(total / seen, number))
        self.classifier.eval()
        return total / seen

    def _set_rate(self, done: float) -> None:
        """Let the step size fall along a half cosine: 99 % of MNIST are then reached in few epochs."""
        rate = self.config.learning_rate * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * done))))
        self.optimizer.param_groups[0]["lr"] = rate


def train_classifier(
    config: ClassifierConfig, out: Path, *, data_dir: str | None = None, device: str = "cpu", resume: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train as `config` says into the run folder `out`; return the metrics, which are saved there as well.

    Killed at any moment, at most the epoch under way is lost; `resume` goes on. Raises `InputError` for images without
    labels, `RunFolderError` for a folder in use, or begun with other settings.
    """
    learnt, watched = _split(config.data, data_dir)
    shape = ClassifierShape(learnt.image_shape, learnt.label_names)
    labels = labels_of(learnt).to(device)
    settings = {
        "command": "train-classifier",
        "training": config.as_dict(),
        "network": shape.as_dict(),
        "data": {"selection": learnt.name, "images": len(learnt)},
    }
    lesson = _Lesson(build_classifier(shape, config.seed), config, device)
    if resume and (out / runs.CONFIG).exists():
        if {"format": runs.FORMAT, **settings} != runs.read_config(out):
            raise RunFolderError(f"{out} was begun with other settings; train the classifier into another folder.")
        lesson.history = restore_epochs(lesson.classifier, lesson.optimizer, out)
        runs.remove_leftovers(out)
        runs.write_json(out / runs.ENVIRONMENT, runs.environment())
    else:
        runs.create(out, settings)
    reporter = reporter or Reporter()
    reporter.start(len(lesson.history))
    images = learnt.images().to(device)
    with threads(config.threads):
        while len(lesson.history) < config.epochs:
            loss = lesson.epoch(images, labels, reporter)
            lesson.history.append({"number": len(lesson.history) + 1, "loss": loss})
            save_epochs(lesson.classifier, lesson.optimizer, lesson.history, out, runs.hash_cause(settings))
        found = accuracy(lesson.classifier.eval(), watched.images().to(device), labels_of(watched).to(device))
    metrics = {"epochs": config.epochs, "loss": lesson.history[-1]["loss"], "accuracy": found}
    runs.write_json(out / runs.METRICS, metrics)
    return metrics


def _split(data: str, data_dir: str | None) -> tuple[Dataset, Dataset]:
    """Open the images to learn from and those to count the right answers on: every tenth of a source without splits."""
    learnt = load_dataset(data, split="train", data_dir=data_dir)
    if has_splits(data):
        return learnt, load_dataset(parse_selection(data).base, split="test", data_dir=data_dir)
    if len(learnt) < 2 * _HELD_OUT:
        raise InputError(f"a classifier needs at least {2 * _HELD_OUT} images; {learnt.name} has {len(learnt)}.")
    held_out = np.arange(len(learnt)) % _HELD_OUT == _HELD_OUT - 1
    watched = replace(learnt, name=f"every {_HELD_OUT}th image of {learnt.name}", indices=learnt.indices[held_out])
    return replace(learnt, indices=learnt.indices[~held_out]), watched


def load_classifier(path: str | Path, device: str | torch.device = "cpu") -> Classifier:
    """Read the classifier of a run folder, in eval mode; raises `RunFolderError` when there is none."""
    folder = Path(path)
    config = runs.read_config(folder)
    if config.get("command") != "train-classifier":
        raise RunFolderError(f"{folder} holds no classifier; it was made by `imagrad {config.get('command', '?')}`.")
    if not (folder / runs.WEIGHTS).is_file():
        raise RunFolderError(f"{folder} has no {runs.WEIGHTS} yet: its training ended before the first epoch did.")
    tensors, facts = runs.read_tensors(folder / runs.WEIGHTS)
    if facts.get("cause") != runs.hash_cause(config):
        raise RunFolderError(f"the weights of {folder} do not belong to its {runs.CONFIG}. Train the classifier again.")
    shape = {name: tuple(value) for name, value in config["network"].items()}
    classifier = build_classifier(ClassifierShape(**shape), seed=0)
    classifier.load_state_dict(tensors)
    moved: Any = classifier.to(device)  # the type of `to` leaves out the memory format
    moved.to(memory_format=torch.channels_last)  # convolutions of many images take less than half the time in it
    return classifier.eval().requires_grad_(False)


def labels_of(dataset: Dataset) -> torch.Tensor:
    """Return the labels; raise `InputError` when the images have none."""
    if dataset.labels is None:
        raise InputError(
            f"a classifier needs labelled images; {dataset.name} has no labels. "
            "A folder with one sub-folder a class has, and so has an .npz file with `labels`."
        )
    return dataset.labels


@torch.no_grad()
def accuracy(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of the images whose largest logit is that of their label."""
    return float(correct(classifier, images, labels).double().mean())


@torch.no_grad()
def correct(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Say of each image whether it is classified rightly: (n,) bool."""
    parts = zip(images.split(_BATCH), labels.split(_BATCH), strict=True)
    return torch.cat([classifier(some).argmax(dim=1) == wanted for some, wanted in parts])
