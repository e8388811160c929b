"""What the maps of a store have in common, class by class: mean, spread, quantiles, and which images are typical.

The store is read block by block, twice: once for what the maps of a class have in common, once to hold each map
against it. The memory is that of some maps a class, however many images there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imagrad.errors import InputError
from imagrad.store.layout import DONE
from imagrad.store.reading import Store

QUANTILES = (0.05, 0.5, 0.95)
BUDGET = 2**28
"""Bytes that the maps kept for quantiles may take, and the sums of the classes under way."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ClassStatistics:
    """What the maps of the images of a class have in common, pixel by pixel."""

    name: str
    count: int
    """Images that have maps."""
    missing: int
    """Images that could not be read."""
    mean: Values
    """(channels, height, width)."""
    deviation: Values
    """Standard deviation over the images (divided by their number)."""
    quantiles: Values
    """(quantiles, channels, height, width), between neighbouring values in proportion."""
    sampled: int | None
    """Of how many images, drawn at random, the quantiles are; None: of all."""
    rows: NDArray[np.intp]
    """The images, as rows of the store."""
    correlations: Values
    """Of each image's map with the mean map of the other images of its class; NaN where one of them is constant."""

    def most_typical(self, count: int) -> NDArray[np.intp]:
        """Return places in `rows`: those of the highest correlations, the highest first."""
        return self._ordered()[::-1][:count]

    def least_typical(self, count: int) -> NDArray[np.intp]:
        """Return places in `rows`: those of the lowest correlations, the lowest first."""
        return self._ordered()[:count]

    def _ordered(self) -> NDArray[np.intp]:
        order = np.argsort(self.correlations, kind="stable")
        return order[np.isfinite(self.correlations[order])]


def statistics_of(store: Store, *, by_class: bool = True, seed: int = 0, budget: int = BUDGET) -> list[ClassStatistics]:
    """Sum up the maps of a store, of each class or of all images together.

    Quantiles are exact where the maps of a class fit into its share of `budget` bytes; else they are those of images
    drawn at random, by `seed`. Raises `InputError` when no image has a map.
    """
    members, missing = _members(store, by_class)
    if not members:
        raise InputError(f"{store} has nothing to sum up yet. `imagrad explain` goes on with it.")
    at_once = max(1, budget // (_SUMS * 8 * _pixels(store)))  # classes
    names = list(members)
    found: list[ClassStatistics] = []
    for first in range(0, len(names), at_once):
        some = names[first : first + at_once]
        found += _of_classes(store, {name: members[name] for name in some}, missing, seed, budget // len(names))
    return found


_SUMS = 4  # arrays of a map's size that a class needs besides the maps kept for quantiles


def _pixels(store: Store) -> int:
    return int(np.prod(store.maps.shape[1:], dtype=np.int64))


def _members(store: Store, by_class: bool) -> tuple[dict[str, NDArray[np.intp]], dict[str, int]]:
    """Return the rows that have maps, and the number of missing images, of each class that has any."""
    labels, done = store.labels, store.status == DONE
    lost = (store.status != DONE) & (store.status != 0)
    if labels is None or not by_class:
        return ({"all": np.flatnonzero(done)} if done.any() else {}), {"all": int(lost.sum())}
    members, missing = dict[str, NDArray[np.intp]](), dict[str, int]()
    for label, name in enumerate(store.label_names):
        rows = np.flatnonzero(done & (labels == label))
        if len(rows):
            members[name], missing[name] = rows, int((lost & (labels == label)).sum())
    return members, missing


@dataclass
class _Sums:
    """Running sums of a class: number, mean and summed squared distance from it, and maps kept for quantiles."""

    rows: NDArray[np.intp]
    sample: NDArray[np.intp]
    mean: Values
    squares: Values
    kept: NDArray[np.floating]
    count: int = 0
    correlations: list[Values] = field(default_factory=list[Values])

    def add(self, rows: NDArray[np.intp], maps: NDArray[np.floating]) -> None:
        """Take some maps into the sums (Chan, Golub and LeVeque 1983: the means of two parts, joined)."""
        wide = maps.astype(np.float64)
        mean, count = wide.mean(0), self.count + len(rows)
        shift = mean - self.mean
        self.squares += ((wide - mean) ** 2).sum(0) + shift**2 * (self.count * len(rows) / count)
        self.mean += shift * (len(rows) / count)
        self.count = count
        chosen = np.isin(rows, self.sample)
        self.kept[np.searchsorted(self.sample, rows[chosen])] = maps[chosen]

    def compare(self, maps: NDArray[np.floating]) -> None:
        """Correlate maps with the mean of the others of the class."""
        wide = maps.astype(np.float64)
        others = (self.mean * self.count - wide) / max(1, self.count - 1)
        self.correlations.append(_correlations(wide, others))


def _of_classes(
    store: Store, members: dict[str, NDArray[np.intp]], missing: dict[str, int], seed: int, bytes_a_class: int
) -> Iterator[ClassStatistics]:
    """Read the store twice for some classes."""
    most = max(2, bytes_a_class // (np.dtype(store.maps.dtype).itemsize * _pixels(store)))
    sums = {name: _begin(store, rows, most, seed) for name, rows in members.items()}
    for name, rows, maps in _parts(store, members):
        sums[name].add(rows, maps)
    for name, _, maps in _parts(store, members):
        sums[name].compare(maps)
    shape = store.maps.shape[1:]
    for name, of_class in sums.items():
        quantiles = np.quantile(of_class.kept.astype(np.float64), QUANTILES, axis=0)
        whole = len(of_class.sample) == len(of_class.rows)
        yield ClassStatistics(
            name, of_class.count, missing[name], of_class.mean.reshape(shape),
            np.sqrt(of_class.squares / of_class.count).reshape(shape), quantiles.reshape(-1, *shape),
            None if whole else len(of_class.sample), of_class.rows, np.concatenate(of_class.correlations),
        )  # fmt: skip


def _begin(store: Store, rows: NDArray[np.intp], most: int, seed: int) -> _Sums:
    """Draw which maps are kept, all if they fit, and start at zero."""
    sample = rows if len(rows) <= most else np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    pixels = _pixels(store)
    kept = np.empty((len(sample), pixels), store.maps.dtype)
    return _Sums(rows, sample, np.zeros(pixels), np.zeros(pixels), kept)


def _parts(
    store: Store, members: dict[str, NDArray[np.intp]]
) -> Iterator[tuple[str, NDArray[np.intp], NDArray[np.floating]]]:
    """Go through the blocks: the maps of each class in each block that holds some of it, (n, pixels)."""
    for rows in store.blocks():
        inside = {name: _within(of_class, rows) for name, of_class in members.items()}
        if not any(len(found) for found in inside.values()):
            continue
        maps = np.asarray(store.maps[rows]).reshape(rows.stop - rows.start, -1)
        for name, found in inside.items():
            if len(found):
                yield name, found, maps[found - rows.start]


def _within(rows: NDArray[np.intp], block: slice) -> NDArray[np.intp]:
    first, last = np.searchsorted(rows, [block.start, block.stop])
    return rows[first:last]


def _correlations(maps: Values, others: Values) -> Values:
    """Return Pearson's correlation of each row with each row; NaN where one is constant."""
    maps, others = (x - x.mean(1, keepdims=True) for x in (maps, others))
    lengths = np.linalg.norm(maps, axis=1) * np.linalg.norm(others, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 0, (maps * others).sum(1) / lengths, np.nan)
