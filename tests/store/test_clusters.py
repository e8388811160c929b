"""Blocks on Dask clusters and under torchrun: the same file, whoever has worked on it."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import distributed
import psutil
import pytest

from imagrad.errors import CorruptDataError, InputError, MissingExtraError, ProcessError, RunFolderError
from imagrad.models.opening import NetworkSource
from imagrad.store import clusters, explain_dataset, open_store
from imagrad.store.blocks import Place, explain_block
from imagrad.store.ranks import Ranks, ranks
from imagrad.store.running import Ways

from .small import DIGITS, SMALL, files_of, small_network


@pytest.fixture(scope="module")
def cluster():
    """A cluster of one thread of this process."""
    with distributed.LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


@pytest.fixture
def here(run_folder, tmp_path):
    """What a single process makes of the network of the run folder."""
    return files_of(explain_dataset(run_folder, DIGITS, tmp_path / "here.zarr", SMALL).path)


def test_a_cluster_makes_the_same_file(cluster, run_folder, tmp_path, here):
    told, ways = [], Ways(scheduler=cluster.scheduler_address)
    store = explain_dataset(
        run_folder, DIGITS, tmp_path / "maps.zarr", SMALL, ways=ways, progress=lambda *c: told.append(c)
    )
    assert files_of(store.path) == here
    assert told[0] == (0, 60) and told[-1] == (60, 60) and len(told) == 5
    explain_dataset(run_folder, DIGITS, tmp_path / "maps.zarr", ways=ways)  # nothing is left to do


def test_an_error_on_a_worker_is_the_same_error(cluster, run_folder, folder, tmp_path):
    (folder / "odd/05.png").write_bytes(b"no picture")
    ways = Ways(scheduler=cluster.scheduler_address, strict=True)
    with pytest.raises(CorruptDataError, match=r"image odd/05\.png cannot be read"):
        explain_dataset(run_folder, str(folder), tmp_path / "maps.zarr", SMALL, ways=ways)


def test_a_network_that_changed_meanwhile_is_refused(run_folder, undisturbed, monkeypatch):
    job = replace(undisturbed.job, network=NetworkSource(run_folder), model_sha256="another")
    monkeypatch.setattr("imagrad.store.blocks.open_network", lambda source, device: small_with("abc"))
    with pytest.raises(RunFolderError, match=r"the network of this store has the sha256 .* has abc now"):
        explain_block(Place(str(undisturbed.path), job, "cpu"), 0)


def small_with(sha256):
    return replace(small_network(), sha256=sha256)


def test_workers_that_die_again_and_again_are_an_error(cluster, run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "explain_block", die)
    with pytest.raises(ProcessError, match="the workers died over a block again and again"):
        explain_dataset(
            run_folder, DIGITS, tmp_path / "maps.zarr", SMALL, ways=Ways(scheduler=cluster.scheduler_address)
        )


def die(place, number):
    raise distributed.KilledWorker("block", SimpleNamespace(address="tcp://there"), 3)


def test_a_scheduler_that_is_not_there(run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "_CONNECTING", "0.2s")
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(ProcessError, match=f"cannot reach a Dask scheduler at {address}.*`dask scheduler` starts"):
            explain_dataset(run_folder, DIGITS, tmp_path / "maps.zarr", SMALL, ways=Ways(scheduler=address))


def test_without_distributed(run_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r'pip install "imagrad\[dist\]"'):
        explain_dataset(run_folder, DIGITS, tmp_path / "maps.zarr", SMALL, ways=Ways(workers=2))


@pytest.mark.slow
def test_a_killed_worker_costs_only_its_blocks(run_folder, tmp_path, here):
    killed, path = [], tmp_path / "maps.zarr"

    def kill(done, total):
        if done and not killed:
            workers = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
            killed.append(workers[0].pid)
            killed.append({n: (path / f"record/c/{n}").stat().st_mtime_ns for n in open_store(path).records})
            os.kill(workers[0].pid, signal.SIGKILL)

    explain_dataset(run_folder, DIGITS, path, SMALL, ways=Ways(workers=2), progress=kill)
    assert files_of(path) == here
    assert {n: (path / f"record/c/{n}").stat().st_mtime_ns for n in killed[1]} == killed[1]


# --- torchrun ---


def test_ranks_share_the_blocks():
    shares = [Ranks(rank, 3, "cpu").share_of([0, 1, 2, 4, 5, 6, 7]) for rank in range(3)]
    assert shares == [[0, 6], [1, 4, 7], [2, 5]]
    assert ranks("cpu") == Ranks(0, 1, "cpu") and ranks("cpu").is_first


def test_under_torchrun_there_are_no_other_workers(run_folder, tmp_path, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="under torchrun, its processes are the workers"):
        explain_dataset(run_folder, DIGITS, tmp_path / "maps.zarr", SMALL, ways=Ways(workers=2))
    with pytest.raises(InputError, match=r"each process takes its own device; got `device` cuda:1\. Give cuda"):
        ranks("cuda:1")


@pytest.mark.slow
def test_under_torchrun_the_file_is_the_same(run_folder, tmp_path, here):
    script = tmp_path / "script.py"
    script.write_text(
        "from imagrad.store import *\n"
        f"explain_dataset({run_folder!r}, {DIGITS.selection!r}, {str(tmp_path / 'maps.zarr')!r}, "
        "StoreSettings(batch_size=8, block_size=16))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert files_of(tmp_path / "maps.zarr") == here
