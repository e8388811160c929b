"""Where each number that a layer takes comes from, and with what slope: found by running the network once.

Every layer's result starts with tangents of its own: ones, the places of its numbers, and random fractions, others for
each image. What arrives at the next layers tells, image by image, which number each has picked, and the slope. Had it
been mixed of several numbers, or come from another image, it would not arrive with the fraction of the number in whose
place it seems to be, to the rounding of a few products (`_SLACK`). The rules of the operations find all this, as they
find all derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from imagrad.complexstep.engines import Task, recording, without_hints
from imagrad.complexstep.number import PAIR, Lifted, imaginary_part, lifted_among, real_part
from imagrad.complexstep.products.layers import Layer, Layers
from imagrad.complexstep.tracing import Step

_BASE = 2**18  # of the digits that a place is written in: each comes through slopes without loss
_FRACTIONS = (0.25, 0.75)
_SLACK = 64  # units of rounding that slopes may have gathered
_SCALE = 2.0**40  # of all tangents: small slopes must not underflow

_SLOPE, _LOW, _FRACTION, _HIGH = range(4)
"""The tangents; the last only where a layer has more numbers than fit into one digit."""


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


def ordered(numbers: torch.Tensor, channels: int, leading: int) -> torch.Tensor:
    """Flatten what comes after the leading axes, the channels last."""
    moved = numbers if channels == -1 else numbers.movedim(leading + channels, -1)
    return moved.reshape(*numbers.shape[:leading], -1)


def all_tangents(layers: Layers, images: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return the tangents of all layers' results for so many images, whichever these are."""
    most = max(layer.shape.numel() for layer in layers.all)
    count = _HIGH if most <= _BASE else _HIGH + 1
    return [tangents(layer, count, images, dtype) for layer in layers.all]


def link(task: Task, layers: Layers, begun: list[torch.Tensor]) -> Linked | None:
    """Run the network at the points of a task; None where a number is mixed of several."""
    run = _Run(task, layers)
    with recording(task), without_hints():
        arrived = torch.vmap(run.arrivals)(begun)
    takers = [(layer, node) for layer in layers.all for node in layer.takes]
    found: list[Link] = []
    for response, (taker, node) in zip(arrived, [*takers, (None, layers.top)], strict=True):
        numbers = ordered(response, -1 if taker is None else taker.channel_axis, 2)
        one = read(numbers, layers.sources[node].meta["val"].shape[1:].numel())
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
    sizes: dict[str, Any] = field(default_factory=dict[str, Any])
    value: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def arrivals(self, begun: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return what arrives at each layer, and at the top, of one tangent of each layer's result."""
        program, tangent_of = self.task.program, dict(zip(self.layers.all, begun, strict=True))
        layers = {layer.node: layer for layer in self.layers.all}
        arrived: list[torch.Tensor] = []

        def apply(step: Step, args: Sequence[Any], options: dict[str, Any]) -> Any:
            layer = layers.get(step.node)
            if layer is not None:
                arrived.extend(imaginary_part(args[: len(layer.takes)]))
                re = program.apply_native(step, real_part(args), options)
                return Lifted(re, tangent_of[layer], PAIR)
            found = program.apply_rule(step, args, options)
            if lifted_among(args) and isinstance(found, int):
                self.sizes[step.node.name] = found
            return found

        point = Lifted(self.task.point, begun[0], PAIR)
        top = program.interpret((point, *self.task.held), apply, until=self.layers.top)
        self.value = real_part(top)
        return (*arrived, imaginary_part(top))


def tangents(layer: Layer, count: int, images: int, dtype: torch.dtype) -> torch.Tensor:
    """Return so many tangents of a layer's result for so many images, (count, images, *shape)."""
    channels, shape = layer.channel_axis, layer.shape
    sizes = shape if channels == -1 else torch.Size((*shape[1:], shape[0]))
    places = torch.arange(shape.numel())
    found = torch.empty(count, images, len(places), dtype=dtype)
    found[_SLOPE] = _SCALE
    found[_LOW] = _SCALE * (places % _BASE)
    torch.mul(fractions(images, len(places), dtype), _SCALE, out=found[_FRACTION])
    if count > _HIGH:
        found[_HIGH] = _SCALE * (places // _BASE)
    found = found.view(count, images, *sizes)
    return found if channels == -1 else found.movedim(-1, 2)


def fractions(images: int, count: int, dtype: torch.dtype) -> torch.Tensor:
    """Return the random fraction of each number of each image, (images, count)."""
    return _many_fractions(images + count, dtype).as_strided((images, count), (1, 1))


@lru_cache(32)
def _many_fractions(count: int, dtype: torch.dtype) -> torch.Tensor:
    random = np.random.default_rng(count).uniform(*_FRACTIONS, count)  # not torch's: vmap allows none
    return torch.from_numpy(random).to(dtype)


def read(arrived: torch.Tensor, count: int) -> Link | None:
    """Read what has arrived of the tangents of a source of so many numbers, (tangents, n, numbers).

    None if a number is mixed of several, comes from another image, or is no number.
    """
    slopes, low, fraction, *high = arrived
    is_dead = slopes == 0
    divisor = slopes.masked_fill(is_dead, 1)
    places = (low / divisor).round_()
    if high:
        places.add_((high[0] / divisor).round_(), alpha=_BASE)
    if not (places.amin() >= 0 and places.amax() < count):  # NaN too
        return None
    places = places.to(torch.int32).contiguous()
    images = torch.arange(len(places), dtype=torch.int32)[:, None]
    expected = _many_fractions(len(places) + count, slopes.dtype).index_select(0, (places + images).flatten())
    off = fraction.sub(slopes * expected.view(places.shape)).abs_()
    if not bool((off <= _SLACK * torch.finfo(slopes.dtype).eps * slopes.abs()).all()):
        return None
    has_own = places.shape[1] == count and bool(((places == torch.arange(count, dtype=torch.int32)) | is_dead).all())
    return Link((slopes / _SCALE).contiguous(), None if has_own else places)
