"""The steps of a reproduction, each kept in the run folder: killed at any moment, the same command goes on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from imagrad import runs
from imagrad.attribution.contract import check_installed
from imagrad.checks import one_class, randomisation, translation
from imagrad.checks.checks import CHECKS
from imagrad.checks.comparison import Row, compare, ranked
from imagrad.checks.material import Material, by_method
from imagrad.checks.options import TranslationOptions
from imagrad.checks.saved import load_check, save_check
from imagrad.checks.verdicts import CheckResult
from imagrad.errors import InputError, RunFolderError
from imagrad.models.saved import load
from imagrad.reproduce.main_line import explain_network
from imagrad.reproduce.presets import Preset
from imagrad.training.classifier import load_classifier
from imagrad.training.factory import Lesson, RunFolders
from imagrad.training.processes import Link, side_by_side
from imagrad.training.side_by_side import Job, Told, is_done, train_all

STEPS = {
    "networks": "train all networks that the steps need",
    "maps": "explain the first test images",
    "check1": "one-class",
    "check2": "translation",
    "check3": "corruption",
    "check4": "randomisation",
    "check5": "locality",
    "compare": "compare attribution methods",
}
"""What is done, in order; the checks by the names that the registry has for them."""

_MAPS = "maps"
_TIMES = "seconds.json"
_AUTOENCODER = "autoencoder"
_CLASSIFIER = "classifier"


@dataclass(frozen=True)
class Telling:
    """Where a study tells how it goes on; it prints nothing itself."""

    step: Callable[[str, int, int], None] = lambda text, number, count: None
    """Called as a step begins, with what it does, its number, and how many there are."""
    training: Told = lambda out, done, epochs: None
    """Called with a network's folder, the epochs that it has, and those that it is to have."""
    method: Callable[[str, int, int], None] = lambda method, number, count: None
    """Called as a method's comparison begins, with its number and how many there are."""


@dataclass(frozen=True)
class Study:
    """A reproduction in a run folder."""

    preset: Preset
    out: Path
    data_dir: str | None = None
    device: str = "cpu"
    workers: int | None = None
    telling: Telling = field(default_factory=Telling)

    def run(self, only: Sequence[str] = ()) -> None:
        """Do all steps, or those of `only`, that are not done yet.

        Raises `InputError` for a step that does not exist, `RunFolderError` for a folder that holds something else.
        """
        unknown = [step for step in only if step not in STEPS]
        if unknown:
            raise InputError(f"unknown step {unknown[0]!r}; known: {', '.join(STEPS)}, report.")
        chosen = [step for step in STEPS if not only or step in only]
        self._check_methods(chosen)
        self._open()
        steps = chosen if "networks" in chosen else ["networks", *chosen]
        for number, step in enumerate(steps, start=1):
            self.telling.step(STEPS[step], number, len(steps))
            began = time.monotonic()
            if self._do(step, chosen):
                self._remember_time(step, time.monotonic() - began)

    def _check_methods(self, chosen: Sequence[str]) -> None:
        """Raise for a method that does not exist, or that needs what is not installed, before the work."""
        if "compare" in chosen:
            for method in self.preset.methods:
                check_installed(method)

    def _open(self) -> None:
        """Make the run folder, or see that it is one of this preset."""
        if (self.out / runs.CONFIG).is_file():
            self.check_begun()
        else:
            runs.refuse_used(self.out, but=("networks",))  # trained ahead
            runs.write_json(self.out / runs.CONFIG, {"format": runs.FORMAT, **self._config})
        runs.remove_leftovers(self.out)
        runs.write_json(self.out / runs.ENVIRONMENT, runs.environment())

    @property
    def _config(self) -> dict[str, Any]:
        return {"command": "reproduce", "preset": self.preset.as_dict()}

    def check_begun(self) -> None:
        """Raise `RunFolderError` unless the run folder holds a reproduction of this preset."""
        if not (self.out / runs.CONFIG).is_file():
            what = f"imagrad reproduce --preset {self.preset.name} --out {self.out}"
            raise RunFolderError(f"expected a reproduction, found none in {self.out}. `{what}` makes one.")
        difference = _first_difference(self._config, runs.read_config(self.out))
        if difference is not None:
            raise RunFolderError(f"{self.out} was begun with {difference}. Choose another folder with --out.")

    def _do(self, step: str, chosen: Sequence[str]) -> bool:
        """Do a step; say whether there was anything to do."""
        if step == "networks":
            return self._train(chosen)
        if step == "maps":
            return self._explain()
        if step == "compare":
            return self._compare()
        return self._check(STEPS[step])

    # --- networks ---

    @cached_property
    def networks(self) -> RunFolders:
        """The factory that keeps its networks in this run."""
        return RunFolders(
            self.preset.autoencoder, self.out / "networks", self.data_dir, self.device, self.workers,
            self.telling.training, lambda lesson: self._epochs(lesson),
        )  # fmt: skip

    def _epochs(self, lesson: Lesson) -> int:
        if lesson.name == _AUTOENCODER:
            return self.preset.autoencoder.epochs
        return self.preset.class_epochs if lesson.name.startswith("class-") else self.preset.placed_epochs

    @property
    def network(self) -> Path:
        """The run folder of the network under check."""
        return self.networks.folder / _AUTOENCODER

    def jobs(self, chosen: Sequence[str]) -> list[Job]:
        """List the trainings that some steps need, the longest first."""
        material, factory = self.plain_material(), self.networks
        everything = "networks" in chosen
        lessons = [Lesson(_AUTOENCODER, self.preset.data)]
        if everything or {"check2", "compare"} & set(chosen):
            options = self.preset.checks["translation"]
            assert isinstance(options, TranslationOptions)
            lessons += translation.lessons(material, options)[::-1]
        jobs = [factory.job(lesson) for lesson in lessons]
        if everything or {"check3", "compare"} & set(chosen):
            jobs.append(Job(self.preset.classifier, factory.folder / _CLASSIFIER))
        if everything or {"check4", "compare"} & set(chosen):
            jobs += [factory.job(lesson) for lesson in randomisation.lessons(material)]
        if everything or {"check1", "compare"} & set(chosen):
            jobs += [factory.job(lesson) for lesson in one_class.lessons(material)]
        return jobs

    def _train(self, chosen: Sequence[str]) -> bool:
        jobs = self.jobs(chosen)
        if all(is_done(job) for job in jobs):
            return False
        train_all(
            jobs, data_dir=self.data_dir, device=self.device, workers=self.workers, told=self.telling.training
        )  # fmt: skip
        return True

    # --- maps and checks ---

    def _explain(self) -> bool:
        folder = self.out / _MAPS
        if (folder / runs.METRICS).is_file():
            return False
        line = explain_network(
            self.network, self.preset.autoencoder, folder, data_dir=self.data_dir, device=self.device
        )  # fmt: skip
        runs.write_json(folder / runs.METRICS, line.metrics)
        return True

    def plain_material(self) -> Material:
        """Return what the checks work on, without the networks that are not trained yet."""
        preset = self.preset
        return Material(
            preset.data, "saliency", by_method("saliency"), self.networks, seed=preset.seed, data_dir=self.data_dir,
            device=self.device,
        )  # fmt: skip

    @cached_property
    def material(self) -> Material:
        """What the checks work on."""
        autoencoder = load(self.network, self.device)
        classifier = self.networks.folder / _CLASSIFIER
        return replace(
            self.plain_material(),
            encoder=autoencoder.encode,
            decode=autoencoder.decode,
            classifier=load_classifier(classifier, self.device) if (classifier / runs.METRICS).is_file() else None,
        )

    def _check(self, name: str) -> bool:
        path = self.out / "checks" / f"{name}.safetensors"
        if path.is_file():
            return False
        save_check(CHECKS[name](self.material, self.preset.checks[name]), path)
        return True

    def _compare(self) -> bool:
        done = self.out / "comparison" / runs.METRICS
        if done.is_file():
            return False
        row_of = partial(_row_of, self.preset, self.out, self.data_dir, self.device)
        methods, numbers = self.preset.methods, itertools.count(1)
        rows = side_by_side(
            row_of, methods, self.workers, lambda method: self.telling.method(method, next(numbers), len(methods))
        )  # fmt: skip
        runs.write_json(done, {"rows": [row.as_dict() for row in ranked(rows)]})
        return True

    def remembered(self, method: str, check: str, do: Callable[[], CheckResult]) -> CheckResult:
        """Return the result of a piece of the comparison, from before or done now."""
        path = self.out / "comparison" / method / f"{check}.safetensors"
        if not path.is_file():
            save_check(do(), path)
        return load_check(path)

    # --- what was found ---

    def checks(self) -> dict[str, CheckResult]:
        """Read the results of the checks that are done."""
        paths = {name: self.out / "checks" / f"{name}.safetensors" for name in CHECKS}
        order = [name for name in STEPS.values() if name in paths]
        return {name: load_check(paths[name]) for name in order if paths[name].is_file()}

    def rows(self) -> list[Row]:
        """Read the comparison, if it is done."""
        done = self.out / "comparison" / runs.METRICS
        if not done.is_file():
            return []
        return [
            Row(
                row["method"],
                {check: load_check(done.parent / row["method"] / f"{check}.safetensors") for check in row["checks"]},
                tuple(row["findings"]),
                row["not_run"],
                float("nan") if row["mean_rank"] is None else row["mean_rank"],
            )
            for row in runs.read_json(done)["rows"]
        ]

    def seconds(self) -> dict[str, float]:
        """Return how long each step took, from its last beginning."""
        path = self.out / _TIMES
        return runs.read_json(path) if path.is_file() else {}

    def _remember_time(self, step: str, seconds: float) -> None:
        runs.write_json(self.out / _TIMES, self.seconds() | {step: round(seconds, 1)})


def _row_of(preset: Preset, out: Path, data_dir: str | None, device: str, method: str, link: Link) -> Row:
    """Put one method through the checks of the comparison, in a process of its own; what is done already is read."""
    link.tell(method)
    study = Study(preset, out, data_dir, device)
    (row,) = compare(study.material, [method], preset.compared_by, study.remembered)
    return row


def _first_difference(wanted: dict[str, Any], begun: dict[str, Any], path: str = "") -> str | None:
    """Name the first setting that differs: what it was begun with, and what is wanted now."""
    for name in wanted:
        here = f"{path}.{name}".lstrip(".")
        one, other = wanted[name], begun.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found = _first_difference(one, other, here)
            if found is not None:
                return found
        elif one != other:
            return f"{here} = {other}, not {one}"
    return None
