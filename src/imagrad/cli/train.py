"""`imagrad train`: train an autoencoder into a run folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from imagrad.cli.conventions import (
    Command,
    add_data_dir_option,
    add_device_option,
    add_fields,
    choose_folder,
    counted,
    read_fields,
    resolve_device,
    say,
)
from imagrad.errors import InputError
from imagrad.training.config import TrainingConfig
from imagrad.training.distributed import is_first

if TYPE_CHECKING:
    from imagrad.training.loop import Epoch
    from imagrad.training.run import Reporter


def _add_arguments(parser: ArgumentParser) -> None:
    add_fields(parser, TrainingConfig)
    parser.add_argument("--out", type=str | None, default=None, help="Run folder to make; default: runs/train-001, ...")
    parser.add_argument("--resume", action="store_true", help="Go on with the run in --out where it stopped.")
    add_data_dir_option(parser)
    add_device_option(parser)


def _run(options: Namespace) -> dict[str, Any]:
    config = TrainingConfig(**read_fields(options, TrainingConfig))
    if options["resume"] and options["out"] is None:
        raise InputError("`resume` needs --out, the run folder to go on with.")
    from imagrad.runs import refuse_used
    from imagrad.training.data import load_training_data
    from imagrad.training.run import check_config, train

    check_config(config)
    device = resolve_device(options["device"])
    out = choose_folder(options["out"], "train")
    if not options["resume"] and is_first():
        refuse_used(out)  # before the work, not after it
    data = load_training_data(config, options["data_dir"])
    for note in data.notes:
        say(f"note: {note}")
    say(f"training on {len(data.images)} images of {data.name}, watching {data.validation_name}; run folder {out}")
    metrics = train(config, data, out, device=device, resume=options["resume"], reporter=progress_reporter(config))
    return {"out": str(out), **metrics}


def progress_reporter(config: TrainingConfig) -> Reporter:
    """Show a bar with losses and time left on a terminal, and some ten lines elsewhere."""
    from tqdm import tqdm

    from imagrad.training.run import Reporter

    def start(epochs: int) -> None:
        if epochs:
            say(f"going on after epoch {epochs} of {config.epochs}")

    if not is_first():
        return Reporter()
    if not sys.stderr.isatty():
        return Reporter(start, epoch=lambda epoch: _say_some(epoch, config.epochs))
    bar: tqdm[Any] = tqdm(total=0, unit="step", dynamic_ncols=True)
    validation = "-"

    def progress(epoch: int, step: int, steps: int, loss: float) -> None:
        bar.total = steps * config.epochs
        bar.set_postfix(loss=f"{loss:.4f}", validation=validation, refresh=False)
        if bar.n == 0:
            bar.initial = (epoch - 1) * steps  # after --resume, the time left counts from here
        bar.update((epoch - 1) * steps + step - bar.n)

    def epoch_done(epoch: Epoch) -> None:
        nonlocal validation
        validation = f"{epoch.validation_loss:.4f}"
        bar.set_description(f"epoch {epoch.number}/{config.epochs}")
        if epoch.number == config.epochs:
            bar.close()

    return Reporter(start, progress, epoch_done)


def _say_some(epoch: Epoch, epochs: int) -> None:
    if epoch.number == 1 or epoch.number == epochs or epoch.number % max(1, epochs // 10) == 0:
        say(f"epoch {epoch.number}/{epochs}  loss {epoch.loss:.4f}  validation loss {epoch.validation_loss:.4f}")


_LOSSES = {"bce": "cross-entropy", "l2": "squared error"}


def _describe(result: dict[str, Any]) -> str:
    loss = _LOSSES[result["reconstruction"]]
    return "\n".join(
        [
            f"trained {counted(result['epochs'], 'epoch')} into {result['out']}",
            f"{loss}, training images    {result['loss']:.4f}  (clean input {result['loss_on_clean']:.4f})",
            f"{loss}, validation images  {result['validation_loss']:.4f}  "
            f"(clean input {result['validation_loss_on_clean']:.4f})",
            *([f"regulariser, in the last epoch      {result['penalty']:.4f}"] if result["penalty"] else []),
            f"latents active on the validation images: {result['active_latents']}; "
            f"sparseness of the codes: {result['sparseness']:.2f}",
            f"next: imagrad explain {result['out']} --data IMAGES",
        ]
    )


COMMAND = Command(
    "Train an autoencoder; the defaults are the paper's.",
    _add_arguments,
    _run,
    _describe,
    "Every finished epoch is saved: the same command with --resume goes on.",
)
