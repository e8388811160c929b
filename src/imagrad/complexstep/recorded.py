"""Straight-line recordings: what has been run some times for one shape is written down as a list of ATen operations.

Running a graph rule by rule costs Python time for each operation, more than the arithmetic in a small network. After
some calls for the same shapes the whole way, from the point and the weights to the derivatives, is recorded once; a
recording gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.graph import CodeGen

if TYPE_CHECKING:
    from imagrad.complexstep.engines import Task

Compute = Callable[["Task", torch.Tensor], Any]
"""A task and some directions -> tensors."""

_USES = 3  # recording costs about as much as a hundred calls of a small network: not for one or two
_MOST = 4  # shapes remembered for one graph


def replay(task: Task, compute: Compute, directions: torch.Tensor) -> Any:
    """Return `compute(task, directions)`, from a recording where it has been worth making one."""
    if task.settings.differentiable:
        return compute(task, directions)
    tensors = {name: x for name, x in task.program.constants.items() if isinstance(x, torch.Tensor)}
    run = _recording(task, compute, directions, tensors)
    if run is None:
        return compute(task, directions)
    with torch.no_grad():
        return run(task.point, *task.held, *tensors.values(), directions)


def _recording(
    task: Task, compute: Compute, directions: torch.Tensor, tensors: dict[str, torch.Tensor]
) -> Callable[..., Any] | None:
    """Return the recording for these shapes, if there is one by now."""
    kept = task.program.graph.recorded
    shapes = ((x.shape, x.dtype, x.stride()) for x in (task.point, *task.held, directions, *tensors.values()))
    key = (compute, task.program.dtype, task.program.device, *shapes)
    uses, run = kept.get(key, (0, None))
    if uses == _USES and len([1 for _, known in kept.values() if known is not None]) < _MOST:
        run = _record(task, compute, directions, tensors)
    kept[key] = (uses + 1, run)
    return run


def _record(
    task: Task, compute: Compute, directions: torch.Tensor, tensors: dict[str, torch.Tensor]
) -> Callable[..., Any] | None:
    count = len(task.held)

    def whole(point: torch.Tensor, *others: torch.Tensor) -> Any:
        held, weights, along = others[:count], others[count:-1], others[-1]
        constants = {**task.program.constants, **dict(zip(tensors, weights, strict=True))}
        program = replace(task.program, constants=constants)
        return compute(replace(task, program=program, point=point, held=held), along)

    try:
        with torch.no_grad():
            module = make_fx(whole)(task.point, *task.held, *tensors.values(), directions)
    except Exception:  # a rule that looks at values cannot be recorded; it is run step by step, which is only slower
        return None
    module.graph.eliminate_dead_code()
    module.graph.set_codegen(CodeGen())  # takes and returns tensors as they are, and need not take trees apart
    module.recompile()
    return module.forward
