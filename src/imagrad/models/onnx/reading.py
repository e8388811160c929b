"""From an ONNX file to a module of torch, tried once on noise before anybody uses it."""

from __future__ import annotations

from pathlib import Path

import torch

from imagrad.errors import EncoderError
from imagrad.models.onnx import operations as _operations
from imagrad.models.onnx.batches import settle_batches
from imagrad.models.onnx.files import read_file
from imagrad.models.onnx.graph import OnnxGraph, graph_of
from imagrad.models.onnx.network import Facts, InnerTensor, OnnxNetwork
from imagrad.models.onnx.plan import Plan, plan_for

_FILLED_BY = _operations  # imported so that the table is full
_FLOATING = {"float": torch.float32, "double": torch.float64, "float16": torch.float32, "bfloat16": torch.float32}
_HALF = ("float16", "bfloat16")


def read_onnx(path: str | Path, *, latent: str | None = None) -> OnnxNetwork:
    """Read a network from an ONNX file, in eval mode; nothing in the file is run but operations of imagrad's own table.

    latent
        The inner tensor that is the code, by its name or that of the node that makes it; None: the only output.

    All is computed in one floating-point type: float64 where the file holds or asks for any, else float32. Half
    precision is read as float32, and `notes` say so.

    Raises `MissingExtraError` without the package onnx, `MissingDataError` and `CorruptDataError` for the file,
    `InputError` for data outside of its folder and for an unknown `latent`, `UnsupportedOperationError` for operations
    that are not covered, `EncoderError` for what is no function from images to one code.
    """
    file = read_file(Path(path))
    graph = graph_of(file)
    plan = plan_for(graph, latent)
    given = graph.inputs[plan.input]
    if given.type not in _FLOATING:
        raise EncoderError(
            f"a network must take floating-point images; {plan.input!r} is {given.type or 'of unknown type'}. Export "
            "it from where it has become one."
        )
    facts = Facts(
        {plan.input: given.shape},
        {name: it.shape for name, it in graph.outputs.items()},
        _inner_tensors(graph),
        file.sha256,
        _notes(graph, plan),
    )
    network = OnnxNetwork(plan, facts, _type_of(graph, plan)).eval()
    settle_batches(network)
    return network


def inner_tensors(path: str | Path) -> tuple[InnerTensor, ...]:
    """List the tensors of an ONNX file that can be the code, also where not all operations are covered.

    Raises what reading a file does: see `read_onnx`.
    """
    return _inner_tensors(graph_of(read_file(Path(path))))


def _type_of(graph: OnnxGraph, plan: Plan) -> torch.dtype:
    """Return the widest floating-point type that is stored or given."""
    kinds = [array.dtype.name for array in plan.weights.values()] + [graph.inputs[plan.input].type]
    return torch.float64 if "float64" in kinds or "double" in kinds else torch.float32


def _notes(graph: OnnxGraph, plan: Plan) -> tuple[str, ...]:
    """Say where the type computed in is not the one that the file asks for."""
    names = {plan.input, plan.target, *(name for step in plan.steps for name in step.node.inputs + step.node.outputs)}
    kinds = {graph.described[name].type for name in names if name in graph.described}
    halves = sorted(kinds.intersection(_HALF))
    return (f"the file is in {' and '.join(halves)}: it is computed in float32 here",) if halves else ()


def _inner_tensors(graph: OnnxGraph) -> tuple[InnerTensor, ...]:
    """List what depends on the inputs and is not known to be anything else than floating-point numbers."""
    varying, found = set(graph.inputs), list[InnerTensor]()
    for node in graph.nodes:
        if not varying.intersection(node.inputs) or node.operation in ("Shape", "Size"):
            continue
        varying |= {name for name in node.outputs if name}
        for name in node.outputs:
            described = graph.described.get(name)
            if name and (described is None or described.type in ("", *_FLOATING)):
                found.append(InnerTensor(name, node.operation, described.shape if described else None))
    return tuple(found)
