"""Rows of Jacobians, by the transposed derivative."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from imagrad.complexstep.engines import Task, unit_directions, value_and_pull
from imagrad.complexstep.recorded import replay


def row_blocks(task: Task, outputs: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the Jacobian's rows of some outputs at a time: (outputs, rows (k, n, *input)); `outputs` index a code.

    The rows are not looked at: whoever adds them up checks that the result is finite.
    """
    blocks = outputs.split(task.at_once)
    like = task.point.new_empty(()).expand(task.value_shape)
    if len(blocks) == 1:
        cotangents = unit_directions(like, outputs, task.batched).contiguous()
        value, rows = replay(task, _value_and_rows, cotangents)
        task.confirm(value)
        yield outputs, rows if task.batched else rows[:, None]
        return
    value, pull = value_and_pull(task)
    task.confirm(value)
    for block in blocks:
        rows = pull(unit_directions(like, block, task.batched))
        yield block, rows if task.batched else rows[:, None]


def _value_and_rows(task: Task, cotangents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the value of a task, and its transposed derivative applied to cotangents (k, *output), all at once."""
    value, pull = value_and_pull(task)
    return value, pull(cotangents)
