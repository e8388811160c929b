"""Blocks on a Dask cluster: this machine's cores, or any machines that see the same files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from imagrad.errors import MissingExtraError, ProcessError
from imagrad.store.blocks import Place, explain_block

Done = Callable[[int], None]
"""Called with the number of images of a block that is done."""

_AHEAD = 2  # blocks for each thread of the cluster: one under way and one waiting
_CONNECTING = "10s"


def on_workers(count: int, place: Place, blocks: Sequence[int], done: Done) -> None:
    """Run blocks in so many processes of this machine; raises what `on_scheduler` raises.

    No client is made the default one: what else the process computes with Dask is left alone.
    """
    distributed = _distributed()
    threads = str(place.job.settings.threads)
    with (
        distributed.LocalCluster(
            n_workers=min(count, len(blocks)), threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
            memory_limit=0, silence_logs=logging.ERROR, env={"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        _work(client, place, blocks, done)


def on_scheduler(address: str, place: Place, blocks: Sequence[int], done: Done) -> None:
    """Run blocks on the workers of a scheduler.

    Raises `ProcessError` when there is none, or when the workers die over a block again and again,
    `MissingExtraError` without distributed, and what `explain_block` raises.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=_CONNECTING, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ProcessError(
            f"cannot reach a Dask scheduler at {address} ({error}). `dask scheduler` starts one and says its address; "
            f"`dask worker {address} --nthreads 1` adds a process that works for it."
        ) from error
    with client:
        _work(client, place, blocks, done)


def _work(client: Any, place: Place, blocks: Sequence[int], done: Done) -> None:
    """Keep as many blocks under way as the cluster has threads, and some more: its size may change."""
    distributed = _distributed()
    waiting = iter(blocks)
    under_way = distributed.as_completed(loop=client.loop)
    count = 0

    def submit() -> int:
        room = _AHEAD * max(1, sum(client.nthreads().values())) - count
        numbers = list(islice(waiting, max(0, room)))
        for number in numbers:
            under_way.add(client.submit(explain_block, place, number, pure=False))
        return len(numbers)

    count += submit()
    for future in under_way:
        try:
            done(future.result())
        except distributed.KilledWorker as error:
            raise ProcessError(
                f"the workers died over a block again and again ({error}), as they do when memory runs out. Blocks "
                "that were finished are safe; run the same command again, with fewer workers if it was memory."
            ) from error
        future.release()
        count -= 1
        count += submit()


def _distributed() -> Any:
    """Import distributed; raise `MissingExtraError` where it is not installed."""
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError(
            'workers and schedulers need distributed, which is not installed: pip install "imagrad[dist]". '
            "Without them, the data set is explained in this process."
        ) from error
    return distributed
