"""Layers as a compiled function reads them: tables of numbers, and where in a thread's memory each has its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

from imagrad.complexstep.products import pull_kernel
from imagrad.complexstep.products.geometry import table_of, tiles_of
from imagrad.complexstep.products.layers import INPUT, SUM, Layer, Layers
from imagrad.complexstep.products.links import Link, channels_of

_KINDS = {SUM: pull_kernel.SUM, INPUT: pull_kernel.INPUT}


@dataclass(frozen=True)
class Use:
    """One layer, or the seeds, as the user of another layer's numbers."""

    user: int
    """The place of the layer, -1 for the seeds."""
    which: int
    """Of the nodes that it takes."""
    source: int


@dataclass(frozen=True, eq=False)
class Plan:
    """What a compiled function needs to know of a network, whatever the images."""

    uses: tuple[Use, ...]
    """In the order of their sources; one of them is that of the seeds."""
    layers: torch.Tensor
    """(layers, fields), int64."""
    integers: int
    """That a thread needs."""
    numbers: int
    """The same, for each latent that is pulled back."""
    kept: tuple[torch.Tensor, ...]
    """What the table has the addresses of."""

    @property
    def features(self) -> int:
        """How many numbers the input has."""
        return int(self.layers[-1, pull_kernel.LAYER_FIELDS.index("numbers")])

    def table_of(self, links: Sequence[Link], counting: torch.Tensor) -> torch.Tensor:
        """Return the table of the links of some images, (links, fields), int64; `counting` is 0, 1, 2, ..."""
        seen: set[int] = set()
        rows: dict[int, list[int]] = {}
        of_layer = pull_kernel.LAYER_FIELDS.index
        for k in sorted(range(len(self.uses)), key=lambda k: self.uses[k].user):
            use, link = self.uses[k], links[k]
            is_sum = use.user >= 0 and int(self.layers[use.user, of_layer("kind")]) == pull_kernel.SUM
            slots = int(self.layers[use.user, of_layer("slots")]) if is_sum else -1
            count = link.slopes.shape[1]
            places, apart = (counting, 0) if link.places is None else (link.places, count)
            rows[k] = [
                *(use.source, slots, count, link.slopes.data_ptr(), count, places.data_ptr(), apart),
                int(use.source not in seen),
            ]
            seen.add(use.source)
        return torch.tensor([rows[k] for k in range(len(rows))], dtype=torch.int64)


def plan_of(layers: Layers, used: int, constants: dict[str, torch.Tensor]) -> Plan:
    """Lay out the first `used` layers, from the top down; the seeds go to what the top, or the next layer, takes."""
    found = tuple(reversed(layers.all[:used]))
    uses = _uses_of(layers, used, found)
    sizes = [_numbers_of(layer) for layer in found]
    begins = [min(use.user for use in uses if use.source == k) for k in range(len(found))]
    offsets, numbers = _placed([(begin, k, size) for k, (begin, size) in enumerate(zip(begins, sizes, strict=True))])
    rows: list[list[int]] = []
    kept: list[torch.Tensor] = []
    integers = 0
    for k, layer in enumerate(found):
        positions = sizes[k] // _channels(layer)
        starts = integers + sizes[k]
        users = [n for n, use in enumerate(uses) if use.source == k]
        taken = sorted((use.which, n) for n, use in enumerate(uses) if use.user == k)
        rows.append([
            *(_KINDS.get(layer.kind, pull_kernel.PRODUCT), sizes[k], _channels(layer), positions),
            *(integers, starts, starts + positions + 2, offsets[k], users[0], users[-1] + 1),
            *[n for _, n in taken], *[0] * (2 - len(taken)), *_product_fields(layer, constants, kept),
        ])  # fmt: skip
        integers = starts + positions + 2 + sizes[k]
    return Plan(tuple(uses), torch.tensor(rows, dtype=torch.int64), integers, numbers, tuple(kept))


def _uses_of(layers: Layers, used: int, found: tuple[Layer, ...]) -> list[Use]:
    """List who uses what, in the order of the sources."""
    place = {layer.node: k for k, layer in enumerate(found)}
    above = layers.top if used == len(layers.all) else layers.all[used].takes[0]
    takers = [(-1, 0, above), *((k, n, node) for k, layer in enumerate(found) for n, node in enumerate(layer.takes))]
    return sorted((Use(user, n, place[layers.sources[node]]) for user, n, node in takers), key=lambda use: use.source)


def _numbers_of(layer: Layer) -> int:
    return prod(layer.node.meta["val"].shape[1:])


def _channels(layer: Layer) -> int:
    """Return how many numbers a layer has at each position."""
    return layer.node.meta["val"].shape[1:][channels_of(layer)]


def _product_fields(layer: Layer, constants: dict[str, torch.Tensor], kept: list[torch.Tensor]) -> list[int]:
    """Return the fields that only a product has; what they are the addresses of is kept."""
    if layer.kind in _KINDS:
        return [0] * 6
    tiles = tiles_of(layer, constants[layer.weight.name], pull_kernel.widths())
    rows = torch.tensor([[first, width, weights.data_ptr()] for first, width, weights in tiles], dtype=torch.int64)
    table = table_of(layer)
    kept += [rows, table.starts, table.pairs, *(weights for *_, weights in tiles)]
    channels = sum(width for _, width, _ in tiles)
    return [
        rows.data_ptr(),
        len(tiles),
        table.starts.data_ptr(),
        table.pairs.data_ptr(),
        len(table.starts) - 1,
        channels,
    ]


def _placed(needed: Sequence[tuple[int, int, int]]) -> tuple[list[int], int]:
    """Find room for (first, last, size), each from its first to its last step; return where, and how much in all."""
    placed: list[tuple[int, int, int, int]] = []
    offsets = [0] * len(needed)
    for k in sorted(range(len(needed)), key=lambda k: needed[k][0]):
        first, last, size = needed[k]
        offset = 0
        for begin, room, since, until in sorted(placed):
            if since <= last and first <= until:
                if begin - offset >= size:
                    break
                offset = max(offset, begin + room)
        placed.append((offset, size, first, last))
        offsets[k] = offset
    return offsets, max(begin + room for begin, room, _, _ in placed)
