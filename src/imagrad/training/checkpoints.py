"""What is saved after each epoch, and how a training goes on from it."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from imagrad import runs
from imagrad.errors import InputError, RunFolderError
from imagrad.training.loop import Epoch, Trainer

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.csv"


def save(trainer: Trainer, out: Path, cause: str) -> None:
    """Write weights, log and checkpoint; each file is whole at any moment, and the checkpoint alone resumes."""
    save_epochs(trainer.autoencoder, trainer.optimizer, [asdict(epoch) for epoch in trainer.history], out, cause)


def save_epochs(network: nn.Module, optimizer: Any, history: list[dict[str, Any]], out: Path, cause: str) -> None:
    """Write the state of any network under Adam after its epochs, one row of `history` each.

    The checkpoint last: it says that the epoch is done, and who goes on from it does not write the others again.
    """
    weights = network.state_dict()
    moments = {
        f"adam.{index}.{name}": value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    tensors = {f"network.{name}": value for name, value in weights.items()} | moments
    runs.write_tensors(out / runs.WEIGHTS, weights, {"epochs": len(history), "cause": cause})
    rows = io.StringIO()
    writer = csv.DictWriter(rows, history[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    runs.write_atomically(out / LOG, rows.getvalue().encode())
    runs.write_tensors(out / CHECKPOINT, tensors, {"history": history, "cause": cause})


def restore(trainer: Trainer, out: Path) -> None:
    """Set network, optimiser and history to the last saved epoch; before the first, to the start."""
    history = restore_epochs(trainer.autoencoder, trainer.optimizer, out)
    try:
        trainer.history = [Epoch(**epoch) for epoch in history]
    except TypeError as error:
        raise RunFolderError(f"{out / CHECKPOINT} is not the checkpoint of this run: it has other epochs.") from error
    if len(trainer.history) > trainer.config.epochs:
        raise InputError(
            f"`epochs` must be at least the {len(trainer.history)} that {out} has already; got {trainer.config.epochs}."
        )


def restore_epochs(network: nn.Module, optimizer: Any, out: Path) -> list[dict[str, Any]]:
    """Set network and optimiser to what `save_epochs` wrote last; return the history, empty before the first epoch."""
    if not (out / CHECKPOINT).exists():
        return []
    tensors, facts = runs.read_tensors(out / CHECKPOINT)
    weights = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    try:
        network.load_state_dict(weights)
        history: list[dict[str, Any]] = facts["history"]
    except (RuntimeError, KeyError) as error:
        raise RunFolderError(
            f"{out / CHECKPOINT} is not the checkpoint of this run: it holds other tensors."
        ) from error
    state = optimizer.state_dict()
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, index, moment = name.split(".", 2)
            state["state"].setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict(state)
    return history
