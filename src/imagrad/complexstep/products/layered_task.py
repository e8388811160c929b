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
from imagrad.complexstep.products.totals import COMBINED, TYPES
from imagrad.complexstep.rows import row_blocks
from imagrad.complexstep.selection import Selection
from imagrad.complexstep.tracing import Graph

_LEAST = 2**28  # multiplications that are worth the compiling
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
        graph.derived[_rest_of] = graph.after(layers.top)
    return graph.derived[_rest_of]


def in_layers(task: Task, latents: int, norm: str) -> LayeredTask | None:
    """Take a task apart into layers; None where it cannot be, or where that would not be faster for so many latents."""
    settings, point = task.settings, task.point
    if not task.batched or settings.differentiable or point.device.type != "cpu" or point.dtype not in TYPES:
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


def last_rows(layered: LayeredTask, selection: Selection) -> torch.Tensor | None:
    """Return the weights of a last, dense layer in blocks of latents, alike for all images; None if it is another."""
    if not layered.ends_dense:
        return None
    weight = layered.task.program.constants[layered.layers.all[-1].weight.name]
    return _in_blocks(weight[selection.indices].T[None])


def seeds_of(
    layered: LayeredTask, part: Task, linked: Linked, selection: Selection, last: torch.Tensor | None
) -> Iterator[Seeds]:  # fmt: skip
    """Yield the seeds of some latents at a time, or of all at once from `last_rows`, where these are all there is."""
    weights = selection.weights
    factors = torch.ones(1, len(selection.indices)) if weights is None else weights[selection.indices][None]
    factors = factors.to(part.point)
    width, count = pull_kernel.latents_at_once(part.point.dtype), len(layered.layers.all)
    if last is not None and linked.top.places is None:
        factors = factors * linked.top.slopes[:, selection.indices]
        yield Seeds(last, _of_blocks(factors), linked.links[-1][0], count - 1)
        return
    if layered.layers.is_whole:
        for which in torch.arange(len(selection.indices)).split(width * torch.get_num_threads()):  # all begin with all
            units = torch.eye(len(which), dtype=part.point.dtype)[None]
            link = _of_numbers(linked.top, selection.indices[which])
            yield Seeds(_in_blocks(units), _of_blocks(factors[:, which]), link, count)
        return
    at_once = width * max(1, _SEEDS // (linked.top.slopes.numel() * width))
    rest = layered.rest(part, linked)
    for which in torch.arange(len(selection.indices)).split(at_once):
        rows = torch.cat([flat_codes(rows) for _, rows in row_blocks(rest, selection.indices[which])])
        yield Seeds(_in_blocks(rows.permute(1, 2, 0)), _of_blocks(factors[:, which]), linked.top, count)


def _of_numbers(link: Link, which: torch.Tensor) -> Link:
    """Return the link of some of the numbers alone."""
    count = link.slopes.shape[1]
    places = torch.arange(count, dtype=torch.int32).expand(link.slopes.shape) if link.places is None else link.places
    return Link(link.slopes[:, which].contiguous(), places[:, which].contiguous())


def _in_blocks(values: torch.Tensor) -> torch.Tensor:
    """Cut (n, numbers, latents) into blocks of latents: (n, blocks, numbers, latents of a block), filled with zeros."""
    at_once = pull_kernel.latents_at_once(values.dtype)
    filled = torch.nn.functional.pad(values, (0, -values.shape[2] % at_once))
    return filled.unflatten(2, (-1, at_once)).transpose(1, 2).contiguous()


def _of_blocks(factors: torch.Tensor) -> torch.Tensor:
    """Cut (n, latents) into blocks, (n, blocks, latents of a block)."""
    return _in_blocks(factors[:, None])[:, :, 0].contiguous()
