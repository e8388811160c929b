"""A network as layers: products with constant weights, sums of two branches, and what lies between them.

Between two layers each number is moved, or multiplied by a slope of its own, but not mixed with others: activations,
batch normalisation, max pooling, reshaping. Of what lies between it is enough to know where each number comes from.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from imagrad.complexstep.rules import RULES
from imagrad.complexstep.tracing import Graph

CONVOLUTION, DENSE, SUM, INPUT = "aten.convolution.default", "aten.linear.default", "aten.add.Tensor", "input"

_KINDS_BETWEEN = ("pointwise", "piecewise")
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
        *("split.Tensor", "split_with_sizes.default", "unbind.int", "roll.default", "reflection_pad3d.default"),
        *("replication_pad3d.default", "upsample_nearest3d.vec", "upsample_nearest3d.default", "slice_copy.Tensor"),
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
    def shape(self) -> torch.Size:
        """The sizes of what it gives, without that of the images."""
        return self.node.meta["val"].shape[1:]

    @property
    def channel_axis(self) -> int:
        """The axis of the shape which lies last in the order of its numbers, and of those that it takes."""
        return -1 if self.kind == DENSE or len(self.shape) < 2 else 0

    @property
    def is_product(self) -> bool:
        """Whether it multiplies by weights."""
        return self.kind in (CONVOLUTION, DENSE)

    @property
    def is_transposed(self) -> bool:
        """Whether it is a transposed convolution, whose weights are kept the other way round."""
        return self.kind == CONVOLUTION and bool(self.node.args[6])

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
    below_top: tuple[fx.Node, ...]
    """All that depend on the input and come before the top."""


def layers_of(graph: Graph) -> Layers | None:
    """Take a graph apart, once; None where it has no convolution that can be taken out."""
    return graph.once(_find_layers)


def _find_layers(graph: Graph) -> Layers | None:
    """Go up as far as each node is a layer or lies between two, then back to where all goes through one node."""
    layers: dict[fx.Node, Layer] = {}
    sources: dict[fx.Node, fx.Node] = {}
    dependent = _dependent(graph)
    point = next(iter(dependent))
    for node in dependent:
        below = [x for x in node.all_input_nodes if x in dependent]
        if not _keeps_images(node, point) or any(x not in sources for x in below):
            continue  # of what cannot be taken apart
        layer = _layer_of(node, below, sources)
        if layer is not None:
            layers[node], sources[node] = layer, node
        elif _lies_between(node) and len({sources[x] for x in below}) == 1:
            sources[node] = sources[below[0]]
    top = _top_of(graph, dependent, sources)
    if top is None:
        return None
    before = _all_below(top, dependent)
    found = tuple(layer for node, layer in layers.items() if node in before)
    result = next(iter(graph.nodes[-1].all_input_nodes), None)
    below_top = tuple(itertools.takewhile(lambda node: node is not top, dependent))
    whole = Layers(found, sources, top, top is result, below_top)
    return whole if any(layer.kind == CONVOLUTION for layer in found) else None


def _dependent(graph: Graph) -> dict[fx.Node, None]:
    """Return the nodes whose values depend on the input's, in order, whatever they are made of; sizes do not."""
    found: dict[fx.Node, None] = {}
    for node in graph.nodes:
        if node.name == graph.inputs[0] or (
            node.op == "call_function" and not _is_size(node) and any(x in found for x in node.all_input_nodes)
        ):
            found[node] = None
    return found


def _is_size(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), int | torch.SymInt)


def _keeps_images(node: fx.Node, like: fx.Node) -> bool:
    """Say whether a node gives numbers for each image that another has; of several results each is asked by itself."""
    value, images = node.meta.get("val"), str(like.meta["val"].shape[0])
    if not isinstance(value, torch.Tensor):
        return True
    return value.is_floating_point() and value.ndim > 0 and str(value.shape[0]) == images and 0 not in value.shape[1:]


def _layer_of(node: fx.Node, below: list[fx.Node], sources: Mapping[fx.Node, fx.Node]) -> Layer | None:
    """Return the layer that a node is, if it is one."""
    name = str(node.target)
    if not below:
        return Layer(node, INPUT, ())
    value = node.meta["val"]
    if node.kwargs or not isinstance(value, torch.Tensor) or value.ndim < 2:
        return None
    if name in (CONVOLUTION, DENSE) and below == [node.args[0]]:
        is_grouped = name == CONVOLUTION and node.args[8] != 1
        return None if is_grouped else Layer(node, name, (below[0],))
    if name != SUM or len(below) != 2 or len({sources[x] for x in below}) == 1:
        return None
    left, right = (x.meta["val"].shape[1:] for x in below)
    return Layer(node, SUM, tuple(below)) if left == right else None


def _lies_between(node: fx.Node) -> bool:
    """Say whether an operation may be one that only moves and scales."""
    name = str(node.target)
    is_part = node.target is operator.getitem
    return is_part or name in _BETWEEN or (name in RULES and RULES[name].kind in _KINDS_BETWEEN)


def _top_of(
    graph: Graph, dependent: Mapping[fx.Node, None], sources: Mapping[fx.Node, fx.Node]
) -> fx.Node | None:  # fmt: skip
    """Return the last node, of those taken apart, that all which comes after it is a function of."""
    place = {node: k for k, node in enumerate(graph.nodes)}
    furthest, top = -1, None
    for node in dependent:
        if node not in sources:
            break
        if furthest <= place[node] and hasattr(node.meta.get("val"), "shape"):
            top = node
        furthest = max(furthest, *(place[user] for user in node.users), -1)
    return top


def _all_below(top: fx.Node, dependent: Mapping[fx.Node, None]) -> set[fx.Node]:
    """Return a node and all that it is made of."""
    found = {top}
    for node in reversed(tuple(dependent)):
        if node in found:
            found.update(x for x in node.all_input_nodes if x in dependent)
    return found


def _node(argument: Any) -> fx.Node:
    assert isinstance(argument, fx.Node)
    return argument
