"""Independent pieces of work side by side, one process a core, each with one thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar

import torch

from imagrad.errors import ProcessError

Piece = TypeVar("Piece")
Done = TypeVar("Done")


_PATIENCE = 10.0  # seconds for the last messages to be shown


class _StoppedError(Exception):
    """The process that asked for the work does not want it any more."""


@dataclass(frozen=True)
class Link:
    """What a piece of work has of the process that asked for it."""

    tell: Callable[[Any], None]
    """Send it something to show."""
    check_wanted: Callable[[], None] = lambda: None
    """Raise when it has stopped waiting; to be called now and then by a piece that takes long."""


def cores() -> int:
    """Count the processor's cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(
    do: Callable[[Piece, Link], Done], pieces: Sequence[Piece], workers: int | None = None,
    hear: Callable[[Any], None] = lambda message: None,
) -> list[Done]:  # fmt: skip
    """Return `do(piece, link)` of each, in order, `workers` at a time (default: one a core), begun in the order given.

    `do` must be picklable: a function of a module, or a method of an object that is. `hear` gets what pieces tell.
    Raises what the first failing piece raises, and `ProcessError` when a process dies. On Ctrl-C the pieces under way
    stop when they next look; when this process is killed, the others end at once.
    """
    workers = min(len(pieces), workers or cores())
    if workers <= 1:
        return [do(piece, Link(hear)) for piece in pieces]
    context = multiprocessing.get_context("spawn")  # torch's threads do not live through a fork
    queue, stop = context.SimpleQueue(), context.Event()
    listener = Thread(target=_listen, args=(queue, hear), daemon=True)
    listener.start()
    with ProcessPoolExecutor(workers, context, _begin, (queue, stop)) as pool:
        try:
            futures = [pool.submit(_do, do, piece) for piece in pieces]
            for future in as_completed(futures):
                future.result()  # the first failure ends it all
            return [future.result() for future in futures]
        except BaseException as error:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise ProcessError(
                    "a process ended without a word, as one does that runs out of memory. What was saved is untouched; "
                    "run the command again, with fewer `workers` if it was memory."
                ) from error
            raise
        finally:
            # From a thread, and not waited for without end: a process that was killed may have died with the queue's
            # lock in its hand.
            Thread(target=queue.put, args=(None,), daemon=True).start()
            listener.join(_PATIENCE)


def _listen(queue: Any, hear: Callable[[Any], None]) -> None:
    while (message := queue.get()) is not None:
        hear(message)


# --- in the processes ---

_LINKS: dict[str, Any] = {}


def _begin(queue: Any, stop: Any) -> None:
    """Keep the links to the parent, take one thread, leave with the parent; Ctrl-C is the parent's to see."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _LINKS.update(queue=queue, stop=stop)
    Thread(target=_leave_with_the_parent, daemon=True).start()


def _leave_with_the_parent() -> None:
    """End this process, idle or not, when the parent is killed: somebody may go on with its folders at any moment."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # only the pool calls this
    parent.join()
    os._exit(1)


def _check_wanted() -> None:
    if _LINKS["stop"].is_set():
        raise _StoppedError


def _do(do: Callable[[Piece, Link], Done], piece: Piece) -> Done:
    return do(piece, Link(_LINKS["queue"].put, _check_wanted))
