"""What the commands share that train networks to check maps by: options, progress, and the material of a check."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import add_data_dir_option, add_device_option, add_fields, read_fields, resolve_device, say
from imagrad.cli.networks import add_model_options, open_model
from imagrad.training.config import TrainingConfig

if TYPE_CHECKING:
    from imagrad.checks.material import Material
    from imagrad.training.side_by_side import Told

_NOT_OF_TRAINING = ("data", "validation", "arrangement", "seed", "threads")
_OF_TRAINING = tuple(field.name for field in fields(TrainingConfig) if field.name not in _NOT_OF_TRAINING)


def add_study_options(parser: ArgumentParser) -> None:
    """Add what is checked, on which images, and how networks are trained for it."""
    add_model_options(parser)
    parser.add_argument("--data", default="mnist", help="Labelled images: mnist, digits, a folder, an .npz file.")
    parser.add_argument(
        "--networks", type=str | None, default=None,
        help="Folder of the networks that are trained for the check, and kept; default: networks/ in --out.",
    )  # fmt: skip
    parser.add_argument("--workers", type=int | None, default=None, help="Trainings at a time; default: one a core.")
    add_fields(parser, TrainingConfig, _OF_TRAINING)
    parser.add_argument(
        "--classifier", type=str | None, default=None,
        help="Run folder of a classifier of clean images; default: one is trained (Table 3).",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="Decides everything that is drawn.")
    parser.add_argument("--out", type=str | None, default=None, help="Run folder to make; default: the next free one.")
    add_data_dir_option(parser)
    add_device_option(parser)


def training_of(options: Namespace) -> TrainingConfig:
    """Return how networks are trained."""
    return TrainingConfig(options["data"], seed=options["seed"], **read_fields(options, TrainingConfig, _OF_TRAINING))


def material_of(options: Namespace, out: Path, method: str, *, classify: bool) -> Material:
    """Load what is under check; train the classifier when it is needed and none was given."""
    from imagrad.checks.material import Material, by_method
    from imagrad.errors import ImageError
    from imagrad.training.factory import RunFolders

    device = resolve_device(options["device"])
    network = open_model(options, device)
    folder = Path(options["networks"]) if options["networks"] else out / "networks"
    factory = RunFolders(
        training_of(options), folder, options["data_dir"], device, options["workers"], training_told()
    )  # fmt: skip
    decode = None if network.autoencoder is None else network.autoencoder.decode
    material = Material(
        options["data"], method, by_method(method), factory, network.encode, decode,
        seed=options["seed"], data_dir=options["data_dir"], device=device,
    )  # fmt: skip
    if network.image_shape is not None and material.test.image_shape != network.image_shape:
        raise ImageError(
            f"the network takes images of shape {network.image_shape}; {material.test.name} has "
            f"{material.test.image_shape}. Name the run folder of a network for these images: "
            f"imagrad train --data {options['data']} makes one."
        )
    return _with_classifier(material, options, folder, device) if classify else material


def _with_classifier(material: Material, options: Namespace, folder: Path, device: str) -> Material:
    from dataclasses import replace

    from imagrad.training.classifier import load_classifier
    from imagrad.training.config import ClassifierConfig
    from imagrad.training.side_by_side import Job, train_all

    if options["classifier"] is not None:
        return replace(material, classifier=load_classifier(options["classifier"], device))
    small = material.test.image_shape[1] < 16  # small images come in small sets, that need more passes
    config = ClassifierConfig(options["data"], 30, 25) if small else ClassifierConfig(options["data"])
    job = Job(config, folder / "classifier")
    train_all([job], data_dir=options["data_dir"], device=device, told=training_told())
    return replace(material, classifier=load_classifier(job.out, device))


def training_told() -> Told:
    """Say how trainings go on: some five lines for each network, with the time that it still takes."""
    said: dict[Path, int] = {}
    began: dict[Path, tuple[float, int]] = {}

    def told(out: Path, done: int, epochs: int) -> None:
        now, part = time.monotonic(), 4 * done // epochs
        since, first = began.setdefault(out, (now, done))  # some epochs may be there from before
        if said.get(out) != part:
            said[out] = part
            left = (epochs - done) * (now - since) / max(1, done - first)
            say(f"  network {out.name}: {done} of {epochs} epochs{time_left(left)}")

    return told


def time_left(seconds: float) -> str:
    """Say how long something still takes; nothing where that is not known, or is no time."""
    if seconds < 1:
        return ""
    return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"


def options_of(options: Namespace, config: type[Any]) -> Any:
    """Read the options of one check back."""
    return config(**read_fields(options, config))
