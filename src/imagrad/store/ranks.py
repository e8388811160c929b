"""Which blocks are this process's, when torchrun has started several."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from imagrad.complexstep.points import check_device
from imagrad.errors import InputError
from imagrad.training.distributed import processes

_PATIENCE = timedelta(days=30)  # the first to be done waits for the last; torchrun ends them all if one fails


@dataclass(frozen=True)
class Ranks:
    """Which of the processes that torchrun has started is the present one; without it, the only one."""

    rank: int
    size: int
    device: str
    """Where this one computes."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one that makes and finishes the store."""
        return self.rank == 0

    def share_of(self, blocks: Sequence[int]) -> list[int]:
        """Return every `size`-th block, by its number."""
        return [number for number in blocks if number % self.size == self.rank]

    @contextmanager
    def connected(self) -> Generator[None]:
        """Let the processes wait for each other inside."""
        if self.size == 1:
            yield
            return
        from torch import distributed

        distributed.init_process_group("gloo", timeout=_PATIENCE)
        try:
            yield
        finally:
            distributed.destroy_process_group()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()


def ranks(device: str) -> Ranks:
    """Return who this process is; under torchrun, each takes a device of its own."""
    if processes() == 1:
        check_device(device)
        return Ranks(0, 1, device)
    kind, _, index = device.partition(":")
    if index:
        raise InputError(f"under torchrun, each process takes its own device; got `device` {device}. Give {kind}.")
    own = f"cuda:{os.environ['LOCAL_RANK']}" if kind == "cuda" else kind
    check_device(own)
    return Ranks(int(os.environ["RANK"]), processes(), own)
