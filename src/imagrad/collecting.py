"""Garbage collection, put off while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Generator[None]:
    """Put garbage collection off: while modules are imported it looks time and again through all that there is.

    What uses a thousand new modules, such as torch.export, starts a sixth sooner. Who has switched it off keeps it off.
    """
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()
