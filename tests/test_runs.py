import errno
import os
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from imagrad import runs
from imagrad.errors import CorruptDataError, RunFolderError, StorageError


def test_run_folder_keeps_config_and_environment(tmp_path):
    path = runs.create(tmp_path / "run", {"command": "train", "seed": 3})
    assert runs.read_config(path) == {"format": runs.FORMAT, "command": "train", "seed": 3}
    environment = runs.read_json(path / runs.ENVIRONMENT)
    assert environment["versions"]["torch"].startswith("2.13.0")


def test_nothing_is_overwritten(tmp_path):
    runs.create(tmp_path / "run", {})
    with pytest.raises(RunFolderError, match="`out` must be a new or an empty folder"):
        runs.create(tmp_path / "run", {})


def test_a_folder_whose_making_was_killed_can_be_made_again(tmp_path):
    (tmp_path / f".{runs.CONFIG}.partial").write_bytes(b"half")
    runs.create(tmp_path, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "environment.json"]


@pytest.mark.parametrize("what", ["missing", "file", "empty", "foreign"])
def test_what_is_no_run_folder_is_refused(tmp_path, what):
    path = tmp_path / "run"
    expected = {
        "missing": "expected a run folder, found nothing",
        "file": "expected a run folder, found a file",
        "empty": "is not a run folder: it has no config.json",
        "foreign": 'must have "format": "imagrad-run-1"; got None',
    }
    if what == "file":
        path.write_text("x")
    elif what != "missing":
        path.mkdir()
    if what == "foreign":
        runs.write_json(path / runs.CONFIG, {"model": 1})
    with pytest.raises(RunFolderError, match=expected[what]):
        runs.read_config(path)


def test_next_free_folder(tmp_path):
    assert runs.next_free(tmp_path, "demo").name == "demo-001"
    (tmp_path / "demo-001").mkdir()
    assert runs.next_free(tmp_path, "demo").name == "demo-002"


@pytest.mark.parametrize("content", ["{", "[1]", '"x"'])
def test_damaged_json(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(CorruptDataError, match=r"a\.json"):
        runs.read_json(tmp_path / "a.json")


def test_failed_write_keeps_the_old_content(tmp_path, monkeypatch):
    runs.write_atomically(tmp_path / "a", b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*a: No space left on device\. What was saved before"):
        runs.write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208  # no partial file stays


def test_real_write_limit_keeps_the_old_content(tmp_path):
    code = f"""
import resource, signal
from pathlib import Path
from imagrad import runs
from imagrad.errors import StorageError
path = Path({str(tmp_path / "a")!r})
runs.write_atomically(path, b"old")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    runs.write_atomically(path, bytes(5000))
except StorageError as error:
    print(path.read_bytes(), error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.startswith("b'old' cannot write") and "File too large" in out


def test_folder_that_cannot_be_written_to():
    with pytest.raises(StorageError, match=r"cannot write /proc/imagrad"):
        runs.create(runs.Path("/proc/imagrad"), {})


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / ".weights.safetensors.partial").write_bytes(b"half")
    runs.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_tensors_survive_bit_for_bit(tmp_path):
    tensors = {"a": torch.randn(3, 4).T, "b": torch.tensor(2, dtype=torch.int64)}
    runs.write_tensors(tmp_path / "t", tensors, {"epochs": 3})
    read, facts = runs.read_tensors(tmp_path / "t")
    assert facts == {"epochs": 3}
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_changed_tensors_are_noticed(tmp_path):
    runs.write_tensors(tmp_path / "t", {"a": torch.zeros(100)}, {})
    content = bytearray((tmp_path / "t").read_bytes())
    content[-1] = 63
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(CorruptDataError, match="was changed after imagrad wrote it"):
        runs.read_tensors(tmp_path / "t")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_unreadable_tensors(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(CorruptDataError, match=r"cannot read .*t as safetensors"):
        runs.read_tensors(tmp_path / "t")


def test_tensors_of_another_program(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "t")
    with pytest.raises(CorruptDataError, match="must have been written by imagrad, with a hash in its header"):
        runs.read_tensors(tmp_path / "t")


def test_missing_tensors(tmp_path):
    with pytest.raises(CorruptDataError, match=r"cannot read .*t as safetensors"):
        runs.read_tensors(tmp_path / "t")


def test_hash_depends_on_name_type_shape_and_value():
    base = {"a": torch.zeros(2, 3)}
    others = [
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3).double()},
        {"a": torch.ones(2, 3)},
    ]
    assert len({runs.hash_tensors(tensors) for tensors in [base, *others]}) == 5
