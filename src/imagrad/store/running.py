"""Explain a data set: make a store or go on with one, run its blocks in this process or in others, and finish it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from imagrad.data.datasets import DATASETS, is_there
from imagrad.data.huggingface import HUB
from imagrad.data.selections import parse_selection
from imagrad.errors import InputError, ProcessError, RunFolderError
from imagrad.models.opening import Network, NetworkSource, open_network
from imagrad.store.blocks import Place, explain_block
from imagrad.store.clusters import on_scheduler, on_workers
from imagrad.store.job import DataSource, Job, StoreSettings
from imagrad.store.layout import RECORD, array_of, open_group, remove_leftovers, storage_errors
from imagrad.store.preparing import prepare
from imagrad.store.ranks import Ranks, ranks
from imagrad.store.reading import Store, open_store, recorded

Progress = Callable[[int, int], None]
"""Called with the number of images that are done, and of all."""

Explained = NetworkSource | Network | nn.Module | str | Path | None


@dataclass(frozen=True)
class Ways:
    """How blocks are run, which changes no number."""

    workers: int = 0
    """Processes of this machine to run blocks in; 0: this one."""
    scheduler: str | None = None
    """Address of the scheduler of a Dask cluster, "tcp://host:8786", whose workers run the blocks."""
    strict: bool = False
    """Whether an image that cannot be read is an error."""
    retry_missing: bool = False
    """Whether images that could not be read are tried again, block by block."""


def explain_dataset(
    network: Explained, data: DataSource | str, path: str | Path, settings: StoreSettings | None = None, *,
    ways: Ways | None = None, progress: Progress | None = None,
) -> Store:  # fmt: skip
    """Explain all images of a data set into a Zarr store at `path`, or go on with the one that is there.

    Parameters
    ----------
    network
        Where it is, as a path or a `NetworkSource` (None: the one that ships with imagrad), or what `open_network`
        returned; or a module, which is in this process only, where other processes cannot open it.
    data
        A selection such as "mnist:test" or "pictures/", or a `DataSource`.
    settings
        What decides the numbers. A store that is there keeps its own batch size, block size, threads and memory budget
        where these are None; anything else that differs is refused.
    ways
        How blocks are run: in this process, or on a Dask cluster. Under torchrun each process takes its share of them.
    progress
        Called with the number of images that are done and of all, when it has grown.

    What a store holds when it is finished depends on network, data and settings alone: not on how often it was
    interrupted, nor on how many processes worked on it. Raises `RunFolderError` for a path that holds something else,
    for a store of another network, data set or setting, and for one that is being worked on; `StorageError` when it
    cannot be written, `MissingExtraError` without distributed, `ProcessError` when a cluster fails, and what
    `imagrad.saliency` and `load_dataset` raise.
    """
    path, settings, ways = Path(path).absolute(), settings or StoreSettings(), ways or Ways()
    data = DataSource(data) if isinstance(data, str) else data
    own = ranks(settings.device)
    _check(ways, own, network)
    opened = network if isinstance(network, Network) else open_network(network, own.device)
    with own.connected():
        if own.is_first:
            prepare(path, opened, data, replace(settings, device=own.device.partition(":")[0]))
        own.wait()
        job = open_store(path).job
        job = replace(job, network=_absolute(opened.source), data=replace(_absolute_data(data), shape=job.shape))
        with _in_use(path, own):
            if own.is_first:
                _begin(path, job, ways)
            own.wait()
            place = Place(str(path), job, own.device, ways.strict, uuid.uuid4().hex)
            _run(place, ways, own, opened, progress or _silent)
            own.wait()
            if own.is_first:
                _finish(path, job)
            own.wait()
    return open_store(path)


def _silent(done: int, total: int) -> None:
    """Show nothing."""


def _check(ways: Ways, own: Ranks, network: Explained) -> None:
    """Raise `InputError` for ways that exclude each other."""
    if ways.workers < 0:
        raise InputError(f"`workers` must not be negative; got {ways.workers}.")
    elsewhere = bool(ways.workers) or ways.scheduler is not None
    if ways.workers and ways.scheduler is not None:
        raise InputError("give `workers`, for this machine, or `scheduler`, for a cluster that is there; not both.")
    if elsewhere and own.size > 1:
        raise InputError("under torchrun, its processes are the workers; leave out `workers` and `scheduler`.")
    if elsewhere and (isinstance(network, nn.Module) or (isinstance(network, Network) and network.is_here_alone)):
        raise InputError(
            "workers open the network themselves; this one is in this process only. Save it (docs/networks.md) and "
            "give its path, or leave out `workers` and `scheduler`."
        )


def _absolute(source: NetworkSource) -> NetworkSource:
    """Return where a network is as workers with another current folder find it."""
    is_file = source.path is not None and Path(source.path).exists()
    return replace(source, path=str(Path(str(source.path)).absolute())) if is_file else source


def _absolute_data(data: DataSource) -> DataSource:
    """Return where images are as workers with another current folder find them."""
    base = parse_selection(data.selection).base
    is_path = base not in DATASETS and not base.startswith(HUB) and is_there(data.selection)
    folder = None if data.data_dir is None else str(Path(data.data_dir).absolute())
    return replace(data, selection=str(Path.cwd() / data.selection) if is_path else data.selection, data_dir=folder)


@contextmanager
def _in_use(path: Path, own: Ranks) -> Generator[None]:
    """Hold the store; raise `RunFolderError` when another command does. Nothing is left behind, whatever happens."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody is kept out, and as blocks are the same whoever writes them, nothing is lost
        yield
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        if own.is_first:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RunFolderError(f"{path} is being worked on by another command. Wait for it, or stop it.") from error
    finally:
        os.close(folder)


def _begin(path: Path, job: Job, ways: Ways) -> None:
    """Clear away what a killed process left, and the blocks that are to be done again."""
    with storage_errors(path):
        remove_leftovers(path)
        store = open_store(path)
        again = [n for n, record in store.records.items() if record.missing and (ways.strict or ways.retry_missing)]
        unreadable = set(recorded(path)) - set(store.records)
        if not again and not unreadable:
            return
        group = open_group(path, "r+")
        group.attrs.put({name: value for name, value in group.attrs.asdict().items() if name != "summary"})
        group.attrs["complete"] = False
        for number in (*again, *unreadable):
            array_of(group, RECORD)[number] = ""  # first of all, so that the block does not count as done meanwhile


def _run(place: Place, ways: Ways, own: Ranks, network: Network, progress: Progress) -> None:
    """Run the blocks that are not done."""
    job, path = place.job, Path(place.path)
    finished = set(recorded(path))
    pending = [number for number in range(job.blocks) if number not in finished]
    counter = _Counter(progress, job.images, job.images - sum(_size(job, number) for number in pending))
    own.wait()  # no process may finish a block while another is still looking which are finished
    if ways.scheduler is not None and pending:
        on_scheduler(ways.scheduler, place, pending, counter.add)
    elif ways.workers and pending:
        on_workers(ways.workers, place, pending, counter.add)
    else:
        for number in own.share_of(pending):
            before = counter.done
            explain_block(place, number, network, counter.add)
            counter.done = before
            counter.add(_size(job, number))
            if own.size > 1:
                counter.done = sum(_size(job, number) for number in recorded(path))


def _size(job: Job, number: int) -> int:
    rows = job.rows(number)
    return rows.stop - rows.start


class _Counter:
    """How many images are done."""

    def __init__(self, progress: Progress, total: int, done: int) -> None:
        self.progress, self.total, self.done = progress, total, done
        progress(done, total)

    def add(self, count: int) -> None:
        """Count some more, and tell."""
        self.done += count
        self.progress(self.done, self.total)


def _finish(path: Path, job: Job) -> None:
    """Write the summary into the attributes, and that the store is complete."""
    store = open_store(path)
    if len(store.records) < job.blocks:
        raise ProcessError(
            f"{job.blocks - len(store.records)} blocks of {path} are not done, though no process has failed. Run the "
            "same command again: it goes on where it stopped."
        )
    if store.is_complete:
        return
    with storage_errors(path):
        remove_leftovers(path)
        open_group(path, "r+").update_attributes({"summary": store.summary, "complete": True})
