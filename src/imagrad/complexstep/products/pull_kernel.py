"""Layers pulled back for some latents at a time, compiled: only numbers that are alive in an image are multiplied.

The numbers of a vector are those of as many latents: which units of an image are dead, and which pixel a pooling has
picked, is the same for all of them, so that what is dead costs nothing. A layer's cotangents are kept for its live
numbers alone, one after the other, position by position; a product goes through the positions of what it takes, keeps
the sums of some channels there in registers, and adds them, times the slopes, to the layer before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from imagrad.complexstep.products.assembly import Assembly, Compiled, Registers
from imagrad.complexstep.products.totals import ADDED, JOINED

PRODUCT, SUM, INPUT = range(3)
LAYER_FIELDS = (
    *("kind", "numbers", "channels", "positions", "slots", "starts", "live", "cotangents"),
    *("first_user", "last_user", "link", "second_link"),
    *("tiles", "tile_count", "table_starts", "pairs", "taken_positions", "taken_channels"),
)
"""Of each layer, from the top down. `slots`, `starts` and `live` are places in a thread's integers, `cotangents` in its
numbers; `first_user` to `last_user` are the links of which it is the source, `link` and `second_link` those to what it
takes."""
LINK_FIELDS = ("source", "slots_of_user", "count", "slopes", "slopes_apart", "places", "places_apart", "is_first")
"""`slots_of_user` is -1 where all of the user's numbers are wanted; `apart` is from image to image, 0 for all alike;
`is_first` says that none before it has given anything to its source."""
TILE_FIELDS = ("first", "width", "weights")
ARGUMENTS = (
    *("next", "items", "next_thread", "integers_apart", "numbers_apart", "layers", "layer_count", "links", "blocks"),
    *("shares", "seeds", "seeds_apart", "seed_link", "factors", "factors_apart", "totals", "integers", "numbers"),
)

_SHAPES = {32: (2, 8), 16: (2, 4)}
"""By the number of registers: vectors of latents, and channels, whose sums fit into them."""
_WIDTHS = (8, 4, 3, 2, 1)


def latents_at_once(dtype: torch.dtype) -> int:
    """Return how many latents are pulled back at once."""
    registers = Registers.known()
    return _SHAPES[registers.count][0] * registers.lanes(dtype.itemsize)


def widths() -> tuple[int, ...]:
    """Return the numbers of channels that there are tiles for."""
    return tuple(width for width in _WIDTHS if width <= _SHAPES[Registers.known().count][1])


@cache
def kernel(norm: str, dtype: torch.dtype) -> Compiled:
    """Write and compile the function for a norm and a type."""
    registers = Registers.known()
    a = Assembly("pull", dtype == torch.float64, registers.lanes(dtype.itemsize))
    return _Writer(a, _SHAPES[registers.count][0], norm).write()


@dataclass(frozen=True)
class _Record:
    """The address of some fields."""

    a: Assembly
    address: Any
    fields: tuple[str, ...]

    def number(self, field: str) -> Any:
        """Read a field."""
        return self.a.load(self.a.at(self.address, self.a.number(self.fields.index(field))))

    def pointer(self, field: str, kind: str) -> Any:
        """Read a field that is an address."""
        return self.a.pointer(self.number(field), kind)


class _Writer:
    """Writes the function; its methods write what they are named for."""

    def __init__(self, a: Assembly, vectors: int, norm: str) -> None:
        self.a, self.vectors, self.norm = a, vectors, norm
        self.latents = a.number(vectors * a.lanes)
        self.given = _Record(a, a.function.args[0], ARGUMENTS)
        thread = a.taken(ARGUMENTS.index("next_thread"), a.number(1))
        self.integers = a.at(
            self.given.pointer("integers", "smalls"), a.code.mul(thread, self.given.number("integers_apart"))
        )
        self.numbers = a.at(
            self.given.pointer("numbers", "floats"), a.code.mul(thread, self.given.number("numbers_apart"))
        )

    def write(self) -> Compiled:
        """Take one share of an image's latents after the other, as long as there are any."""
        a, code = self.a, self.a.code
        items, shares, blocks = (self.given.number(name) for name in ("items", "shares", "blocks"))

        def next_item() -> Any:
            item = a.taken(ARGUMENTS.index("next"), a.number(1))
            is_one = code.icmp_signed("<", item, items)
            with code.if_then(is_one):
                image = code.udiv(item, shares)
                share = code.sub(item, code.mul(image, shares))
                first = code.udiv(code.mul(share, blocks), shares)
                last = code.udiv(code.mul(code.add(share, a.number(1)), blocks), shares)
                self.each_layer(lambda layer: self.find_live(layer, image))
                self.times(code.sub(last, first), lambda k: self.pull_block(image, code.add(first, k)))
            return is_one

        a.again(next_item)
        return a.compiled()

    def times(self, count: Any, body: Callable[[Any], Any]) -> None:
        """Run `body(k)` so many times."""

        def run(k: Any, _: list[Any]) -> list[Any]:
            body(k)
            return []

        self.a.loop(count, [], run)

    def each_layer(self, body: Callable[[_Record], Any]) -> None:
        """Run `body(layer)` from the top down."""
        self.times(self.given.number("layer_count"), lambda k: body(self.layer(k)))

    def layer(self, place: Any) -> _Record:
        """Return the layer at a place."""
        return self.record(self.given, "layers", place, LAYER_FIELDS)

    def link(self, place: Any) -> _Record:
        """Return the link at a place."""
        return self.record(self.given, "links", place, LINK_FIELDS)

    def record(self, owner: _Record, table: str, place: Any, fields: tuple[str, ...]) -> _Record:
        """Return a row of a table whose address a field has."""
        begin = self.a.code.mul(place, self.a.number(len(fields)))
        return _Record(self.a, self.a.at(owner.pointer(table, "indices"), begin), fields)

    def of_image(self, link: _Record, image: Any) -> tuple[Any, Any]:
        """Return where the slopes and the places of a link begin for an image."""
        a, code = self.a, self.a.code
        return (
            a.at(link.pointer("slopes", "floats"), code.mul(image, link.number("slopes_apart"))),
            a.at(link.pointer("places", "smalls"), code.mul(image, link.number("places_apart"))),
        )

    # --- which numbers are alive ---
    def find_live(self, layer: _Record, image: Any) -> None:
        """Give each number of a layer that any of its users needs a slot, position by position."""
        a, code = self.a, self.a.code
        zero, one = a.number(0), a.number(1)
        slots, starts, live = (a.at(self.integers, layer.number(name)) for name in ("slots", "starts", "live"))
        channels, positions = layer.number("channels"), layer.number("positions")
        self.times(layer.number("numbers"), lambda k: a.store_small(a.at(slots, k), zero))
        first, last = layer.number("first_user"), layer.number("last_user")

        def of_user(k: Any, carried: list[Any]) -> list[Any]:
            return [code.add(carried[0], self.mark(self.link(code.add(first, k)), slots, image))]

        (wanted,) = a.loop(code.sub(last, first), [zero], of_user)

        def of_position(position: Any, carried: list[Any]) -> list[Any]:
            a.store_small(a.at(starts, position), carried[0])
            begin = code.mul(position, channels)

            def of_channel(channel: Any, count: list[Any]) -> list[Any]:
                slot = a.at(slots, begin, channel)
                is_live = a.small(slot)
                a.store_small(a.at(live, count[0]), channel)
                a.store_small(slot, code.select(code.icmp_signed("!=", is_live, zero), count[0], a.number(-1)))
                return [code.add(count[0], is_live)]

            return a.loop(channels, carried, of_channel)

        (count,) = a.loop(positions, [zero], of_position)
        a.store_small(a.at(starts, positions), count)
        a.store_small(a.at(starts, positions, one), code.zext(code.icmp_signed("==", count, wanted), a.index))

    def mark(self, link: _Record, slots: Any, image: Any) -> Any:
        """Mark the numbers that a user needs with 1; return how many of its own need one."""
        a, code = self.a, self.a.code
        slopes, places = self.of_image(link, image)
        begin = link.number("slots_of_user")
        takes_all = code.icmp_signed("<", begin, a.number(0))
        users = a.at(self.integers, code.select(takes_all, a.number(0), begin))

        def look(k: Any, carried: list[Any]) -> list[Any]:
            of_user = a.small(a.at(users, code.select(takes_all, a.number(0), k)))  # there are none if it takes all
            is_wanted = code.or_(takes_all, code.icmp_signed(">=", of_user, a.number(0)))
            is_live = code.zext(code.and_(is_wanted, self.is_not_zero(a.load(a.at(slopes, k)))), a.index)
            slot = a.at(slots, a.small(a.at(places, k)))
            a.store_small(slot, code.or_(a.small(slot), is_live))
            return [code.add(carried[0], is_live)]

        return a.loop(link.number("count"), [a.number(0)], look)[0]

    def is_not_zero(self, value: Any) -> Any:
        """Say whether a number is not zero; NaN is not."""
        return self.a.code.fcmp_unordered("!=", value, self.a.ir.Constant(self.a.float, 0.0))

    # --- cotangents of some latents ---
    def pull_block(self, image: Any, block: Any) -> None:
        """Pull one vector's latents back through all layers, and write down what the input's cotangents give."""
        self.plant(image, block)

        def of_layer(layer: _Record) -> None:
            code, kind = self.a.code, layer.number("kind")
            for which, pull in ((PRODUCT, self.pull_product), (SUM, self.pull_sum)):
                with code.if_then(code.icmp_signed("==", kind, self.a.number(which))):
                    pull(layer, image)
            with code.if_then(code.icmp_signed("==", kind, self.a.number(INPUT))):
                self.add_up(layer, image, block)

        self.each_layer(of_layer)

    def is_exclusive(self, layer: _Record) -> Any:
        """Say whether each of a layer's live numbers is needed once, so that nothing need be added up."""
        a = self.a
        places = a.at(self.integers, layer.number("starts"), layer.number("positions"), a.number(1))
        return a.code.icmp_signed("!=", a.small(places), a.number(0))

    def clear_source(self, link: _Record) -> None:
        """Begin the cotangents of a link's source with zeros, if it is the first of several to add to them."""
        a, code = self.a, self.a.code
        layer = self.layer(link.number("source"))
        is_first = code.icmp_signed("!=", link.number("is_first"), a.number(0))
        with code.if_then(code.and_(is_first, code.not_(self.is_exclusive(layer)))):
            count = a.small(a.at(self.integers, layer.number("starts"), layer.number("positions")))
            begin = self.cotangents(layer)
            vectors = code.mul(count, a.number(self.vectors))
            self.times(vectors, lambda k: a.store_vector(a.at(begin, code.mul(k, a.number(a.lanes))), a.zeros))

    def plant(self, image: Any, block: Any) -> None:
        """Begin with the rows of the top, times a factor for each latent."""
        a, code, given = self.a, self.a.code, self.given
        link = self.link(given.number("seed_link"))
        count = link.number("count")
        begin = code.add(code.mul(image, given.number("seeds_apart")), code.mul(block, code.mul(count, self.latents)))
        seeds = a.at(given.pointer("seeds", "floats"), begin)
        begin = code.add(code.mul(image, given.number("factors_apart")), code.mul(block, self.latents))
        factors = self.load(a.at(given.pointer("factors", "floats"), begin))
        add = self.adder(link, image)

        def of_row(k: Any) -> None:
            row = self.load(a.at(seeds, code.mul(k, self.latents)))
            add(k, [code.fmul(x, factor) for x, factor in zip(row, factors, strict=True)])

        self.times(count, of_row)

    def cotangents(self, layer: _Record) -> Any:
        """Return where those of a layer's live numbers begin."""
        return self.a.at(self.numbers, self.a.code.mul(layer.number("cotangents"), self.latents))

    def load(self, begin: Any) -> list[Any]:
        """Read the numbers of all latents."""
        return [self.a.load_vector(self.a.at(begin, self.a.number(k * self.a.lanes))) for k in range(self.vectors)]

    def adder(self, link: _Record, image: Any) -> Callable[[Any, list[Any]], None]:
        """Return what adds the cotangents of one of a user's numbers, times its slope, to those of the source."""
        a, code = self.a, self.a.code
        self.clear_source(link)
        slopes, places = self.of_image(link, image)
        source = self.layer(link.number("source"))
        slots, into = a.at(self.integers, source.number("slots")), self.cotangents(source)
        is_exclusive = self.is_exclusive(source)

        def add(number: Any, row: list[Any]) -> None:
            slope = a.load(a.at(slopes, number))
            with code.if_then(self.is_not_zero(slope)):
                slot = a.small(a.at(slots, a.small(a.at(places, number))))
                begin, each = a.at(into, code.mul(slot, self.latents)), a.everywhere(slope)
                with code.if_else(is_exclusive) as (alone, shared):
                    with alone:
                        self.store(begin, [code.fmul(x, each) for x in row])
                    with shared:
                        before = self.load(begin)
                        self.store(begin, [a.call("fma", x, each, y) for x, y in zip(row, before, strict=True)])

        return add

    def store(self, begin: Any, row: list[Any]) -> None:
        """Write the numbers of all latents."""
        for k, vector in enumerate(row):
            self.a.store_vector(self.a.at(begin, self.a.number(k * self.a.lanes)), vector)

    def pull_sum(self, layer: _Record, image: Any) -> None:
        """Give what has arrived at a sum to both that it is a sum of."""
        a, code = self.a, self.a.code
        slots, own = a.at(self.integers, layer.number("slots")), self.cotangents(layer)
        adders = [self.adder(self.link(layer.number(name)), image) for name in ("link", "second_link")]

        def of_number(k: Any) -> None:
            slot = a.small(a.at(slots, k))
            with code.if_then(code.icmp_signed(">=", slot, a.number(0))):
                row = self.load(a.at(own, code.mul(slot, self.latents)))
                for add in adders:
                    add(k, row)

        self.times(layer.number("numbers"), of_number)

    def add_up(self, layer: _Record, image: Any, block: Any) -> None:
        """Write down what the derivatives of these latents with respect to each number of the input add up to."""
        a, code = self.a, self.a.code
        count = layer.number("numbers")
        place = code.add(code.mul(image, self.given.number("blocks")), block)
        totals = a.at(self.given.pointer("totals", "floats"), code.mul(place, count))
        slots, own = a.at(self.integers, layer.number("slots")), self.cotangents(layer)

        def of_number(k: Any) -> None:
            slot, total = a.small(a.at(slots, k)), a.at(totals, k)
            with code.if_else(code.icmp_signed(">=", slot, a.number(0))) as (alive, dead):
                with alive:
                    found = a.zeros
                    for vector in self.load(a.at(own, code.mul(slot, self.latents))):
                        found = ADDED[self.norm](a, found, vector)
                    a.store(total, a.joined(JOINED[self.norm], found))
                with dead:
                    a.store(total, a.ir.Constant(a.float, 0.0))

        self.times(count, of_number)

    # --- products ---
    def pull_product(self, layer: _Record, image: Any) -> None:
        """Pull a product back, some channels of what it takes at a time."""
        a, code = self.a, self.a.code
        add = self.adder(self.link(layer.number("link")), image)

        def of_tile(k: Any) -> None:
            tile = self.record(layer, "tiles", k, TILE_FIELDS)
            for width in widths():
                with code.if_then(code.icmp_signed("==", tile.number("width"), a.number(width))):
                    self.pull_tile(layer, tile, width, add)

        self.times(layer.number("tile_count"), of_tile)

    def pull_tile(self, layer: _Record, tile: _Record, width: int, add: Callable[[Any, list[Any]], None]) -> None:
        """Go through the positions of what is taken; there, through all that these channels go into and is alive."""
        a, code, v = self.a, self.a.code, self.vectors
        starts, live = (a.at(self.integers, layer.number(name)) for name in ("starts", "live"))
        own = self.cotangents(layer)
        table, pairs = layer.pointer("table_starts", "smalls"), layer.pointer("pairs", "smalls")
        weights, first = tile.pointer("weights", "floats"), tile.number("first")
        per_tap, channels = code.mul(layer.number("channels"), a.number(width)), layer.number("taken_channels")

        def of_position(position: Any) -> None:
            begin = a.small(a.at(table, position))
            end = a.small(a.at(table, position, a.number(1)))

            def of_pair(k: Any, sums: list[Any]) -> list[Any]:
                pair = a.at(pairs, code.mul(code.add(begin, k), a.number(2)))
                place, tap = a.small(pair), a.small(a.at(pair, a.number(1)))
                slot = a.small(a.at(starts, place))
                count = code.sub(a.small(a.at(starts, place, a.number(1))), slot)
                of_tap = a.at(weights, code.mul(tap, per_tap))
                rows, which = a.at(own, code.mul(slot, self.latents)), a.at(live, slot)

                def of_live(n: Any, inner: list[Any]) -> list[Any]:
                    each = a.at(of_tap, code.mul(a.small(a.at(which, n)), a.number(width)))
                    row = self.load(a.at(rows, code.mul(n, self.latents)))
                    factors = [a.everywhere(a.load(a.at(each, a.number(c)))) for c in range(width)]
                    return [a.call("fma", factors[k // v], row[k % v], x) for k, x in enumerate(inner)]

                return a.loop(count, sums, of_live)

            sums = a.loop(code.sub(end, begin), [a.zeros] * (width * v), of_pair)
            number = code.add(code.mul(position, channels), first)
            for c in range(width):
                add(code.add(number, a.number(c)), sums[c * v : (c + 1) * v])

        self.times(layer.number("taken_positions"), of_position)
