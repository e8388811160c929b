"""The product that a dense network begins with: of its Jacobian J = B W the factor W is the same for every image.

B, the derivative of all that follows, costs little; the product with W is nearly all there is to do. So it is taken of
the hidden units alone that are alive, whose column of B is not zero, and for one latent after the other, so that its
rows are added up while they are still in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import fx

from imagrad.complexstep.engines import Task
from imagrad.complexstep.points import all_finite
from imagrad.complexstep.tracing import Graph

_LAYER = "aten.linear.default"  # its weights are (hidden, features), of all others (features, hidden)
_INPUT = {_LAYER: 0, "aten.mm.default": 0, "aten.matmul.default": 0, "aten.addmm.default": 1}
"""At which place the operations that may be the first product take what is multiplied; the weights come next."""
_RESHAPES = tuple(
    f"aten.{name}"
    for name in ("clone.default", "view.default", "_unsafe_view.default", "reshape.default", "flatten.using_ints")
)


@dataclass(frozen=True)
class FirstProduct:
    """A batch and a network taken apart at the product that it begins with."""

    task: Task
    opening: Opening
    weight: torch.Tensor
    """W, (hidden, features)."""
    value: torch.Tensor
    """The product, (n, hidden)."""

    def rest(self, images: slice = slice(None)) -> Task:
        """Return all that follows, as a function of the product, at some of the images."""
        part, program = self.task.at(images), self.task.program
        constants = {**program.constants, **self.opening.sizes(part.point)}
        program = replace(program, graph=self.opening.rest, constants=constants)
        return replace(part, program=program, point=self.value[images])

    def weight_of(self, features: torch.Tensor) -> torch.Tensor:
        """Return W of some of the features."""
        return self.weight if len(features) == self.weight.shape[1] else self.weight[:, features]


def rows_of_product(cotangents: torch.Tensor, weight: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the rows of B W that are not zero, one by one, (n, features); `cotangents` is B, (latents, n, hidden).

    Each row is good until the next is made.
    """
    alive = (cotangents.amax(1) != 0) | (cotangents.amin(1) != 0)  # (latents, hidden), a NaN too; the fastest way
    units, latents = (alive.any(axis).nonzero()[:, 0] for axis in (0, 1))
    live, images = weight[units], cotangents.shape[1]
    some, product = weight.new_empty(images, len(units)), features_first(weight, images, weight.shape[1])
    for latent in latents.tolist():
        torch.index_select(cotangents[latent], 1, units, out=some)
        yield torch.mm(some, live, out=product)


def features_first(like: torch.Tensor, images: int, features: int) -> torch.Tensor:
    """Return zeros (images, features), in memory the features first.

    Threads then share out a product and the sums over it in the same way, and find in their caches what they look for.
    """
    return like.new_zeros(features, images).T


def taken_apart(task: Task) -> FirstProduct | None:
    """Take a task apart at the product that its network begins with; None where there is none, or none that helps.

    On an accelerator it does not help: to learn which units are alive the processor would have to wait for it.
    """
    if not task.batched or task.settings.differentiable or task.point.device.type != "cpu":
        return None
    constants, points = task.program.constants, task.point.flatten(1)
    opening = _opening_of(task.program.graph)
    if opening is None or any(node.name not in constants for node in opening.given):
        return None
    weight = constants[opening.weight.name]
    weight = weight if opening.is_layer else weight.T
    if weight.shape[1:] != points.shape[1:] or not all_finite(weight):  # 0 times infinity must not pass for 0
        return None
    with torch.no_grad():
        return FirstProduct(task, opening, weight, opening.value(points, constants))


@dataclass(frozen=True)
class Opening:
    """Where in a graph the first product stands."""

    node: fx.Node
    reshaped: tuple[fx.Node, ...]
    """The input, and what it is reshaped to until it is multiplied."""
    weight: fx.Node
    rest: Graph
    """The same graph as a function of the product."""

    @property
    def is_layer(self) -> bool:
        """Whether the weights are kept as (hidden, features)."""
        return str(self.node.target) == _LAYER

    @property
    def given(self) -> list[fx.Node]:
        """What the product takes besides."""
        return [node for node in self.node.all_input_nodes if node is not self.reshaped[-1]]

    def value(self, points: torch.Tensor, constants: dict[str, Any]) -> torch.Tensor:
        """Multiply points, (n, features)."""
        given = {self.reshaped[-1]: points, **{node: constants[node.name] for node in self.given}}
        arguments: Any = fx.map_arg(self.node.args, given.__getitem__)
        return cast("Any", self.node.target)(*arguments)

    def sizes(self, points: torch.Tensor) -> dict[str, Any]:
        """Return what the rest may ask of the points, which it does not get: their sizes."""
        found: dict[str, Any] = {}
        for node in self.reshaped:
            found[node.name] = None
            like = points.view(len(points), *node.meta["val"].shape[1:])
            for user in node.users:
                if user not in self.reshaped and user is not self.node:
                    found[user.name] = cast("Any", user.target)(like, *user.args[1:])
        return found


def rest_of(graph: Graph) -> Graph:
    """Return the part of a graph that follows the product that it begins with; all of it where it begins otherwise."""
    opening = _opening_of(graph)
    return graph if opening is None else opening.rest


def _opening_of(graph: Graph) -> Opening | None:
    """Find the first product of a graph, once."""
    return graph.once(_find_opening)


def _find_opening(graph: Graph) -> Opening | None:
    """Follow the input as long as it is but reshaped, and by one operation alone."""
    reshaped = [next(node for node in graph.nodes if node.name == graph.inputs[0])]
    while True:
        users = [node for node in reshaped[-1].users if node in graph.reached]
        if len(users) != 1:
            return None
        (node,) = users
        if str(node.target) not in _RESHAPES:
            break
        reshaped.append(node)
    source, place = reshaped[-1], _INPUT.get(str(node.target))
    if place is None or node.kwargs or node.args[place] is not source or source.meta["val"].ndim != 2:
        return None
    weight = cast("fx.Node", node.args[place + 1])
    return (
        Opening(node, tuple(reshaped), weight, graph.after(node)) if node.all_input_nodes.count(source) == 1 else None
    )
