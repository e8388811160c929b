"""Which nodes of a graph are needed to compute one of its tensors, in which order, and what they need."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from imagrad.errors import CorruptDataError, EncoderError, InputError, UnsupportedOperationError
from imagrad.models.onnx.graph import Node, OnnxGraph
from imagrad.models.onnx.table import ON_KNOWN, OPERATIONS, Operation

_SMALL = 64  # so many numbers at most are looked at as bounds, exponents or factors; more of them are weights

_BRANCHES = ("If", "Loop", "Scan", "SequenceMap")
_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")
_QUANTISED = ("Linear", "Integer", "QLinear")


@dataclass(frozen=True)
class Step:
    """A node with its entry in the table."""

    node: Node
    entry: Operation
    on_known: Operation | None
    """What is done instead where all inputs are known numbers."""
    ending: tuple[str, ...]
    """The tensors that nobody needs after it."""


@dataclass(frozen=True)
class Plan:
    """How one tensor of a graph is computed."""

    target: str
    input: str
    """The one tensor that has to be given."""
    steps: tuple[Step, ...]
    weights: Mapping[str, NDArray[Any]]
    """The stored floating-point numbers."""
    numbers: Mapping[str, NDArray[Any]]
    """The stored numbers that are known while a graph is traced: whole ones, bounds, factors."""


def plan_for(graph: OnnxGraph, latent: str | None) -> Plan:
    """Plan how the code is computed: an inner tensor by its name or its node's, or the only output.

    Raises `InputError` for an unknown name, `EncoderError` where there are several outputs or inputs to choose from,
    `UnsupportedOperationError` for nodes that the table does not cover.
    """
    target = _target(graph, latent)
    nodes = _needed(graph, target)
    steps = _steps(nodes, target)
    used = {name for node in nodes for name in node.inputs if name} | {target}
    given = [name for name in graph.inputs if name in used]
    if target in graph.inputs or not given:
        raise EncoderError(f"{target!r} does not depend on what the network is given: it cannot be a code.")
    if len(given) > 1:
        raise EncoderError(
            f"a network must take one tensor, the images; {target!r} needs {', '.join(map(repr, given))}. Export it "
            "with the others as constants, or pick by --latent an inner tensor that needs one of them alone."
        )
    stored = {name: graph.stored[name]() for name in graph.stored if name in used}
    looked_at = _looked_at(nodes, graph.producers)
    weights = {
        name: array
        for name, array in stored.items()
        if array.dtype.kind == "f" and not (name in looked_at and array.size <= _SMALL)
    }
    numbers = {name: array for name, array in stored.items() if name not in weights}
    return Plan(target, given[0], steps, weights, numbers)


def _target(graph: OnnxGraph, latent: str | None) -> str:
    """Return the tensor that is the code."""
    if latent is None:
        if len(graph.outputs) == 1:
            return next(iter(graph.outputs))
        listed = ", ".join(f"{name!r} ({it.type or 'type unknown'})" for name, it in graph.outputs.items())
        raise EncoderError(f"the network has {len(graph.outputs)} outputs: {listed}. Pick one as the code by --latent.")
    if latent in graph.producers:
        return latent
    named = {node.name: node for node in graph.nodes if node.name}
    if latent in named:
        outputs = [name for name in named[latent].outputs if name]
        if len(outputs) == 1:
            return outputs[0]
        raise InputError(f"`latent` {latent!r} is a node with several outputs: {', '.join(outputs)}. Name one of them.")
    if latent in graph.inputs or latent in graph.stored:
        raise EncoderError(f"`latent` {latent!r} does not depend on what the network is given: it cannot be a code.")
    known = [*graph.producers, *named]
    near = difflib.get_close_matches(latent, known, n=3, cutoff=0.4) or list(graph.producers)[:8]
    raise InputError(
        f"`latent` {latent!r} names no tensor and no node of this network; near: {', '.join(near) or 'it has none'}. "
        "imagrad layers lists them all."
    )


def _needed(graph: OnnxGraph, target: str) -> list[Node]:
    """Return the nodes that a tensor needs, in the order of the file, which must be one in which they can be done."""
    wanted, needed = {target}, list[Node]()
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            needed.append(node)
            wanted |= set(node.inputs) - {""}
    needed.reverse()
    made = {*graph.inputs, *graph.stored}
    for node in needed:
        missing = [name for name in node.inputs if name and name not in made]
        if missing:
            raise CorruptDataError(f"{node.shown} needs {missing[0]!r}, which nothing before it makes.")
        made |= set(node.outputs)
    return needed


def _steps(nodes: Sequence[Node], target: str) -> tuple[Step, ...]:
    """Look every node up in the table; raise `UnsupportedOperationError`, which lists all that are not covered."""
    unknown = {node.operation: node for node in reversed(nodes) if node.operation not in OPERATIONS}
    if unknown:
        raise UnsupportedOperationError(_not_covered(list(unknown.values())[::-1]))
    last = {name: node for node in nodes for name in node.inputs}
    used = {name for node in nodes for name in node.inputs} | {target}
    found: list[Step] = []
    for node in nodes:
        entry = OPERATIONS[node.operation]
        reason = entry.refusal(node.attributes, len(node.inputs)) or _beyond_first(node, entry, used)
        if reason is not None:
            raise UnsupportedOperationError(refusal(node, reason))
        ending = tuple({name for name in node.inputs if name and last[name] is node and name != target})
        on_known = ON_KNOWN[node.operation] if node.operation in ON_KNOWN else None
        found.append(Step(node, entry, on_known, ending))
    return tuple(found)


def _beyond_first(node: Node, entry: Operation, used: set[str]) -> str | None:
    extra = [name for name in node.outputs[1:] if name in used]
    return f"its output {extra[0]!r} is not covered, only the first is" if extra and not entry.has_several else None


def _looked_at(nodes: Sequence[Node], producers: Mapping[str, Node]) -> set[str]:
    """Return the tensors whose numbers must be known while a graph is traced, and what these are computed from."""
    waiting = [
        name
        for node in nodes
        for k, name in enumerate(node.inputs)
        if OPERATIONS[node.operation].kind_of(k) in ("sizes", "factors", "known", "scalar")
    ]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if not name or name in found:
            continue
        found.add(name)
        node = producers.get(name)
        if node is not None and node.operation in ON_KNOWN and node.operation not in ("Shape", "Size"):
            waiting += node.inputs
    return found


def refusal(node: Node, reason: str) -> str:
    """Say that a node is not covered, why, and what can be done."""
    return (
        f"{node.shown} cannot be computed: {reason}. Explain the part of the network before it (--latent; imagrad "
        f"layers lists what there is), or widen its entry in {_place()}."
    )


def _not_covered(nodes: Sequence[Node]) -> str:
    """Say which operations are not in the table, and how one is put there."""
    listed = "; ".join(f"{node.shown}{_why(node.operation)}" for node in nodes)
    near = difflib.get_close_matches(nodes[0].operation, list(OPERATIONS), n=1, cutoff=0.8)
    hint = f" Did it mean {near[0]}?" if near else ""
    return (
        f"no entry in the table of ONNX operations for {listed}.{hint} {len(OPERATIONS)} have one (imagrad list "
        "onnx-operations). Explain the part of the network before it (--latent; imagrad layers lists what there is), "
        f"or add it, three lines: a function under @imagrad.models.onnx.operation({nodes[0].operation!r}), as in "
        f"{_place()}."
    )


def _why(operation: str) -> str:
    """Say what is special about an operation that was left out on purpose."""
    if operation in _BRANCHES:
        return ", which holds a graph of its own and may choose by the values of the images"
    if operation in _RANDOM:
        return ", which draws random numbers"
    if any(word in operation for word in _QUANTISED):
        return ", which is for quantised networks: export it unquantised"
    if "." in operation:
        return ", an operation of a domain outside ONNX's own"
    return ""


def _place() -> str:
    return "imagrad/models/onnx/operations/"
