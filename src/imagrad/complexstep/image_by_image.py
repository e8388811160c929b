"""Graphs of which every operation is known to treat each sample of a batch by itself."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import fx

from imagrad.complexstep.rules import RULES
from imagrad.complexstep.tracing import Graph

Treats = Callable[[fx.Node, set[fx.Node]], bool]
"""An operation, and all that has samples along its first axis -> whether it treats each of them by itself."""


def is_image_by_image(graph: Graph) -> bool:
    """Say whether no sample can have a part in what is computed of another, as the operations themselves show.

    The first axis of the inputs counts samples, any number of them. False says nothing: most operations are not known
    here.
    """
    return graph.batch is None and graph.once(_goes_through)


def _goes_through(graph: Graph) -> bool:
    """Follow the axis that counts samples from the inputs on: it must stay the first, through known operations."""
    counting = {node for node in graph.nodes if node.name in graph.inputs}
    number: set[fx.Node] = set()  # of samples
    for node in graph.nodes:
        sources = set(node.all_input_nodes)
        if node.op != "call_function" or sources.isdisjoint(counting | number):
            continue
        if str(node.target) == "aten.sym_size.int":
            number.add(node)
            continue
        known = _KNOWN.get(str(node.target), _is_elementwise)
        if not known(node, counting) or (known is not _is_reshaped and not sources.isdisjoint(number)):
            return False
        counting.add(node)
    return counting.issuperset(graph.nodes[-1].all_input_nodes)


def _is_elementwise(node: fx.Node, counting: set[fx.Node]) -> bool:
    """Say whether numbers meet only those at their own places: in tensors of one shape, or constants without the axis.

    A constant of as many axes has the length 1 along the first, as the number of samples is open.
    """
    name = str(node.target)
    if name not in _ARITHMETIC and (name not in RULES or RULES[name].kind not in ("pointwise", "piecewise")):
        return False
    shape = _shape(node)
    return all(
        _shape(source) == shape if source in counting else len(_shape(source)) <= len(shape)
        for source in node.all_input_nodes
    )


_ARITHMETIC = tuple(f"aten.{name}.{of}" for name in ("add", "sub", "rsub", "mul", "div") for of in ("Tensor", "Scalar"))


def _shape(node: fx.Node) -> tuple[str, ...]:
    """Return the shape of a tensor, of several that of the first, of a number that of one; sizes may be open."""
    value: Any = node.meta.get("val")
    value = value[0] if isinstance(value, tuple | list) else value
    return tuple(map(str, value.shape)) if isinstance(value, torch.Tensor) else ()


def _of_first(node: fx.Node, counting: set[fx.Node]) -> bool:
    """Say whether the first argument has samples, and no other."""
    others = [source for source in node.all_input_nodes if source is not node.args[0]]
    return node.args[0] in counting and counting.isdisjoint(others)


def _with_matrix(node: fx.Node, counting: set[fx.Node]) -> bool:
    """Products of the last axis with a matrix."""
    weight = cast("fx.Node", node.args[1])
    return _of_first(node, counting) and len(_shape(node)) > 1 and len(_shape(weight)) == 2


def _with_kernel(node: fx.Node, counting: set[fx.Node]) -> bool:
    """Convolutions of a batch; of one image, whose first axis counts channels, the kernel has an axis more."""
    first, weight = cast("tuple[fx.Node, fx.Node]", node.args[:2])
    return _of_first(node, counting) and len(_shape(first)) == len(_shape(weight))


def _over_windows(node: fx.Node, counting: set[fx.Node]) -> bool:
    """Poolings of a batch: beside the axes of a window it has those of samples and channels."""
    axes = next(int(character) for character in str(node.target) if character.isdigit())
    return _of_first(node, counting) and len(_shape(node)) == axes + 2


def _over_last_axes(node: fx.Node, counting: set[fx.Node]) -> bool:
    """Layer normalisation, over the axes that it names the sizes of."""
    return _of_first(node, counting) and len(_shape(node)) > len(cast("list[Any]", node.args[1]))


def _is_reshaped(node: fx.Node, counting: set[fx.Node]) -> bool:
    """Reshaping that leaves the axis of samples as it is: the numbers keep their order."""
    return _shape(node)[:1] == _shape(cast("fx.Node", node.args[0]))[:1]


_POOLINGS = (
    *(f"{name}_pool{axes}d" for name in ("max", "avg", "adaptive_avg", "_adaptive_avg") for axes in (1, 2, 3)),
    *(f"max_pool{axes}d_with_indices" for axes in (2, 3)),
)
_KNOWN: dict[str, Treats] = {
    **{f"aten.{name}.default": _with_matrix for name in ("linear", "mm", "matmul")},
    **{f"aten.{name}.default": _with_kernel for name in ("convolution", "conv1d", "conv2d", "conv3d")},
    **{f"aten.{name}.default": _over_windows for name in _POOLINGS},
    "aten.native_layer_norm.default": _over_last_axes,
    "aten._native_batch_norm_legit_no_training.default": _of_first,
    str(operator.getitem): _of_first,
    "aten.clone.default": _of_first,
    "aten.view.default": _is_reshaped,
    "aten.flatten.using_ints": _is_reshaped,
}
"""By the name of an operation; others may be `_is_elementwise`."""
