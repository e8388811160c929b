"""Which numbers of a product depend on which of what it takes: tables of positions, and its weights in tiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import torch

from imagrad.complexstep.products.layers import DENSE, Layer
from imagrad.complexstep.rules.pooling import for_each_axis


@dataclass(frozen=True)
class Table:
    """For each position of what is taken, the positions of the result that it goes into, and through which weights."""

    starts: torch.Tensor
    """(positions + 1), int32: where the pairs of each position begin."""
    pairs: torch.Tensor
    """(pairs, 2), int32: a position of the result, and of the kernel."""


@dataclass(frozen=True)
class Window:
    """The settings of a convolution, and the sizes of what it takes and returns."""

    taken: tuple[int, ...]
    given: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    is_transposed: bool = False


def table_of(layer: Layer) -> Table:
    """Return the table of a product: of a dense layer each position goes into itself."""
    taken, given = (tuple(node.meta["val"].shape[1:]) for node in (layer.takes[0], layer.node))
    if layer.kind == DENSE:
        return _table(Window((prod(taken[:-1]),), (prod(given[:-1]),), (1,), (1,), (0,), (1,)))
    kernel = tuple(layer.weight.meta["val"].shape[2:])
    stride, padding, dilation = (tuple(for_each_axis(setting, len(kernel))) for setting in layer.node.args[3:6])
    return _table(Window(taken[1:], given[1:], kernel, stride, padding, dilation, layer.is_transposed))


@lru_cache(64)
def _table(window: Window) -> Table:
    """Go from each position of the side that strides, by each of the kernel, to one of the other side."""
    coarse, fine = (window.taken, window.given) if window.is_transposed else (window.given, window.taken)
    from_places, taps = (np.indices(sizes).reshape(len(sizes), -1) for sizes in (coarse, window.kernel))
    columns = (np.array(x)[:, None, None] for x in (window.stride, window.padding, window.dilation, fine))
    stride, padding, dilation, sizes = columns
    to = from_places[:, :, None] * stride - padding + taps[:, None, :] * dilation  # (axes, places, taps)
    place, tap = np.nonzero(((to >= 0) & (to < sizes)).all(0))
    other = np.asarray(np.ravel_multi_index(tuple(to[:, place, tap]), fine))
    given, taken = (other, place) if window.is_transposed else (place, other)
    order = np.lexsort((tap, given, taken))
    starts = np.searchsorted(taken[order], np.arange(prod(window.taken) + 1))
    pairs = np.stack([given[order], tap[order]], 1)
    return Table(*(torch.from_numpy(np.ascontiguousarray(x, np.int32)) for x in (starts, pairs)))


@dataclass(frozen=True, eq=False)
class Tile:
    """The weights of some channels of what is taken."""

    first: int
    """Channel."""
    weights: torch.Tensor
    """(taps, channels given, channels taken)."""

    @property
    def width(self) -> int:
        """How many channels they are of."""
        return self.weights.shape[2]


def tiles_of(layer: Layer, weight: torch.Tensor, widths: tuple[int, ...]) -> list[Tile]:
    """Cut the weights into tiles."""
    if layer.kind == DENSE:
        whole = weight[None]
    else:
        whole = weight.flatten(2).permute(*((2, 1, 0) if layer.is_transposed else (2, 0, 1)))
    tiles: list[Tile] = []
    first = 0
    while first < whole.shape[2]:
        width = max(w for w in widths if w <= whole.shape[2] - first)
        tiles.append(Tile(first, whole[:, :, first : first + width].contiguous()))
        first += width
    return tiles
