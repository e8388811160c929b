"""Several trainings at once, one process a core; each into its run folder, and each resumable by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imagrad import runs
from imagrad.training.classifier import train_classifier
from imagrad.training.config import ClassifierConfig, TrainingConfig
from imagrad.training.data import load_training_data
from imagrad.training.distributed import refuse_several
from imagrad.training.processes import Link, side_by_side
from imagrad.training.run import Reporter, train

_SAVES = 100


@dataclass(frozen=True)
class Job:
    """One training: what, and into which folder. A folder that was begun is gone on with."""

    config: TrainingConfig | ClassifierConfig
    out: Path

    @property
    def save_every(self) -> int:
        """Epochs between two saves: a hundred saves at most, as many short epochs would be all saving."""
        return -(-self.config.epochs // _SAVES)


Told = Callable[[Path, int, int], None]
"""Called with a job's folder, the epochs that it has done, and those that it is to do."""


def is_done(job: Job) -> bool:
    """Say whether the job's folder has all its epochs, trained as the job says."""
    metrics = job.out / runs.METRICS
    if not metrics.is_file() or runs.read_json(metrics).get("epochs") != job.config.epochs:
        return False
    return runs.read_config(job.out).get("training") == job.config.as_dict()


def train_all(
    jobs: Sequence[Job], *, data_dir: str | None = None, device: str = "cpu", workers: int | None = None,
    told: Told = lambda out, done, epochs: None,
) -> None:  # fmt: skip
    """Do all jobs, `workers` at a time (default: one a core, on a GPU one in all), in the order given.

    What is done already is not done again. On Ctrl-C, and when this process is killed, the trainings stop within some
    steps; the same call then goes on. Raises what a training raises, and `ProcessError` when a process dies.
    """
    refuse_several("training several networks side by side")
    waiting = [job for job in jobs if not is_done(job)]
    train_one = partial(_train_one, data_dir, device)
    side_by_side(train_one, waiting, workers or (None if device == "cpu" else 1), lambda message: told(*message))


def _train_one(data_dir: str | None, device: str, job: Job, link: Link) -> None:
    """Train into the job's folder, or go on there."""
    finished = 0

    def start(epochs: int) -> None:
        nonlocal finished
        finished = epochs
        link.tell((job.out, epochs, job.config.epochs))

    def progress(epoch: int, step: int, steps: int, loss: float) -> None:
        nonlocal finished
        link.check_wanted()
        if epoch - 1 > finished:
            finished = epoch - 1
            link.tell((job.out, finished, job.config.epochs))

    reporter = Reporter(start, progress)
    begun = (job.out / runs.CONFIG).is_file()
    if isinstance(job.config, ClassifierConfig):
        train_classifier(job.config, job.out, data_dir=data_dir, device=device, resume=begun, reporter=reporter)
    else:
        data = load_training_data(job.config, data_dir)
        train(
            job.config, data, job.out, device=device, resume=begun, reporter=reporter, save_every=job.save_every
        )  # fmt: skip
    link.tell((job.out, job.config.epochs, job.config.epochs))
