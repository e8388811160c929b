"""A reproduction is done once, kept step by step, and goes on where it stopped."""

import os
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagrad import runs
from imagrad.attribution import contract
from imagrad.checks.options import OPTIONS
from imagrad.checks.saved import load_check
from imagrad.errors import InputError, MissingExtraError, RunFolderError, UnknownNameError
from imagrad.reproduce import study as study_module
from imagrad.reproduce.report import write_report
from imagrad.reproduce.study import STEPS, Study, Telling
from imagrad.training.side_by_side import train_all

from ..forking import Forking
from .tiny import tiny_preset

REWRITTEN = {"environment.json"}  # says how the folder was last opened


def files_of(folder):
    """Every file with the time of its last change, but for those that each run writes anew."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in REWRITTEN]
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in paths}


def networks_of(study):
    return sorted(path.name for path in (study.out / "networks").iterdir())


def assert_same_results(one, other):
    """Compare all checks, the rows of the comparison and the maps' metrics of two studies."""
    assert list(one.checks()) == list(other.checks())
    for name, result in one.checks().items():
        assert result.as_dict() == other.checks()[name].as_dict(), name
    assert [row.as_dict() for row in one.rows()] == [row.as_dict() for row in other.rows()]
    maps = [runs.read_json(each.out / "maps" / "metrics.json") for each in (one, other)]
    assert maps[0] == maps[1]


def test_all_steps_are_done(study):
    assert list(study.checks()) == [STEPS[f"check{number}"] for number in range(1, 6)]
    assert sorted(study.checks()) == sorted(OPTIONS), "every check is a step"
    assert networks_of(study) == [
        "autoencoder", "centre", "class-0", "class-1", "classifier", "shuffled", "top-left"
    ]  # fmt: skip
    assert [row.method for row in study.rows()] and {row.method for row in study.rows()} == {"saliency", "gradient"}
    assert [row.mean_rank for row in study.rows()] == sorted(row.mean_rank for row in study.rows())
    assert all(list(row.results) == ["corruption", "locality"] for row in study.rows())
    assert list(study.seconds()) == list(STEPS) and all(seconds >= 0 for seconds in study.seconds().values())
    config = runs.read_config(study.out)
    assert config["command"] == "reproduce" and config["preset"] == study.preset.as_dict()


def test_each_network_has_the_epochs_that_the_preset_gives_it(two_classes, tmp_path):
    preset = tiny_preset(two_classes, class_epochs=3, placed_epochs=5)
    jobs = {job.out.name: job.config for job in Study(preset, tmp_path).jobs(list(STEPS))}
    assert {name: config.epochs for name, config in jobs.items()} == {
        "autoencoder": 2, "top-left": 5, "centre": 5, "classifier": 1, "shuffled": 5, "class-0": 3, "class-1": 3
    }  # fmt: skip
    assert next(iter(jobs)) == "autoencoder", "the longest begins first"


def test_nothing_is_done_twice(study, monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("something was done again")

    for name in ("train_all", "explain_network", "save_check", "side_by_side"):
        monkeypatch.setattr(study_module, name, refuse)
    before = files_of(study.out)
    told = []
    again = replace(study, telling=Telling(lambda text, number, count: told.append((text, number, count))))
    again.run()
    assert files_of(study.out) == before
    assert told == [(text, number, len(STEPS)) for number, text in enumerate(STEPS.values(), start=1)]


def test_one_check_trains_what_it_needs_alone(short_study, study):
    assert networks_of(short_study) == ["autoencoder"]
    assert list(short_study.checks()) == ["locality"]
    assert short_study.checks()["locality"].as_dict() == study.checks()["locality"].as_dict()
    assert not (short_study.out / "maps").exists() and list(short_study.seconds()) == ["networks", "check5"]


@pytest.mark.parametrize(
    ("step", "networks"),
    [
        ("maps", ["autoencoder"]),
        ("check1", ["autoencoder", "class-0", "class-1"]),
        ("check2", ["autoencoder", "centre", "top-left"]),
        ("check3", ["autoencoder", "classifier"]),
        ("check4", ["autoencoder", "shuffled"]),
        ("compare", ["autoencoder", "centre", "class-0", "class-1", "classifier", "shuffled", "top-left"]),
        ("networks", ["autoencoder", "centre", "class-0", "class-1", "classifier", "shuffled", "top-left"]),
    ],
)
def test_every_step_lists_its_networks(study, step, networks):
    assert sorted(job.out.name for job in study.jobs([step])) == networks


def test_a_step_can_be_added_later(short_study, study, tmp_path):
    shutil.copytree(short_study.out, tmp_path / "run")
    more = replace(short_study, out=tmp_path / "run")
    before = files_of(more.out / "networks")
    more.run(["check3"])
    assert list(more.checks()) == ["corruption", "locality"] and networks_of(more) == ["autoencoder", "classifier"]
    assert files_of(more.out / "networks").items() >= before.items()
    assert more.checks()["corruption"].as_dict() == study.checks()["corruption"].as_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 5}, "was begun with preset.autoencoder.seed = 0, not 5"),
        ({"kappa": 0.5}, "was begun with preset.autoencoder.kappa = 0.15, not 0.5"),
        ({"hidden": (9,)}, "was begun with preset.autoencoder.hidden = [8], not [9]"),
    ],
)
@pytest.mark.parametrize("do", [Study.run, write_report], ids=["run", "report"])
def test_another_training_in_the_same_folder_is_refused(study, change, message, do):
    before = files_of(study.out)
    other = replace(study.preset, autoencoder=replace(study.preset.autoencoder, **change))
    with pytest.raises(RunFolderError, match=re.escape(message)) as caught:
        do(replace(study, preset=other))
    assert str(caught.value).endswith("Choose another folder with --out.") and files_of(study.out) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "other"}, "preset.name = tiny, not other"),
        ({"class_epochs": 9}, "preset.class_epochs = 1, not 9"),
        ({"methods": ("saliency",)}, "preset.methods = ['saliency', 'gradient'], not ['saliency']"),
        (
            {"checks": {"locality": OPTIONS["locality"](images=5)}},
            "preset.checks.locality.images = 4, not 5",
        ),
    ],
)
def test_another_preset_in_the_same_folder_is_refused(study, change, message):
    with pytest.raises(RunFolderError, match=re.escape(message)):
        replace(study, preset=replace(study.preset, **change)).run()


def test_a_folder_that_holds_something_else_is_refused(two_classes, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RunFolderError, match="exists and is not empty"):
        Study(tiny_preset(two_classes), tmp_path).run()
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(RunFolderError, match=r"expected a reproduction, found none in .*nowhere"):
        write_report(Study(tiny_preset(two_classes), tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_unknown_step_is_named_before_any_work(two_classes, tmp_path):
    with pytest.raises(
        InputError, match=r"unknown step 'check6'; known: networks, maps, check1, .*, check5, compare, report"
    ):
        Study(tiny_preset(two_classes), tmp_path / "run").run(["maps", "check6"])
    assert not (tmp_path / "run").exists()


def test_a_method_that_is_not_installed_is_refused_before_any_work(two_classes, tmp_path, monkeypatch):
    monkeypatch.setattr(contract, "find_spec", lambda name: None)
    preset = tiny_preset(two_classes, methods=("saliency", "deeplift"))
    study = Study(preset, tmp_path / "run")
    with pytest.raises(
        MissingExtraError, match=r"'deeplift' needs the package captum, .* pip install \"imagrad\[compare\]\""
    ):
        study.run()
    assert not study.out.exists()
    preset = tiny_preset(two_classes, methods=("salience",))
    with pytest.raises(UnknownNameError, match=r"unknown method 'salience'.* Did you mean 'saliency'\?"):
        Study(preset, tmp_path / "run").run()
    assert not study.out.exists()


def test_networks_trained_ahead_are_accepted(two_classes, study, tmp_path):
    ahead = Study(tiny_preset(two_classes), tmp_path / "run", workers=1)
    train_all(ahead.jobs(["check5"]), workers=1)
    before = files_of(ahead.out)
    ahead.run(["check5"])
    assert files_of(ahead.out).items() >= before.items()
    assert "networks" not in ahead.seconds()
    assert ahead.checks()["locality"].as_dict() == study.checks()["locality"].as_dict()


def test_networks_trained_ahead_in_another_way_are_refused(two_classes, tmp_path):
    preset = tiny_preset(two_classes)
    other = replace(preset, autoencoder=replace(preset.autoencoder, kappa=0.5))
    train_all(Study(other, tmp_path / "run").jobs(["check5"]), workers=1)
    study = Study(preset, tmp_path / "run", workers=1)
    with pytest.raises(RunFolderError, match="kappa"):
        study.run(["check5"])
    assert study.checks() == {}


MOMENTS = {
    1: [
        "networks/autoencoder/config.json",
        "networks/class-1/checkpoint.safetensors",
        "checks/translation.safetensors",
        "comparison/saliency/corruption.safetensors",
    ],
    2: ["networks/centre/config.json", "comparison/saliency/corruption.safetensors"],
}
"""By the number of workers, the files after which the study is killed: while it trains, checks and compares."""
LATER = 0.1  # seconds at most from then on, for it to be any moment


@pytest.mark.slow
@pytest.mark.parametrize("workers", MOMENTS)
def test_killed_at_any_moment_it_ends_with_the_same_results(study, two_classes, tmp_path, workers):
    out, later = tmp_path / "run", np.random.default_rng(workers)
    with Forking(Path(__file__).with_name("studies.py")) as forking:
        for moment in MOMENTS[workers]:
            process = forking.begin(two_classes, str(out), workers)
            while not (out / moment).exists():
                assert not forking.has_ended(), f"ended without {moment}"
                time.sleep(0.01)
            time.sleep(later.uniform(0, LATER))
            assert not forking.has_ended(), f"ended before it was killed after {moment}"
            os.kill(process, signal.SIGKILL)
            assert forking.wait() == -signal.SIGKILL
        assert forking.do(two_classes, str(out), workers) == 0
    assert_same_results(replace(study, out=out), study)
    assert list(out.rglob("*.partial")) == []
    saved = load_check(out / "checks" / "corruption.safetensors")
    expected = load_check(study.out / "checks" / "corruption.safetensors")
    assert all(np.array_equal(saved.arrays[name], array) for name, array in expected.arrays.items())
