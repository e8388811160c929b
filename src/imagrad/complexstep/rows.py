"""Rows of Jacobians, by the transposed derivative; what has been run some times for one shape is recorded.

Running a graph rule by rule costs Python time for each operation, more than the arithmetic in a small network. After
some calls for the same shapes the whole way, from the point and the weights to the value and the rows of the Jacobian,
is written down once as a list of ATen operations; it gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from imagrad.complexstep.engines import Task, unit_directions, value_and_pull

Pulled = tuple[torch.Tensor, torch.Tensor]
"""The value, and the rows of the Jacobian for some cotangents, (k, *point)."""

_USES = 3  # recording costs about as much as a hundred calls of a small network: not for one or two
_MOST = 4  # shapes remembered for one graph


def row_blocks(task: Task, outputs: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the Jacobian's rows of some outputs at a time: (outputs, rows (k, n, *input)); `outputs` index a code.

    The rows are not looked at: whoever adds them up checks that the result is finite.
    """
    blocks = outputs.split(task.at_once)
    like = task.point.new_empty(()).expand(task.value_shape)
    if len(blocks) == 1:
        value, rows = value_and_rows(task, unit_directions(like, outputs, task.batched).contiguous())
        task.confirm(value)
        yield outputs, rows if task.batched else rows[:, None]
        return
    value, pull = value_and_pull(task)
    task.confirm(value)
    for block in blocks:
        rows = pull(unit_directions(like, block, task.batched))
        yield block, rows if task.batched else rows[:, None]


def value_and_rows(task: Task, cotangents: torch.Tensor) -> Pulled:
    """Return the value of a task, and its transposed derivative applied to cotangents (k, *output), all at once."""
    run = None if task.settings.differentiable else _recorded(task, cotangents)
    if run is None:
        value, pull = value_and_pull(task)
        return value, pull(cotangents)
    _, tensors = _tensors(task)
    with torch.no_grad():
        return run(task.point, list(task.held), tensors, cotangents)


def _recorded(task: Task, cotangents: torch.Tensor) -> Callable[..., Pulled] | None:
    """Return the straight-line program for these shapes, if it has been worth recording."""
    kept = task.program.graph.recorded
    key = _key(task, cotangents)
    uses, run = kept.get(key, (0, None))
    if uses == _USES and len([1 for _, known in kept.values() if known is not None]) < _MOST:
        run = _record(task, cotangents)
    kept[key] = (uses + 1, run)
    return run


def _key(task: Task, cotangents: torch.Tensor) -> Any:
    _, tensors = _tensors(task)
    return (
        task.program.dtype,
        task.program.device,
        *((x.shape, x.dtype, x.stride()) for x in (task.point, *task.held, cotangents, *tensors)),
    )


def _tensors(task: Task) -> tuple[list[str], list[torch.Tensor]]:
    """List the weights, which change from call to call, with their names."""
    found = {name: x for name, x in task.program.constants.items() if isinstance(x, torch.Tensor)}
    return list(found), list(found.values())


def _record(task: Task, cotangents: torch.Tensor) -> Callable[..., Pulled] | None:
    names, tensors = _tensors(task)

    def whole(
        point: torch.Tensor, held: list[torch.Tensor], weights: list[torch.Tensor], directions: torch.Tensor
    ) -> Pulled:
        constants = {**task.program.constants, **dict(zip(names, weights, strict=True))}
        program = replace(task.program, constants=constants)
        value, pull = value_and_pull(replace(task, program=program, point=point, held=tuple(held)))
        return value, pull(directions)

    try:
        with torch.no_grad():
            module = make_fx(whole)(task.point, list(task.held), tensors, cotangents)
    except Exception:  # a rule that looks at values cannot be recorded; it is run step by step, which is only slower
        return None
    module.graph.eliminate_dead_code()
    module.recompile()
    return module
