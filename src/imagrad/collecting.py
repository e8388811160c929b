"""Garbage collection, put off while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock

_LOCK = Lock()
_inside: list[bool] = []
"""One for each that is inside, in whatever thread: whether collection was on when the first of them came."""


@contextmanager
def uncollected() -> Generator[None]:
    """Put garbage collection off: while modules are imported it looks time and again through all that there is.

    What uses a thousand new modules, such as torch.export, starts sooner (`benchmarks/starting.py`). The last of
    several threads that are inside switches it on again; who has switched it off before keeps it off.
    """
    with _LOCK:
        _inside.append(_inside[0] if _inside else gc.isenabled())
        gc.disable()
    try:
        yield
    finally:
        with _LOCK:
            if _inside.pop() and not _inside:
                gc.enable()
