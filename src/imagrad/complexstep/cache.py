"""Traced graphs, remembered as long as the function lives; every reuse is checked against the function itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch

from imagrad.complexstep.functions import Function, Output, modules_of
from imagrad.complexstep.program import Program, bind
from imagrad.complexstep.tracing import Graph, export
from imagrad.errors import EncoderError

_ROUNDING = (
    1e4  # times the precision of the network's type: deep networks add up rounding; a lost operation is far more
)
_COARSEST = 0.1  # whatever the type
_SMALLEST_CODE = 1e-2  # codes below it are compared as if they were of this size
_SLACK = 4.0  # a reused graph may be off by so many times what it was when it was new
_UNITS = 8  # ... or by so many units of rounding


@dataclass(frozen=True)
class _Known:
    graph: Graph
    off: float
    """How far it was from the function when it was new."""


_KNOWN: WeakKeyDictionary[Any, dict[Any, _Known]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Compared:
    """A program that has been compared with its function."""

    program: Program
    value: torch.Tensor
    """What it gives for the examples."""
    ties: Counter[str]
    """How often samples of a batch stand exactly at a kink, by operation; of one point they are not counted."""


class StaleGraphError(Exception):
    """A remembered graph is not the function any more; for inner use, it never reaches a caller."""


@dataclass(frozen=True)
class Expected:
    """What a program has to return."""

    own: torch.Tensor
    limit: float

    def confirm(self, value: torch.Tensor) -> None:
        """Raise `StaleGraphError` when a value is not the expected one."""
        if not distance(value.detach(), self.own) <= self.limit:
            raise StaleGraphError


def remembered(
    function: Function, examples: Sequence[torch.Tensor], own: torch.Tensor, *, output: Output = None
) -> tuple[Program, Expected] | None:
    """Return the program of a remembered graph of one point without comparing it yet, and what it must return."""
    known = _shelf(getattr(function, "__self__", function)).get(_key(function, examples, False, output))
    if known is None:
        return None
    limit = max(_SLACK * known.off, _UNITS * torch.finfo(own.dtype).eps)
    return bind(known.graph, function, own.dtype, own.device), Expected(own, limit)


def program_of(
    function: Function, examples: Sequence[torch.Tensor], own: torch.Tensor, *, batched: bool, output: Output = None
) -> Compared:
    """Return the program of `function` for tensors shaped like `examples`, in the type of `own` and where that is.

    `own` is what the function itself returns for them. A remembered graph that now gives something else is traced
    again; raises `EncoderError` when a new one does, and what `export` raises.
    """
    anchor = getattr(function, "__self__", function)
    shelf = _shelf(anchor)
    key = _key(function, examples, batched, output)
    known = shelf.get(key)
    if known is not None:
        limit = max(_SLACK * known.off, _UNITS * torch.finfo(own.dtype).eps)
        program = bind(known.graph, function, own.dtype, own.device)
        compared, off = _compared(program, examples, own, batched)
        if off <= limit:
            return compared
    graph = export(function, examples, batched=batched, output=output)
    compared, off = _compared(bind(graph, function, own.dtype, own.device), examples, own, batched)
    check_trace(off, own.dtype)
    shelf[key] = _Known(graph, off)
    return compared


def _shelf(anchor: Any) -> dict[Any, _Known]:
    try:
        return _KNOWN.setdefault(anchor, {})
    except TypeError:  # what cannot be referred to weakly, or has no hash, is not remembered
        return {}


def _key(function: Function, examples: Sequence[torch.Tensor], batched: bool, output: Output) -> Any:
    modules = modules_of(function)
    state = [x for module in modules for x in (*module.parameters(), *module.buffers())]
    return (
        getattr(function, "__func__", None),
        tuple((x.shape[1:] if batched else x.shape, len(x) if batched else 0, x.dtype, x.device) for x in examples),
        tuple(inner.training for module in modules for inner in module.modules()),
        tuple(id(x) for x in state),
        batched,
        output,
    )


def _compared(
    program: Program, examples: Sequence[torch.Tensor], own: torch.Tensor, batched: bool
) -> tuple[Compared, float]:
    """Run a program; also say how far it is from what its function returns, relative to its largest."""
    points = [x.detach().to(own.dtype) if x.is_floating_point() else x for x in examples]
    with torch.no_grad():
        found, ties = program.ties(*points) if batched else (program.run_real(*points), Counter[str]())
    off = distance(found, own) if found.shape == own.shape else float("inf")
    return Compared(program, found, ties), off


def distance(found: torch.Tensor, own: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    if not own.numel():
        return 0.0
    return float((found - own.to(found)).abs().max()) / max(_SMALLEST_CODE, float(own.abs().max()))


def check_trace(off: float, dtype: torch.dtype) -> None:
    """Raise `EncoderError` unless the graph gives the network's own codes, to the rounding of the network's type."""
    if not off <= min(_COARSEST, _ROUNDING * torch.finfo(dtype).eps):
        raise EncoderError(
            f"the traced network must give the codes that the network gives; they differ by {off:.3g} of the largest. "
            "Does it keep state between calls, or run under autocast? Such a network cannot be explained."
        )
