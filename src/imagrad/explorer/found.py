"""What a run folder has to show: its network, and beside it a classifier and the curve of Fig. 11."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagrad import runs

_CORRUPTION = "check corruption"


@dataclass(frozen=True)
class Shown:
    """Where the parts of what is explored are; None where there is none."""

    model: str | None
    classifier: Path | None = None
    check: Path | None = None
    latent: str | None = None
    """The inner tensor that is the code, where the check was made of one."""
    class_path: str | None = None


def shown_of(model: str | None) -> Shown:
    """Look into the run folder of a check or of a reproduction; everything else is a network by itself.

    Raises `CorruptDataError` for a config that cannot be read.
    """
    folder = Path(model) if model is not None else None
    if folder is None or not (folder / runs.CONFIG).is_file():
        return Shown(model)
    config = runs.read_json(folder / runs.CONFIG)
    if config.get("command") == _CORRUPTION:
        options: dict[str, Any] = config.get("options", {})
        named, classifier = options.get("model"), options.get("classifier")
        own = classifier or Path(options.get("networks") or folder / "networks", "classifier")
        found = Shown(
            None if named is None else str(_where(named, folder)), _where(own, folder), folder / "check.safetensors",
            options.get("latent"), options.get("class"),
        )  # fmt: skip
        return _existing(found)
    if config.get("command") == "reproduce":
        networks = folder / "networks"
        found = Shown(str(networks / "autoencoder"), networks / "classifier", folder / "checks/corruption.safetensors")
        return _existing(found)
    return Shown(model)


def _where(named: str | Path, run: Path) -> Path:
    """Find what a config names relative to the folder that its command was run in: here, or else above the run."""
    places = (Path(), *run.resolve().parents)
    return next((parent / named for parent in places if (parent / named).exists()), Path(named))


def _existing(shown: Shown) -> Shown:
    """Leave out what is not there (yet)."""
    classifier = shown.classifier if shown.classifier and (shown.classifier / runs.WEIGHTS).is_file() else None
    check = shown.check if shown.check and shown.check.is_file() else None
    return replace(shown, classifier=classifier, check=check)
