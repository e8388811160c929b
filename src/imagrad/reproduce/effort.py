"""How long an epoch of a training takes, alone on one core."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import torch

from imagrad.models.autoencoders import build
from imagrad.training.config import TrainingConfig
from imagrad.training.loop import Trainer
from imagrad.training.run import network_of

_STEPS = 40
_ROUNDS = 3


def seconds_per_epoch(config: TrainingConfig, images: torch.Tensor) -> float:
    """Time some steps of a training on `images`, (n, channels, height, width); return the seconds of a whole epoch.

    The median of three rounds, after one that is not counted: the first steps build what the others use.
    """
    some = images[: _STEPS * config.batch_size]
    trainer = Trainer(build(network_of(config, images), config.seed), replace(config, epochs=_ROUNDS + 1))
    seconds: list[float] = []
    began = time.perf_counter()
    for _ in trainer.epochs(some, some[:1], lambda *news: None):
        seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
    return median(seconds[1:]) * len(images) / len(some)
