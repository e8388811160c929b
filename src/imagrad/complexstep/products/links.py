"""Where each number that a layer takes comes from, and with what slope: found by running the network once.

Every layer's result starts with tangents of its own: ones, and the places of its numbers, with random fractions. What
arrives at the next layers tells, image by image, which number each has picked, and the slope; the fractions tell
whether it is true that none is mixed of several. The rules of the operations find it, as they find all derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import fx

from imagrad.complexstep.engines import Task, recording, without_hints
from imagrad.complexstep.number import PAIR, Lifted, imaginary_part, lifted_among, real_part
from imagrad.complexstep.products.layers import DENSE, Layer, Layers
from imagrad.complexstep.tracing import Step

_BASE = 2**12  # of the two digits that a place is written in: each comes through slopes without loss
_FRACTIONS = (0.25, 0.75)
_SLACK = 64  # units of rounding that slopes may have gathered


@dataclass(frozen=True)
class Link:
    """Of each number that a layer takes, which of the layer before it is, and times what."""

    slopes: torch.Tensor
    """(n, numbers), in the order of the taker."""
    places: torch.Tensor | None
    """(n, numbers), int32, in the order of the source; None: each has its own place."""


@dataclass(frozen=True)
class Linked:
    """What one run has found."""

    links: tuple[tuple[Link, ...], ...]
    """Of each layer, one for each node that it takes."""
    top: Link
    """Of the node at the top."""
    value: torch.Tensor
    """Of the top, (n, *shape)."""
    sizes: dict[str, Any]
    """What has been asked of sizes on the way, by node."""


def channels_of(layer: Layer) -> int:
    """Return the axis, counted without that of the images, which lies last in the order of a layer's numbers."""
    return -1 if layer.kind == DENSE or layer.node.meta["val"].ndim < 3 else 0


def ordered(numbers: torch.Tensor, channels: int, leading: int) -> torch.Tensor:
    """Flatten what comes after the leading axes, the channels last."""
    moved = numbers if channels == -1 else numbers.movedim(leading + channels, -1)
    return moved.reshape(*numbers.shape[:leading], -1)


def link(task: Task, layers: Layers) -> Linked | None:
    """Run the network at the points of a task; None where a number is mixed of several."""
    run = _Run(task, layers)
    with recording(task), without_hints():
        arrived = torch.vmap(run.arrivals)(torch.eye(3, dtype=task.point.dtype))
    takers = [(layer, node) for layer in layers.all for node in layer.takes]
    found: list[Link] = []
    for response, (taker, node) in zip(arrived, [*takers, (None, layers.top)], strict=True):
        source = layers.sources[node]
        numbers = ordered(response, -1 if taker is None else channels_of(taker), 2)
        one = _read(numbers, run.marks[source])
        if one is None:
            return None
        found.append(one)
    links = iter(found)
    each = tuple(tuple(next(links) for _ in layer.takes) for layer in layers.all)
    return Linked(each, next(links), run.value, run.sizes)


@dataclass
class _Run:
    """One run of a network with tangents that begin at each layer anew."""

    task: Task
    layers: Layers
    marks: dict[fx.Node, torch.Tensor] = field(default_factory=dict[fx.Node, torch.Tensor])
    """What each layer's tangents are made of, in the layer's order."""
    sizes: dict[str, Any] = field(default_factory=dict[str, Any])
    value: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def arrivals(self, which: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what arrives at each layer of one of the three tangents, and at the top."""
        layers = {layer.node: layer for layer in self.layers.all}
        arrived: list[torch.Tensor] = []
        done = False

        def begun(layer: Layer, re: torch.Tensor) -> Lifted:
            return Lifted(re, self._tangent(layer, re, which), PAIR)

        def apply(step: Step, args: Sequence[Any], options: dict[str, Any]) -> Any:
            nonlocal done
            node = step.node
            if done and node in self.task.program.graph.reached:
                return None
            if node in layers:
                takes = args[: len(layers[node].takes)]
                arrived.extend(imaginary_part(taken) for taken in takes)
                found = begun(layers[node], self.task.program.apply_native(step, real_part(tuple(args)), options))
            else:
                found = self.task.program.apply_rule(step, args, options)
            if node is self.layers.top:
                arrived.append(imaginary_part(found))
                self.value, done = real_part(found), True
            if not step.has_rule and lifted_among(tuple(args)) and not isinstance(found, Lifted | list | tuple):
                self.sizes[node.name] = found
            return found

        point = begun(self.layers.all[0], self.task.point)
        self.task.program.interpret((point, *self.task.held), apply)
        return tuple(arrived)

    def _tangent(self, layer: Layer, re: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """Return a tangent of a layer, the same for all images."""
        channels, node = channels_of(layer), layer.node
        shape = re.shape[1:] if channels == -1 else torch.Size((*re.shape[2:], re.shape[1]))
        if node not in self.marks:
            self.marks[node] = _marks(shape.numel(), re.dtype)
        tangent = (which @ self.marks[node]).view(shape)
        return (tangent if channels == -1 else tangent.movedim(-1, 0)).expand(re.shape)


@lru_cache(32)
def _marks(count: int, dtype: torch.dtype) -> torch.Tensor:
    """Return what tells so many numbers apart: ones, a digit of their places, the other one and a random fraction."""
    places = torch.arange(count)
    fractions = np.random.default_rng(count).uniform(*_FRACTIONS, count)  # not torch's: vmap allows none
    marks = torch.stack([torch.ones_like(places), places % _BASE, places // _BASE]).to(dtype)
    marks[2] += torch.from_numpy(fractions).to(dtype)
    return marks


def _read(arrived: torch.Tensor, marks: torch.Tensor) -> Link | None:
    """Read what has arrived of the marks of a source, (3, n, numbers); None if a number is mixed of several."""
    slopes, low, high = arrived
    is_dead = slopes == 0
    divisor = slopes.masked_fill(is_dead, 1)
    found = high / divisor
    places = (low / divisor).round_().add_(found.floor(), alpha=_BASE)
    least, most = places.aminmax()
    if not (least >= 0 and most < marks.shape[1]):  # NaN too
        return None
    places = places.to(torch.int32)
    expected = marks[2].index_select(0, places.flatten()).view(places.shape).masked_fill_(is_dead, 0)
    if not bool(found.sub_(expected).abs_().max() <= _SLACK * torch.finfo(slopes.dtype).eps * marks[2, -1]):
        return None
    in_place = torch.arange(places.shape[1], dtype=torch.int32)
    has_own = places.shape[1] == marks.shape[1] and bool(((places == in_place) | is_dead).all())
    return Link(slopes.contiguous(), None if has_own else places)
