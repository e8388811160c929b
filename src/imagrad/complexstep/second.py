"""Second derivatives: the lifted program is itself a program, and is lifted again."""

from __future__ import annotations

from dataclasses import replace

import torch

from imagrad.complexstep.derivatives import prepare
from imagrad.complexstep.engines import Task, checked_finite, recording, value_and_pull
from imagrad.complexstep.functions import Function, Output
from imagrad.complexstep.number import Lifted
from imagrad.complexstep.points import Settings
from imagrad.complexstep.program import Program, in_type
from imagrad.complexstep.tracing import record
from imagrad.errors import InputError


def hessian(
    function: Function, point: torch.Tensor, *, dtype: torch.dtype | None = None, output: Output = None,
    memory_budget: int | None = None,
) -> torch.Tensor:  # fmt: skip
    """Differentiate twice at one point: shape output.shape + point.shape + point.shape.

    The derivative along a direction is traced as a function of the point and the direction, and lifted once more: one
    pass forward and back for each element of the point. Kinks count as autograd has them.
    """
    task = _twice(function, point, Settings("transpose", dtype=dtype, memory_budget=memory_budget), output)
    eye = torch.eye(point.numel(), dtype=task.point.dtype, device=point.device).view(-1, *point.shape)
    rows = torch.cat([_products(task, block) for block in eye.split(task.at_once)])  # (m, *output, *point)
    ndim = rows.ndim - 1 - point.ndim
    return rows.movedim(0, -1).reshape(rows.shape[1 : 1 + ndim] + point.shape + point.shape)


def hessian_vector_product(
    function: Function, point: torch.Tensor, vector: torch.Tensor, *, kinks: str = "ad",
    dtype: torch.dtype | None = None, output: Output = None,
) -> torch.Tensor:  # fmt: skip
    """Return the Hessian at `point` times `vector`, a tensor of the point's shape: output.shape + point.shape.

    Costs one pass forward and one back for each output. Raises `InputError` for a one-sided kink policy, under which
    the derivative is not linear in its direction.
    """
    settings = Settings("auto", kinks=kinks, dtype=dtype)
    settings.refuse_one_sided("a Hessian-vector product")
    if vector.shape != point.shape:
        raise InputError(f"`vector` must have the point's shape, {tuple(point.shape)}; got {tuple(vector.shape)}.")
    task = _twice(function, point, replace(settings, engine="transpose"), output)
    return _products(task, vector.to(task.point)[None])[0]


def _twice(function: Function, point: torch.Tensor, settings: Settings, output: Output) -> Task:
    """Return the task of differentiating the derivative along a held direction."""
    once = prepare(function, point, settings, output)

    def along(at: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        return once.program.run(Lifted(at, direction)).im

    graph = record(along, (once.point, torch.ones_like(once.point)))
    constants = {name: in_type(value, once.program.dtype) for name, value in graph.constants.items()}
    program = Program(graph, constants, once.program.dtype, once.program.device)
    return Task(program, once.point, (), settings)


def _products(task: Task, directions: torch.Tensor) -> torch.Tensor:
    """Return the Hessian times each of the directions (k, *point): (k, *output, *point)."""

    def product(direction: torch.Tensor) -> torch.Tensor:
        value, pull = value_and_pull(replace(task, held=(direction,)))
        unit = torch.eye(value.numel(), dtype=value.dtype, device=value.device).view(-1, *value.shape)
        return pull(unit).reshape(value.shape + task.point.shape)

    with recording(task):
        several = len(directions) > 1
        return checked_finite(torch.vmap(product)(directions) if several else product(directions[0])[None])
