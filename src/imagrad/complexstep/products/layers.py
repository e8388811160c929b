"""A network as layers: products with constant weights, sums of two branches, and what lies between them.

Between two layers each number is moved, or multiplied by a slope of its own, but not mixed with others: activations,
batch normalisation, max pooling, reshaping. Of what lies between it is enough to know where each number comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import fx

from imagrad.complexstep.rules import RULES
from imagrad.complexstep.tracing import Graph

CONVOLUTION, DENSE, SUM, INPUT = "aten.convolution.default", "aten.linear.default", "aten.add.Tensor", "input"

_KINDS = ("pointwise", "piecewise", "constant")
_BETWEEN = tuple(
    f"aten.{name}"
    for name in (
        *("clone.default", "alias.default", "view.default", "_unsafe_view.default", "reshape.default"),
        *("flatten.using_ints", "permute.default", "transpose.int", "t.default", "squeeze.default", "squeeze.dim"),
        *("squeeze.dims", "unsqueeze.default", "neg.default", "mul.Tensor", "mul.Scalar", "div.Tensor", "div.Scalar"),
        *("add.Tensor", "add.Scalar", "sub.Tensor", "sub.Scalar", "rsub.Scalar", "slice.Tensor", "select.int"),
        *("flip.default", "pixel_shuffle.default", "pixel_unshuffle.default", "channel_shuffle.default"),
        *("constant_pad_nd.default", "reflection_pad1d.default", "reflection_pad2d.default", "expand.default"),
        *("replication_pad1d.default", "replication_pad2d.default", "upsample_nearest2d.vec", "repeat.default"),
        *("upsample_nearest2d.default", "upsample_nearest1d.default", "upsample_nearest1d.vec"),
        *("max_pool2d_with_indices.default", "max_pool3d_with_indices.default", "adaptive_max_pool2d.default"),
        "_native_batch_norm_legit_no_training.default",
    )
)
"""Operations that may only move and scale numbers; that they do is seen when they are run: see `links.py`."""


@dataclass(frozen=True)
class Layer:
    """A product with constant weights, a sum of two branches, or the input."""

    node: fx.Node
    kind: str
    """One of `CONVOLUTION`, `DENSE`, `SUM` and `INPUT`."""
    takes: tuple[fx.Node, ...]
    """What it is a function of."""

    @property
    def is_product(self) -> bool:
        """Whether it multiplies by weights."""
        return self.kind in (CONVOLUTION, DENSE)

    @property
    def weight(self) -> fx.Node:
        """The weights of a product."""
        return _node(self.node.args[1])


@dataclass(frozen=True)
class Layers:
    """A graph, from its input to a node that all goes through, in layers."""

    all: tuple[Layer, ...]
    """In the order of the graph; the first is the input."""
    sources: Mapping[fx.Node, fx.Node]
    """Of each node the layer, as a node, whose numbers it moves and scales."""
    top: fx.Node
    """The last; what comes after it is a function of it alone."""
    is_whole: bool
    """Whether nothing comes after it."""


def layers_of(graph: Graph) -> Layers | None:
    """Take a graph apart, once; None where it has no convolution that can be taken out."""
    if layers_of not in graph.derived:
        graph.derived[layers_of] = _find_layers(graph)
    return graph.derived[layers_of]


def _find_layers(graph: Graph) -> Layers | None:
    """Go up as far as each node is a layer or lies between two, then back to where all goes through one node."""
    layers: dict[fx.Node, Layer] = {}
    sources: dict[fx.Node, fx.Node] = {}
    for node in graph.reached:
        below = list(dict.fromkeys(x for x in node.all_input_nodes if x in graph.reached))
        if any(x not in sources for x in below):
            continue  # of what cannot be taken apart
        layer = _layer_of(node, below, sources)
        if layer is not None:
            layers[node], sources[node] = layer, node
        elif _lies_between(node) and len({sources[x] for x in below}) == 1:
            sources[node] = sources[below[0]]
    top = _top_of(graph, sources)
    if top is None:
        return None
    before = _all_below(top, graph)
    found = tuple(layer for node, layer in layers.items() if node in before)
    result = next(iter(graph.nodes[-1].all_input_nodes), None)
    return Layers(found, sources, top, top is result) if any(x.kind == CONVOLUTION for x in found) else None


def _layer_of(node: fx.Node, below: list[fx.Node], sources: Mapping[fx.Node, fx.Node]) -> Layer | None:
    """Return the layer that a node is, if it is one."""
    name = str(node.target)
    if not below:
        return Layer(node, INPUT, ())
    if name in (CONVOLUTION, DENSE) and below == [node.args[0]]:
        is_grouped = name == CONVOLUTION and node.args[8] != 1
        return None if is_grouped or node.kwargs else Layer(node, name, (below[0],))
    if name != SUM or len(below) != 2 or node.kwargs or len({sources[x] for x in below}) == 1:
        return None
    left, right = (x.meta["val"].shape[1:] for x in below)
    return Layer(node, SUM, tuple(below)) if left == right else None


def _lies_between(node: fx.Node) -> bool:
    """Say whether an operation may be one that only moves and scales."""
    name = str(node.target)
    return "getitem" in name or name in _BETWEEN or (name in RULES and RULES[name].kind in _KINDS)


def _top_of(graph: Graph, sources: Mapping[fx.Node, fx.Node]) -> fx.Node | None:
    """Return the last node, of those taken apart, that all which comes after it is a function of."""
    nodes = list(graph.reached)
    place = {node: k for k, node in enumerate(nodes)}
    place[graph.nodes[-1]] = len(nodes)
    last_use = [max((place[user] for user in node.users if user in place), default=place[node]) for node in nodes]
    furthest, top = -1, None
    for k, node in enumerate(nodes):
        if node not in sources:
            break
        if furthest <= k and hasattr(node.meta.get("val"), "shape"):
            top = node
        furthest = max(furthest, last_use[k])
    return top


def _all_below(top: fx.Node, graph: Graph) -> set[fx.Node]:
    """Return a node and all that it is made of."""
    found = {top}
    for node in reversed(tuple(graph.reached)):
        if node in found:
            found.update(x for x in node.all_input_nodes if x in graph.reached)
    return found


def _node(argument: Any) -> fx.Node:
    assert isinstance(argument, fx.Node)
    return argument
