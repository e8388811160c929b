"""A batch and a network taken apart into layers, and the cotangents that pulling them back begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch

from imagrad.complexstep.derivatives import flat_codes
from imagrad.complexstep.engines import Task
from imagrad.complexstep.points import all_finite
from imagrad.complexstep.products import pull_kernel
from imagrad.complexstep.products.assembly import is_installed
from imagrad.complexstep.products.layers import DENSE, Layer, Layers, layers_of
from imagrad.complexstep.products.links import Link, Linked
from imagrad.complexstep.products.totals import COMBINED
from imagrad.complexstep.rows import row_blocks
from imagrad.complexstep.selection import Selection
from imagrad.complexstep.tracing import Graph

_LEAST = 2**28  # multiplications that are worth the compiling
_TYPES = (torch.float32, torch.float64)
_ROOM = 2**29  # bytes for all threads, where no budget is given
_SEEDS = 2**21  # numbers that pulling back begins with at a time


@dataclass(frozen=True, eq=False)
class LayeredTask:
    """A batch and a network taken apart into layers."""

    task: Task
    layers: Layers

    @property
    def ends_dense(self) -> bool:
        """Whether the last layer is a dense one of codes (n, latents), and nothing comes after it but slopes."""
        last, layers = self.layers.all[-1], self.layers
        is_last = layers.is_whole and layers.sources[layers.top] is last.node
        return is_last and last.kind == DENSE and last.node.meta["val"].ndim == 2

    def part(self, images: slice) -> Task:
        """Return the task at some of the images."""
        held = tuple(x[images] for x in self.task.held)
        return replace(self.task, point=self.task.point[images], held=held)

    def threads_for(self, each: int, shared: int) -> int:
        """Return how many threads there is room for that need so many bytes each, and some together; perhaps none."""
        room = (self.task.settings.memory_budget or _ROOM) - shared
        return max(0, min(torch.get_num_threads(), room // each))

    def rest(self, part: Task, linked: Linked) -> Task:
        """Return all that comes after the top, at some images, as a function of it."""
        program = part.program
        below: dict[str, Any] = dict.fromkeys(node.name for node in self.layers.below_top)
        constants = {**program.constants, **below, **linked.sizes}
        program = replace(program, graph=_rest_of(program.graph, self.layers), constants=constants)
        return replace(part, program=program, point=linked.value)


def _rest_of(graph: Graph, layers: Layers) -> Graph:
    """Return a graph as a function of the top of its layers, once."""
    if _rest_of not in graph.derived:
        inputs = (layers.top.name, *graph.inputs[1:])
        graph.derived[_rest_of] = replace(graph, inputs=inputs, recorded={}, derived={})
    return graph.derived[_rest_of]


def in_layers(task: Task, latents: int, norm: str) -> LayeredTask | None:
    """Take a task apart into layers; None where it cannot be, or where that would not be faster for so many latents."""
    settings, point = task.settings, task.point
    if not task.batched or settings.differentiable or point.device.type != "cpu" or point.dtype not in _TYPES:
        return None
    layers = layers_of(task.program.graph)
    if layers is None or norm not in COMBINED or not pays(layers, len(point) * latents):
        return None
    weights = [task.program.constants.get(layer.weight.name) for layer in layers.all if layer.is_product]
    if any(weight is None or not all_finite(weight) for weight in weights):  # 0 times infinity must not pass for 0
        return None
    return LayeredTask(task, layers)


def pays(layers: Layers, rows: int) -> bool:
    """Say whether the compiled way is there, and faster, for so many rows of Jacobians."""
    return rows * sum(map(_multiplications, layers.all)) >= _LEAST and is_installed()


def _multiplications(layer: Layer) -> int:
    """Count those of one image."""
    if not layer.is_product:
        return 0
    weights = layer.weight.meta["val"].shape
    one_each = layer.takes[0] if layer.is_transposed else layer.node  # of whose channels the first axis counts
    return prod(one_each.meta["val"].shape[1:]) * weights.numel() // weights[0]


@dataclass(frozen=True, eq=False)
class Seeds:
    """Cotangents of some latents, with which pulling back begins."""

    values: torch.Tensor
    """(n or 1, blocks, numbers, latents of a block)."""
    factors: torch.Tensor
    """By which those of each latent are multiplied, (n or 1, blocks, latents of a block)."""
    link: Link
    """Of the numbers, to the layer that they are pulled back to."""
    used: int
    """How many layers come before them."""


def seeds_of(layered: LayeredTask, part: Task, linked: Linked, selection: Selection) -> Iterator[Seeds]:
    """Yield the seeds of some latents at a time."""
    weights = selection.weights
    factors = torch.ones(1, len(selection.indices)) if weights is None else weights[selection.indices][None]
    factors = factors.to(part.point)
    if layered.ends_dense and linked.top.places is None:  # the weights of the last layer are the same for all images
        last, before = layered.layers.all[-1], len(layered.layers.all) - 1
        rows = part.program.constants[last.weight.name][selection.indices]
        factors = factors * linked.top.slopes[:, selection.indices]
        yield Seeds(_in_blocks(rows.T[None]), _of_blocks(factors), linked.links[before][0], before)
        return
    begin = _units if layered.layers.is_whole else _rows_of_rest
    at_once = pull_kernel.latents_at_once(part.point.dtype)
    if layered.layers.is_whole:
        at_once *= torch.get_num_threads()  # each begins with the numbers of all: few at a time
    else:
        at_once *= max(1, _SEEDS // (linked.top.slopes.numel() * at_once))
    for which in torch.arange(len(selection.indices)).split(at_once):
        values, link = begin(layered, part, linked, selection.indices[which])
        yield Seeds(_in_blocks(values), _of_blocks(factors[:, which]), link, len(layered.layers.all))


def _units(_: LayeredTask, part: Task, linked: Linked, latents: torch.Tensor) -> tuple[torch.Tensor, Link]:
    """Begin with ones at the latents themselves, (1, latents, latents), and with these numbers of the top alone."""
    top = linked.top
    count = top.slopes.shape[1]
    places = torch.arange(count, dtype=torch.int32).expand(top.slopes.shape) if top.places is None else top.places
    values = torch.eye(len(latents), dtype=part.point.dtype)[None]
    return values, Link(top.slopes[:, latents].contiguous(), places[:, latents].contiguous())


def _rows_of_rest(
    layered: LayeredTask, part: Task, linked: Linked, latents: torch.Tensor
) -> tuple[torch.Tensor, Link]:  # fmt: skip
    """Begin with the derivatives of what comes after the top, (n, numbers, latents)."""
    rows = torch.cat([flat_codes(rows) for _, rows in row_blocks(layered.rest(part, linked), latents)])
    return rows.permute(1, 2, 0), linked.top


def _in_blocks(values: torch.Tensor) -> torch.Tensor:
    """Cut (n, numbers, latents) into blocks of latents: (n, blocks, numbers, latents of a block), filled with zeros."""
    at_once = pull_kernel.latents_at_once(values.dtype)
    filled = torch.nn.functional.pad(values, (0, -values.shape[2] % at_once))
    return filled.unflatten(2, (-1, at_once)).transpose(1, 2).contiguous()


def _of_blocks(factors: torch.Tensor) -> torch.Tensor:
    """Cut (n, latents) into blocks, (n, blocks, latents of a block)."""
    return _in_blocks(factors[:, None])[:, :, 0].contiguous()
