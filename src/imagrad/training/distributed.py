"""One training on several processes (torchrun): each takes its share of every batch, and all take the same step.

A batch's loss is a mean over its images, so that the whole batch's gradient is the mean of the shares' gradients, each
weighted with its images. Order and draws are those of the whole batch, on every process, of which it takes its rows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagrad.errors import InputError

if TYPE_CHECKING:  # the command line asks who it is before anything heavy is imported
    import torch
    from lightning_fabric import Fabric


def processes() -> int:
    """Return how many processes torchrun has started for this work; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def is_first() -> bool:
    """Say whether this process is the one that writes and prints."""
    return processes() == 1 or os.environ["RANK"] == "0"


def refuse_several(what: str) -> None:
    """Raise `InputError` under torchrun for what one process must do."""
    if processes() > 1:
        raise InputError(
            f"under torchrun, {processes()} processes train one network; {what} is not shared. Run it without torchrun."
        )


def make_fabric(device: str) -> Fabric:
    """Return the Fabric of one process, or, under torchrun, of all that it has started, connected with each other."""
    from lightning_fabric import Fabric

    kind, _, index = device.partition(":")
    if processes() == 1:
        return Fabric(accelerator=kind, devices=[int(index or 0)] if kind == "cuda" else 1)
    if index:
        raise InputError(f"under torchrun, each process takes its own device; got `device` {device}. Give {kind}.")
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    fabric = Fabric(accelerator=kind, devices=here, num_nodes=processes() // here, strategy="ddp")
    fabric.launch()
    return fabric


@dataclass(frozen=True)
class Share:
    """The rows of a batch that one process computes."""

    batch: int
    """Images in the whole batch."""
    rows: slice
    count: int
    """How many of the rows count: none, in a process for which the batch is too small. It takes the first row then,
    with a weight of 0, as every process must take part in every step."""
    processes: int = 1

    def of(self, whole: torch.Tensor, axis: int = 0) -> torch.Tensor:
        """Return this process's rows of what was drawn for the whole batch."""
        return whole if self.processes == 1 else whole[(slice(None),) * axis + (self.rows,)]

    def weighted(self, loss: torch.Tensor) -> torch.Tensor:
        """Scale a mean over the rows so that the mean over the processes is the mean over the batch."""
        return loss if self.processes == 1 else loss * (self.processes * self.count / self.batch)

    def batch_mean(self, own: torch.Tensor) -> torch.Tensor:
        """Return the mean over the batch of what is `own` over the rows, with the gradient of `own`.

        For f(m), m = sum_r w_r m_r: process r has the weight w_r, so that f'(m) dm_r is what it has to add.
        """
        if self.processes == 1:
            return own
        from torch import distributed

        whole = own.detach() * (self.count / self.batch)
        distributed.all_reduce(whole)
        return own + (whole - own.detach())


def share_of(batch: int, rank: int = 0, size: int = 1) -> Share:
    """Return the share of process `rank` of `size`: consecutive rows, the first processes one more where need be."""
    least, more = divmod(batch, size)
    begin, count = rank * least + min(rank, more), least + (rank < more)
    return Share(batch, slice(begin, begin + count) if count else slice(0, 1), count, size)


def summed(fabric: Any, sums: torch.Tensor) -> torch.Tensor:
    """Add up what each process has summed over its rows."""
    return fabric.all_reduce(sums.clone(), reduce_op="sum") if fabric.world_size > 1 else sums
