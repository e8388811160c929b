"""Where the sanity checks get their encoders from: lessons go in, trained encoders come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from imagrad.data.arrangements import AS_THEY_ARE, parse_arrangement
from imagrad.data.datasets import load_dataset
from imagrad.models.saved import load
from imagrad.training.config import TrainingConfig
from imagrad.training.side_by_side import Job, Told, train_all

Encoder = Callable[[torch.Tensor], torch.Tensor]
"""Images (n, channels, height, width) to codes (n, q)."""


@dataclass(frozen=True)
class Lesson:
    """What one encoder is to learn from."""

    name: str
    """Names the encoder, and its folder where there is one."""
    data: str
    """A data selection, such as mnist:train/label=3."""
    arrangement: str = AS_THEY_ARE
    """Where the pixels are put before anything else: see `imagrad.data.arrangements`."""

    def images(self, data_dir: str | None = None) -> torch.Tensor:
        """Read the images, arranged: (n, channels, height, width), in [0, 1]."""
        images = load_dataset(self.data, split="train", data_dir=data_dir).images()
        return parse_arrangement(self.arrangement).apply(images)


Factory = Callable[[Sequence[Lesson]], list[Encoder]]
"""Trains one encoder for each lesson. It gets all of a check at once, so that it may train them side by side."""


def one_by_one(train: Callable[[torch.Tensor], Encoder], data_dir: str | None = None) -> Factory:
    """Make a factory of a function that trains one encoder on images: of any kind, anybody's."""

    def factory(lessons: Sequence[Lesson]) -> list[Encoder]:
        return [train(lesson.images(data_dir)) for lesson in lessons]

    return factory


@dataclass(frozen=True)
class RunFolders:
    """The factory of imagrad's own autoencoders: one run folder a lesson, trained side by side and kept."""

    config: TrainingConfig
    """How each is trained; data and arrangement are the lesson's."""
    folder: Path
    data_dir: str | None = None
    device: str = "cpu"
    workers: int | None = None
    told: Told = lambda out, done, epochs: None
    epochs: Callable[[Lesson], int] | None = None
    """Another number of epochs for some lessons."""

    def __call__(self, lessons: Sequence[Lesson]) -> list[Encoder]:
        """Train what is not yet there; return the encoders, in eval mode."""
        train_all(
            [self.job(lesson) for lesson in lessons],
            data_dir=self.data_dir, device=self.device, workers=self.workers, told=self.told,
        )  # fmt: skip
        return [load(self.folder / lesson.name, self.device).encode for lesson in lessons]

    def job(self, lesson: Lesson) -> Job:
        """Say how a lesson is trained here."""
        config = replace(self.config, data=lesson.data, arrangement=lesson.arrangement)
        if self.epochs is not None:
            config = replace(config, epochs=self.epochs(lesson))
        return Job(config, self.folder / lesson.name)
