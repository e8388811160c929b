"""Norms of the columns of B W for many images, compiled: the rows never leave the processor's registers.

Written with torch, a row of B W is computed, then squared, then added up, each time through the caches, and a hidden
unit must be dead in all images of a part to be left out. Compiled, image by image, only the units that are alive in
that image are multiplied, which for a ReLU network are about half, and what is added up stays where it is. It needs
llvmlite (the extra imagrad[fast]); without it, the same norms are computed with torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch

from imagrad.complexstep.products.assembly import Assembly, Compiled, Registers, is_installed
from imagrad.complexstep.products.totals import ADDED, TYPES

_MOST_UNITS = 1024  # whose weights, a tile of features wide, stay in the cache
_LEAST = 2**26  # multiplications that are worth the compiling, and the loading of the compiler
_MOST_ALIVE = 0.6  # of B: of more, a product of all rows at once is faster
_LOOKED_AT = 16  # images
_AT_ONCE = 4  # images that a thread takes
_TILES = {32: (5, 5), 16: (3, 4)}
"""By the number of registers: vectors of features, and latents, of a tile that fits into them."""


def pays(cotangents: torch.Tensor, weight: torch.Tensor, norm: str) -> bool:
    """Say whether the compiled way is there, and faster, for B (latents, n, hidden) and W (hidden, features)."""
    fits = norm in ADDED and weight.dtype in TYPES and len(weight) <= _MOST_UNITS
    if not fits or cotangents.numel() * weight.shape[1] < _LEAST or not is_installed():
        return False
    some = cotangents[:, :: max(1, cotangents.shape[1] // _LOOKED_AT)]
    return int(some.count_nonzero()) <= _MOST_ALIVE * some.numel()


class AddUp:
    """Adds up what the rows of B W give, image by image; of one image the result depends on that image alone."""

    def __init__(self, weight: torch.Tensor, norm: str) -> None:
        """Cut W, (hidden, features), into tiles of features, and compile the function for the norm."""
        wide, _, lanes = _tile(weight.dtype)
        filled = torch.nn.functional.pad(weight, (0, -weight.shape[1] % (wide * lanes)))
        self.features = weight.shape[1]
        self.tiles = filled.unflatten(1, (-1, wide * lanes)).transpose(0, 1).contiguous()
        self.kernel = _kernel(norm, weight.dtype)

    def __call__(self, blocks: Iterable[torch.Tensor]) -> torch.Tensor:
        """Return the totals, (n, features), of parts of B, (some latents, n, hidden), one after the other."""
        total: torch.Tensor | None = None
        for cotangents in blocks:
            if total is None:
                total = cotangents.new_zeros(cotangents.shape[1], len(self.tiles) * self.tiles.shape[2])
            self._add(total, cotangents.contiguous())
        assert total is not None
        return total[:, : self.features]

    def _add(self, total: torch.Tensor, cotangents: torch.Tensor) -> None:
        """Share the images out among as many threads as torch has."""
        (latents, images, hidden), threads = cotangents.shape, torch.get_num_threads()
        sizes = latents + 2 * hidden, (latents + _tile(total.dtype)[1]) * hidden
        places = torch.empty(threads, sizes[0], dtype=torch.int64)
        some = total.new_empty(threads, sizes[1])
        numbers = (images, images * hidden, latents, hidden, len(self.tiles))
        tensors = (total, cotangents, self.tiles, some, places)
        self.kernel.run((0, 0, *sizes, *numbers, *(tensor.data_ptr() for tensor in tensors)), threads)


def _tile(dtype: torch.dtype) -> tuple[int, int, int]:
    """Return how many vectors of features and how many latents a tile has, and the numbers in a vector."""
    registers = Registers.known()
    return *_TILES[registers.count], registers.lanes(dtype.itemsize)


@cache
def _kernel(norm: str, dtype: torch.dtype) -> Compiled:
    """Write and compile the function for a norm and a type."""
    wide, high, lanes = _tile(dtype)
    a = Assembly("norms", dtype == torch.float64, lanes)
    code, tile = a.code, a.number(wide * lanes)
    size_of_places, size_of_some, images, apart, latents, hidden, tiles = (a.argument(k) for k in range(2, 9))
    total, cotangents, weights, all_some = (a.argument(k, "floats") for k in range(9, 13))
    thread = a.taken(0, a.number(1))
    some = a.at(all_some, code.mul(thread, size_of_some))
    places = a.at(a.argument(13, "indices"), code.mul(thread, size_of_places))
    found = _Alive(places, a.at(places, latents), a.at(places, latents, hidden))

    def of_image(image: Any) -> list[Any]:
        source, sums = a.at(cotangents, code.mul(image, hidden)), a.at(total, code.mul(image, code.mul(tiles, tile)))
        rows, units = _find_alive(a, source, apart, latents, hidden, found)
        blocks = code.udiv(code.add(rows, a.number(high - 1)), a.number(high))
        _pack(a, source, found, rows, units, blocks, high, some)

        def of_tile(k: Any, _: list[Any]) -> list[Any]:
            begin = code.mul(k, tile)
            slab = a.at(weights, code.mul(begin, hidden))
            _multiply(a, slab, found, units, blocks, some, a.at(sums, begin), (wide, high), norm)
            return []

        a.loop(tiles, [], of_tile)
        return []

    def next_images() -> Any:
        first = a.taken(1, a.number(_AT_ONCE))
        left = code.sub(images, first)
        count = code.select(code.icmp_signed("<", left, a.number(_AT_ONCE)), left, a.number(_AT_ONCE))
        a.loop(count, [], lambda k, _: of_image(code.add(first, k)))
        return code.icmp_signed(">", left, a.number(_AT_ONCE))

    a.again(next_images)
    return a.compiled()


@dataclass(frozen=True)
class _Alive:
    """Where the kernel writes down what is not zero in an image."""

    rows: Any
    """Where the row of B of each latent begins that is not zero."""
    units: Any
    """The hidden units whose column of B is not zero."""
    flags: Any
    """Of each unit, whether it is one."""


def _find_alive(a: Assembly, source: Any, apart: Any, latents: Any, hidden: Any, found: _Alive) -> tuple[Any, Any]:
    """Write down which rows and columns of an image's B are not zero, a NaN too; return how many."""
    code, zero = a.code, a.number(0)

    def clear(unit: Any, _: list[Any]) -> list[Any]:
        a.store(a.at(found.flags, unit), zero)
        return []

    def look_at_row(latent: Any, carried: list[Any]) -> list[Any]:
        begin = code.mul(latent, apart)

        def look(unit: Any, seen: list[Any]) -> list[Any]:
            value, flag = a.load(a.at(source, begin, unit)), a.at(found.flags, unit)
            is_alive = code.zext(code.fcmp_unordered("!=", value, a.ir.Constant(a.float, 0.0)), a.index)
            a.store(flag, code.or_(a.load(flag), is_alive))
            return [code.or_(seen[0], is_alive)]

        a.store(a.at(found.rows, carried[0]), begin)
        return [code.add(carried[0], a.loop(hidden, [zero], look)[0])]

    def look_at_unit(unit: Any, carried: list[Any]) -> list[Any]:
        a.store(a.at(found.units, carried[0]), unit)
        return [code.add(carried[0], a.load(a.at(found.flags, unit)))]

    a.loop(hidden, [], clear)
    return a.loop(latents, [zero], look_at_row)[0], a.loop(hidden, [zero], look_at_unit)[0]


def _pack(
    a: Assembly, source: Any, found: _Alive, rows: Any, units: Any, blocks: Any, high: int, some: Any
) -> None:  # fmt: skip
    """Copy what is alive in an image's B: (blocks x high, units), zeros where there is no row."""
    code, last = a.code, a.code.sub(rows, a.number(1))

    def copy_block(block: Any, _: list[Any]) -> list[Any]:
        first = code.mul(block, a.number(high))
        for k in range(high):
            row = code.add(first, a.number(k))
            is_there = code.icmp_signed("<", row, rows)
            begin = a.load(a.at(found.rows, code.select(is_there, row, last)))
            a.loop(units, [], partial(copy, first, k, is_there, begin))
        return []

    def copy(first: Any, k: int, is_there: Any, begin: Any, unit: Any, _: list[Any]) -> list[Any]:
        value = a.load(a.at(source, begin, a.load(a.at(found.units, unit))))
        place = code.add(code.mul(code.add(first, a.number(k)), units), unit)
        a.store(a.at(some, place), code.select(is_there, value, a.ir.Constant(a.float, 0.0)))
        return []

    a.loop(blocks, [], copy_block)


def _multiply(
    a: Assembly, slab: Any, found: _Alive, units: Any, blocks: Any, some: Any, sums: Any,
    tile: tuple[int, int], norm: str,
) -> None:  # fmt: skip
    """Add to the sums of a tile's features the rows of B W, so many at a time as there are registers for."""
    code, (wide, high) = a.code, tile
    places = [a.number(k * a.lanes) for k in range(wide)]

    def of_block(block: Any, totals: list[Any]) -> list[Any]:
        first = code.mul(block, a.number(high))
        factors = [a.at(some, code.mul(code.add(first, a.number(k)), units)) for k in range(high)]

        def of_unit(unit: Any, rows: list[Any]) -> list[Any]:
            begin = a.at(slab, code.mul(a.load(a.at(found.units, unit)), a.number(wide * a.lanes)))
            vectors = [a.load_vector(a.at(begin, place)) for place in places]
            each = [a.everywhere(a.load(a.at(row, unit))) for row in factors]
            pairs = [(factor, vector) for factor in each for vector in vectors]
            return [a.call("fma", *pair, row) for pair, row in zip(pairs, rows, strict=True)]

        totals = list(totals)
        for k, row in enumerate(a.loop(units, [a.zeros] * (high * wide), of_unit)):
            totals[k % wide] = ADDED[norm](a, totals[k % wide], row)
        return totals

    totals = a.loop(blocks, [a.load_vector(a.at(sums, place)) for place in places], of_block)
    for place, value in zip(places, totals, strict=True):
        a.store_vector(a.at(sums, place), value)
