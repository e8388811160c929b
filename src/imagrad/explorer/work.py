"""One thread that computes, and a short queue before it: what waits is bounded, and so is memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class BusyError(Exception):
    """More waits than may; for inner use, the client gets the status 503."""


class Bench:
    """Runs functions one after the other, off the event loop.

    One thread alone: torch splits each computation over the cores by itself, and tracing a network is not for several.
    """

    def __init__(self, name: str, waiting: int) -> None:
        """Begin with an empty queue, which holds `waiting` at most."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._most = waiting
        self.waiting = 0
        """How much waits or is under way."""

    async def run(self, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """Compute when its turn comes; raise `BusyError` at once where too much waits already."""
        if self.waiting >= self._most:
            raise BusyError
        self.waiting += 1
        loop = asyncio.get_running_loop()
        try:
            future: Future[Answer] = self._pool.submit(function, *arguments)
        except BaseException:
            self.waiting -= 1
            raise
        # whoever asked may be gone by then: the place in the queue is free when the work is done, not before
        future.add_done_callback(lambda _: self._release(loop))
        return await asyncio.wrap_future(future)

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._count_down)

    def _count_down(self) -> None:
        self.waiting -= 1

    def close(self) -> None:
        """Drop what waits; let what is under way end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
