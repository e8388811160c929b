"""Layers as a compiled function reads them: tables of numbers, and where in a thread's memory each has its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from imagrad.complexstep.products import pull_kernel
from imagrad.complexstep.products.geometry import table_of, tiles_of
from imagrad.complexstep.products.layers import INPUT, SUM, Layer, Layers
from imagrad.complexstep.products.links import Link

_CODES = {SUM: pull_kernel.SUM, INPUT: pull_kernel.INPUT}


@dataclass(frozen=True)
class Use:
    """One layer, or the seeds, as the user of another layer's numbers."""

    user: int
    """The place of the layer, -1 for the seeds."""
    which: int
    """Of the nodes that it takes."""
    source: int
    slots: int
    """Where a thread has the slots of the user, of a sum; -1 where all of the user's numbers are wanted."""
    is_first: bool
    """Whether no user before it, from the top down, has the same source."""


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

    def bytes(self, dtype: torch.dtype) -> int:
        """Return the most that a thread needs."""
        return 4 * self.integers + dtype.itemsize * pull_kernel.latents_at_once(dtype) * self.numbers

    def table_of(self, links: Sequence[Link], counting: torch.Tensor) -> torch.Tensor:
        """Return the table of the links of some images, (links, fields), int64; `counting` is 0, 1, 2, ..."""
        rows: list[list[int]] = []
        for use, link in zip(self.uses, links, strict=True):
            count = link.slopes.shape[1]
            places, apart = (counting, 0) if link.places is None else (link.places, count)
            rows.append([
                *(use.source, use.slots, count, link.slopes.data_ptr(), count, places.data_ptr(), apart),
                int(use.is_first),
            ])  # fmt: skip
        return torch.tensor(rows, dtype=torch.int64)


def plan_of(layers: Layers, used: int, constants: dict[str, torch.Tensor]) -> Plan:
    """Lay out the first `used` layers, from the top down; the seeds go to what the top, or the next layer, takes."""
    found = tuple(reversed(layers.all[:used]))
    sizes = [layer.shape.numel() for layer in found]
    slots, integers = _one_after_the_other(
        [2 * size + size // _channels(layer) + 2 for size, layer in zip(sizes, found, strict=True)]
    )
    uses = _uses_of(layers, used, found, slots)
    begins = [min(use.user for use in uses if use.source == k) for k in range(len(found))]
    offsets, numbers = _placed([(begin, k, size) for k, (begin, size) in enumerate(zip(begins, sizes, strict=True))])
    kept: list[torch.Tensor] = []
    rows = [
        [
            *_sizes_of(layer), slots[k], slots[k] + sizes[k], slots[k] + sizes[k] + sizes[k] // _channels(layer) + 2,
            offsets[k], *_links_of(k, uses), *_product_fields(layer, constants, kept),
        ]
        for k, layer in enumerate(found)
    ]  # fmt: skip
    return Plan(tuple(uses), torch.tensor(rows, dtype=torch.int64), integers, numbers, tuple(kept))


def _one_after_the_other(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Return where each begins, and where the last ends."""
    ends = list(accumulate(sizes, initial=0))
    return ends[:-1], ends[-1]


def _sizes_of(layer: Layer) -> list[int]:
    """Return the kind, and the numbers of numbers, channels and positions."""
    size, channels = layer.shape.numel(), _channels(layer)
    return [_CODES.get(layer.kind, pull_kernel.PRODUCT), size, channels, size // channels]


def _links_of(place: int, uses: Sequence[Use]) -> list[int]:
    """Return the first and the last + 1 of the links of which a layer is the source, and the two to what it takes."""
    users = [n for n, use in enumerate(uses) if use.source == place]
    taken = sorted((use.which, n) for n, use in enumerate(uses) if use.user == place)
    return [users[0], users[-1] + 1, *(n for _, n in taken), *[0] * (2 - len(taken))]


def _uses_of(layers: Layers, used: int, found: tuple[Layer, ...], slots: list[int]) -> list[Use]:
    """List who uses what, in the order of the sources."""
    place = {layer.node: k for k, layer in enumerate(found)}
    above = layers.top if used == len(layers.all) else layers.all[used].takes[0]
    wanted = [slots[k] if layer.kind == SUM else -1 for k, layer in enumerate(found)]
    takers = [
        (-1, 0, above, -1),
        *((k, n, x, wanted[k]) for k, layer in enumerate(found) for n, x in enumerate(layer.takes)),
    ]
    uses: list[Use] = []
    for user, which, node, its_slots in takers:
        source = place[layers.sources[node]]
        uses.append(Use(user, which, source, its_slots, all(use.source != source for use in uses)))
    return sorted(uses, key=lambda use: use.source)


def _channels(layer: Layer) -> int:
    """Return how many numbers a layer has at each position."""
    return layer.shape[layer.channel_axis]


def _product_fields(layer: Layer, constants: dict[str, torch.Tensor], kept: list[torch.Tensor]) -> list[int]:
    """Return the fields that only a product has; what they are the addresses of is kept."""
    if not layer.is_product:
        return [0] * 6
    tiles = tiles_of(layer, constants[layer.weight.name], pull_kernel.widths())
    rows = torch.tensor([[tile.first, tile.width, tile.weights.data_ptr()] for tile in tiles], dtype=torch.int64)
    table = table_of(layer)
    kept += [rows, table.starts, table.pairs, *(tile.weights for tile in tiles)]
    channels = sum(tile.width for tile in tiles)
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
