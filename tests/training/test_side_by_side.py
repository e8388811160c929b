"""Trainings side by side: begun, killed and gone on with at any moment, to the same bits."""

import os
import signal
import subprocess
import sys

import pytest

from imagrad import runs
from imagrad.errors import MissingDataError, RunFolderError
from imagrad.training.checkpoints import CHECKPOINT, LOG
from imagrad.training.config import ClassifierConfig, TrainingConfig
from imagrad.training.data import load_training_data
from imagrad.training.run import train
from imagrad.training.side_by_side import Job, is_done, train_all


def config(**changes):
    settings = {"data": "digits:train[:100]", "epochs": 3, "hidden": (8,), "latents": 3}
    return TrainingConfig(**{**settings, **changes})


def bits(folder):
    return {name: (folder / name).read_bytes() for name in (runs.WEIGHTS, CHECKPOINT, LOG, runs.METRICS)}


# --- one after another ---


def test_every_job_is_done_as_if_alone(tmp_path):
    jobs = [Job(config(seed=seed), tmp_path / f"seed-{seed}") for seed in (1, 2)]
    heard = []
    train_all(jobs, workers=1, told=lambda out, done, epochs: heard.append((out.name, done, epochs)))
    for job in jobs:
        train(job.config, load_training_data(job.config), tmp_path / "alone" / job.out.name)
        assert bits(tmp_path / "alone" / job.out.name) == bits(job.out)
    assert heard == [(f"seed-{seed}", done, 3) for seed in (1, 2) for done in range(4)]


def test_what_is_done_is_not_done_again(tmp_path):
    job = Job(config(), tmp_path / "run")
    train_all([job])
    before = {path: path.stat().st_mtime_ns for path in job.out.iterdir()}
    heard = []
    train_all([job], told=lambda *news: heard.append(news))
    assert heard == [] and before == {path: path.stat().st_mtime_ns for path in job.out.iterdir()}


def test_nothing_to_do():
    assert train_all([]) is None


def test_is_done(tmp_path):
    job = Job(config(), tmp_path / "run")
    assert not is_done(job)
    train(config(epochs=2), load_training_data(config()), job.out)
    assert not is_done(job), "one epoch is missing"
    train_all([job])
    assert is_done(job)
    (job.out / runs.METRICS).unlink()
    assert not is_done(job), "killed before the metrics were written"
    train_all([job])
    assert is_done(job)


def test_a_classifier_is_a_job_too(tmp_path):
    job = Job(ClassifierConfig("digits:train[:100]", epochs=2), tmp_path / "run")
    heard = []
    train_all([job], told=lambda out, done, epochs: heard.append(done))
    assert is_done(job) and heard == [0, 1, 2]


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_with_other_settings_is_not_taken_for_this_job(tmp_path, finished):
    train_all([Job(config(epochs=3 if finished else 2), tmp_path / "run")])
    with pytest.raises(RunFolderError, match=r"was begun with kappa = 0\.15, not 0\.4"):
        train_all([Job(config(kappa=0.4), tmp_path / "run")])
    other = Job(ClassifierConfig("digits:train[:100]", epochs=2), tmp_path / "classifier")
    train_all([other])
    with pytest.raises(RunFolderError, match="was begun with other settings"):
        train_all([Job(ClassifierConfig("digits:train[:100]", epochs=2, seed=1), other.out)])


def test_what_a_training_raises_is_raised(tmp_path):
    with pytest.raises(MissingDataError, match=r"there is no file or folder no/such\.npz"):
        train_all([Job(config(data="no/such.npz"), tmp_path / "run")])


@pytest.mark.parametrize(("epochs", "every"), [(1, 1), (100, 1), (101, 2), (2500, 25)])
def test_there_are_a_hundred_saves_at_most(tmp_path, epochs, every):
    assert Job(config(epochs=epochs), tmp_path).save_every == every


# --- in processes of their own ---

SCRIPT = """
import multiprocessing
import sys
from pathlib import Path

from imagrad.errors import ImagradError
from imagrad.training.config import TrainingConfig
from imagrad.training.side_by_side import Job, train_all


def told(out, done, epochs):
    print(out.name, done, *(worker.pid for worker in multiprocessing.active_children()), flush=True)


if __name__ == "__main__":
    folder, *jobs = sys.argv[1:]
    wanted = []
    for number, job in enumerate(jobs):
        data, epochs = job.split("=")
        config = TrainingConfig(data, epochs=int(epochs), hidden=(16,), latents=4, batch_size=5)
        wanted.append(Job(config, Path(folder) / str(number)))
    try:
        train_all(wanted, workers=2, told=told)
    except ImagradError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
"""
SHORT, LONG = "digits:train[:100]=1", "digits:train[:500]=15"
SECONDS = 240  # for what takes ten on a free machine
SOON = 20  # for what takes no time on a free machine


def begin(tmp_path, folder, *jobs):
    """Start the script; its standard output ends when all its processes have."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / folder), *jobs], start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def wait_for(process, *wanted):
    """Read until all these "job epochs" were told; return the workers of the last line."""
    left = set(wanted)
    for line in process.stdout:
        job, done, *workers = line.split()
        left.discard(f"{job} {done}")
        if not left:
            return [int(worker) for worker in workers]
    raise AssertionError(f"ended before {left} was told")


def finish(process, seconds=SECONDS):
    """Return what is still written until the last process has ended."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def short_and_long(folder):
    """The jobs that the script makes of these two."""
    for number, job in enumerate((SHORT, LONG)):
        data, epochs = job.split("=")
        config = TrainingConfig(data, epochs=int(epochs), hidden=(16,), latents=4, batch_size=5)
        yield Job(config, folder / str(number))


def go_on(folder):
    """Make the script's call in this process, which begins no other: the short job is done, one is left."""
    short, long = short_and_long(folder)
    assert is_done(short) and not is_done(long)
    train_all([short, long], workers=2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the two jobs come to when each is trained alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for job in short_and_long(folder):
        train(job.config, load_training_data(job.config), job.out)
    return [bits(folder / str(number)) for number in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("moment", [("1 0",), ("0 1", "1 3")], ids=["at the start", "with one worker idle"])
def test_killed_and_gone_on_with_has_the_same_bits(tmp_path, undisturbed, moment):
    process = begin(tmp_path, "runs", SHORT, LONG)
    wait_for(process, *moment)
    process.kill()
    finish(process, SOON)  # the workers vanish by themselves
    assert (tmp_path / "runs" / "1" / runs.CONFIG).exists() and not (tmp_path / "runs" / "1" / runs.METRICS).exists()
    if is_done(next(short_and_long(tmp_path / "runs"))):
        go_on(tmp_path / "runs")
    else:
        assert finish(begin(tmp_path, "runs", SHORT, LONG)).count("Error") == 0
    assert [bits(tmp_path / "runs" / str(number)) for number in range(2)] == undisturbed
    assert not list((tmp_path / "runs").rglob(".*")), "half-written files were left"


@pytest.mark.slow
def test_ctrl_c_stops_all_and_the_same_call_goes_on(tmp_path, undisturbed):
    process = begin(tmp_path, "runs", SHORT, LONG)
    wait_for(process, "0 1", "1 3")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
    finish(process)
    assert process.returncode != 0 and not (tmp_path / "runs" / "1" / runs.METRICS).exists()
    go_on(tmp_path / "runs")
    assert [bits(tmp_path / "runs" / str(number)) for number in range(2)] == undisturbed


@pytest.mark.slow
def test_a_worker_that_is_killed_is_an_error_that_says_what_to_do(tmp_path, undisturbed):
    process = begin(tmp_path, "runs", SHORT, LONG)
    os.kill(wait_for(process, "0 1", "1 3")[0], signal.SIGKILL)
    said = finish(process)
    assert "ProcessError: a process ended without a word" in said and "run the command again" in said
    go_on(tmp_path / "runs")
    assert [bits(tmp_path / "runs" / str(number)) for number in range(2)] == undisturbed


@pytest.mark.slow
def test_what_a_process_raises_reaches_the_caller_and_stops_the_others(tmp_path):
    said = finish(begin(tmp_path, "runs", "no/such.npz=1", "digits=2000"))
    assert "MissingDataError: there is no file or folder no/such.npz" in said
    assert not (tmp_path / "runs" / "1" / runs.METRICS).exists()
