"""Read an autoencoder from a run folder; the one that ships with imagrad is read the same way."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch

from imagrad import runs
from imagrad.errors import InputError, RunFolderError
from imagrad.models.autoencoders import Autoencoder, build, config_from_dict

DEFAULT = Path(str(files("imagrad.models") / "default"))
"""The run folder of the network that ships with imagrad: the paper's, trained on MNIST."""


def load(path: str | Path | None = None, device: str | torch.device = "cpu") -> Autoencoder:
    """Load the autoencoder of a run folder, in eval mode; without a path, the one that ships with imagrad.

    Runs no code from the folder: its config names a registered network.
    Raises `RunFolderError` when the folder is not a run folder with a network, `CorruptDataError` when a file in it
    is damaged.
    """
    folder = DEFAULT if path is None else Path(path)
    config = runs.read_config(folder)
    if "network" not in config:
        raise RunFolderError(f"{folder} holds no network; it was made by `imagrad {config.get('command', '?')}`.")
    if not (folder / runs.WEIGHTS).is_file():
        raise RunFolderError(f"{folder} has no {runs.WEIGHTS} yet: its training ended before the first epoch did.")
    tensors, facts = runs.read_tensors(folder / runs.WEIGHTS)
    if facts.get("cause") != runs.hash_cause(config):
        raise RunFolderError(
            f"the weights of {folder} do not belong to its {runs.CONFIG}: they were trained with other settings. "
            "Restore the file that was changed or exchanged, or train again."
        )
    try:
        autoencoder = build(config_from_dict(config["network"]), seed=0)
    except InputError as error:
        raise RunFolderError(f"{folder / runs.CONFIG}: {error}") from error
    _check_fit(autoencoder, tensors, folder)
    autoencoder.load_state_dict(tensors)
    return autoencoder.to(device).eval().requires_grad_(False)


def _check_fit(autoencoder: Autoencoder, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Raise `RunFolderError`, naming the first difference, unless the weights are those of the network."""
    wanted = {name: f"{tuple(value.shape)} {value.dtype}" for name, value in autoencoder.state_dict().items()}
    found = {name: f"{tuple(value.shape)} {value.dtype}" for name, value in tensors.items()}
    for name in sorted(wanted | found):
        if wanted.get(name) != found.get(name):
            raise RunFolderError(
                f"the weights of {folder} do not match its {runs.CONFIG}: {name} must be "
                f"{wanted.get(name, 'absent')}; it is {found.get(name, 'absent')}. "
                "Restore the file that was changed, or train again."
            )
        if not torch.isfinite(tensors[name]).all():
            raise RunFolderError(f"the weights of {folder} must be finite; {name} has NaN or infinity. Train again.")
