"""An ONNX graph as plain records: nodes, stored tensors, inputs, outputs, and the shapes that are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from imagrad.errors import CorruptDataError, UnsupportedOperationError
from imagrad.models.onnx.files import OnnxFile, require_onnx

Shape = tuple[int | None, ...]
"""None for a size that is open."""

OLDEST, NEWEST = 9, 28
"""The versions of ONNX's operations (opsets) that the table was written for."""

_OWN = ("", "ai.onnx")
_ATTRIBUTES = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}  # of onnx.AttributeProto
_GRAPHS = (5, 10)


@dataclass(frozen=True)
class Node:
    """One operation of a graph."""

    name: str
    operation: str
    """With its domain where that is not ONNX's own: "com.microsoft.FusedConv"."""
    inputs: tuple[str, ...]
    """Names of tensors; "" for an input that is left out."""
    outputs: tuple[str, ...]
    version: int
    read: Callable[[], dict[str, Any]]
    """Reads the attributes."""

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The attributes by name."""
        return self.read()

    @property
    def shown(self) -> str:
        """What a reader is told that it is."""
        return f"the node {self.name or self.outputs[0]!r} ({self.operation})"


@dataclass(frozen=True)
class Described:
    """What a file says of a tensor."""

    type: str
    """Of its numbers, such as "float"; "" where it does not say."""
    shape: Shape | None


@dataclass(frozen=True)
class OnnxGraph:
    """A graph, as far as it is needed to compute a tensor of it."""

    nodes: tuple[Node, ...]
    stored: Mapping[str, Callable[[], NDArray[Any]]]
    """Reads a tensor that the file holds, by name."""
    inputs: Mapping[str, Described]
    """What has to be given."""
    outputs: Mapping[str, Described]
    described: Mapping[str, Described]
    """What is known of the tensors, by name; not all need be there."""

    @cached_property
    def producers(self) -> dict[str, Node]:
        """The node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.outputs if name}


def graph_of(file: OnnxFile) -> OnnxGraph:
    """Turn a parsed file into records; raise `UnsupportedOperationError` for a version that is not covered."""
    onnx = require_onnx()
    model = file.model
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    versions = {("" if entry.domain in _OWN else entry.domain): entry.version for entry in model.opset_import}
    version = versions.get("", NEWEST)
    if not OLDEST <= version <= NEWEST:
        raise UnsupportedOperationError(
            f"{file.path} uses version {version} of ONNX's operations; {OLDEST} to {NEWEST} are covered. "
            "onnx.version_converter.convert_version, or an export with another opset_version, brings it there."
        )
    graph = model.graph
    inferred = _inferred(onnx, model)
    told = (*inferred.value_info, *inferred.input, *inferred.output)
    described = {value.name: _described(value) for value in told}
    stored = {tensor.name: _reader(file, tensor) for tensor in graph.initializer}
    nodes: list[Node] = []
    for proto in graph.node:
        node = _node(file, proto, versions)
        if node.operation == "Constant":
            stored[node.outputs[0]] = _constant(node)
        else:
            nodes.append(node)
    inputs = {value.name: described[value.name] for value in graph.input if value.name not in stored}
    outputs = {value.name: described[value.name] for value in graph.output}
    return OnnxGraph(tuple(nodes), stored, inputs, outputs, described)


def _inferred(onnx: Any, model: Any) -> Any:
    """Let ONNX infer the shapes of inner tensors; where it cannot, those that the file states have to do."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # whatever it raises: the shapes are only told to the reader
        return model.graph


def _described(value: Any) -> Described:
    if not value.type.HasField("tensor_type"):
        return Described(value.type.WhichOneof("value") or "", None)
    kind = value.type.tensor_type
    name = _type_name(kind.elem_type)
    if not kind.HasField("shape"):
        return Described(name, None)
    return Described(name, tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim))


def _type_name(number: int) -> str:
    return require_onnx().TensorProto.DataType.Name(number).lower()


def _reader(file: OnnxFile, tensor: Any) -> Callable[[], NDArray[Any]]:
    return lambda: file.array(tensor)


def _node(file: OnnxFile, proto: Any, versions: Mapping[str, int]) -> Node:
    domain = "" if proto.domain in _OWN else proto.domain
    name = f"{domain}.{proto.op_type}" if domain else proto.op_type
    if not any(proto.output):
        raise CorruptDataError(f"the node {proto.name!r} ({name}) of {file.path} makes nothing.")

    def read() -> dict[str, Any]:
        return {attribute.name: _attribute(file, attribute, proto.name) for attribute in proto.attribute}

    return Node(proto.name, name, tuple(proto.input), tuple(proto.output), versions.get(domain, 1), read)


def _attribute(file: OnnxFile, attribute: Any, node: str) -> Any:
    if attribute.type not in _ATTRIBUTES:
        kind = "a graph of its own" if attribute.type in _GRAPHS else "of a kind that is not covered"
        raise UnsupportedOperationError(f"the attribute {attribute.name!r} of the node {node!r} is {kind}.")
    value = getattr(attribute, _ATTRIBUTES[attribute.type])
    if attribute.type == 3:
        return value.decode(errors="replace")
    if attribute.type == 4:
        return file.array(value)
    if attribute.type == 8:
        return [text.decode(errors="replace") for text in value]
    return list(value) if attribute.type in (6, 7) else value


def _constant(node: Node) -> Callable[[], NDArray[Any]]:
    """Read what a node Constant holds, which may be written in several ways."""

    def read() -> NDArray[Any]:
        import numpy as np

        name, value = next(iter(node.attributes.items()), ("nothing", None))
        if name not in ("value", "value_float", "value_floats", "value_int", "value_ints"):
            raise UnsupportedOperationError(f"{node.shown} holds {name}, which is not covered: only numbers are.")
        kind = np.float32 if name.startswith("value_float") else np.int64
        return np.asarray(value) if name == "value" else np.asarray(value, kind)

    return read
