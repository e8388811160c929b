"""The images that a training learns from, and those that its loss is watched on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from imagrad.data.arrangements import parse_arrangement
from imagrad.data.datasets import Dataset, has_splits, load_dataset
from imagrad.data.selections import parse_selection
from imagrad.errors import InputError, SelectionError
from imagrad.training.config import TrainingConfig

_HELD_OUT = 10  # every tenth image of a source without splits


@dataclass(frozen=True)
class TrainingData:
    """The images to learn from and those to watch the loss on."""

    name: str
    images: torch.Tensor
    validation_name: str
    validation: torch.Tensor
    facts: dict[str, Any]
    validation_titles: tuple[str, ...] = ()
    """What each validation image shows, for a figure: its label or its name."""
    notes: tuple[str, ...] = ()


def load_training_data(config: TrainingConfig, data_dir: str | None = None) -> TrainingData:
    """Open and arrange the images that `config` names; without `validation`, the test split or every tenth image."""
    arrange = parse_arrangement(config.arrangement).apply
    data = _load(config, data_dir)
    return replace(data, images=arrange(data.images), validation=arrange(data.validation))


def _load(config: TrainingConfig, data_dir: str | None) -> TrainingData:
    """Open the images as they are."""
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
    facts = {"train": _facts(dataset, images), "validation": _facts(watched, validation)}
    return TrainingData(
        dataset.name, images, watched.name, validation, facts, tuple(watched.titles), dataset.source.notes
    )


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
    facts = {"train": {**_facts(dataset, images), "held_out": f"every {_HELD_OUT}th image, for validation"}}
    name = f"every {_HELD_OUT}th image of {dataset.name}"
    titles = tuple(title for title, held_out in zip(dataset.titles, watched.tolist(), strict=True) if held_out)
    return TrainingData(dataset.name, images[~watched], name, images[watched], facts, titles, dataset.source.notes)


def _facts(dataset: Dataset, images: torch.Tensor) -> dict[str, Any]:
    return {"selection": dataset.name, "images": len(dataset), "sha256": dataset.fingerprint_of(images)}
