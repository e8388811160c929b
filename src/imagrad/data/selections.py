"""The text that names images: `mnist:test`, `mnist:train/label=3`, `folder[:100]`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagrad.data.sources import Source
from imagrad.errors import SelectionError

_GRAMMAR = re.compile(
    r"(?P<base>[^\[\]]+?)(:(?P<split>[A-Za-z]\w*))?(/image=(?P<image>[^\[\]/]+))?(/labels=(?P<labels>[^\[\]/]+))?"
    r"(/label=(?P<label>[^\[\]/]+))?(\[(?P<range>[^\[\]]*)\])?"
)
_RANGE = re.compile(r"\s*(-?\d+)?\s*(:\s*(-?\d+)?\s*(:\s*(-?\d+)?\s*)?)?")
_HUB = "hf"  # hf:name is a base, not the split of a base
EXAMPLES = "mnist:test, mnist:train/label=3, mnist:test[:1000], digits, folder/, images.npy[10:20], shards/*.tar"


@dataclass(frozen=True)
class Columns:
    """The columns (or arrays) that hold the images and the labels; None: found by their type and the usual names."""

    image: str | None = None
    labels: str | None = None

    @property
    def named(self) -> bool:
        """Whether any is asked for."""
        return self.image is not None or self.labels is not None


@dataclass(frozen=True)
class Selection:
    """A data selection taken apart: where the images are, and which of them."""

    base: str
    split: str | None = None
    label: str | None = None
    range: slice = field(default_factory=lambda: slice(None))
    columns: Columns = field(default_factory=Columns, repr=False)


def parse_selection(text: str) -> Selection:
    """Take a selection apart; a text that is the path of something that exists is taken as that path.

    Raises `SelectionError`.

    >>> parse_selection("mnist:train/label=3[:100]")
    Selection(base='mnist', split='train', label='3', range=slice(None, 100, None))
    """
    if text and Path(text).exists():
        return Selection(text)
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise SelectionError(f"cannot read the data selection {text!r}; expected something like {EXAMPLES}.")
    base, split = match["base"], match["split"]
    if base == _HUB and split is not None:
        base, split = f"{base}:{split}", None
    columns = Columns(match["image"], match["labels"])
    return Selection(base, split, match["label"], _parse_range(match["range"], text), columns)


def _parse_range(text: str | None, whole: str) -> slice:
    """Read `3`, `2:`, `:100`, `::10` as Python does; a single index selects one image."""
    if text is None:
        return slice(None)
    match = _RANGE.fullmatch(text)
    if match is None or not text.strip():
        raise SelectionError(f"cannot read the range [{text}] of {whole!r}; expected [5], [:100], [10:20] or [::10].")
    start, stop, step = (int(part) if part is not None else None for part in (match[1], match[3], match[5]))
    if ":" not in text:
        assert start is not None  # the grammar leaves nothing else
        return slice(start, start + 1 or None)
    if step == 0:
        raise SelectionError(f"the step of the range [{text}] of {whole!r} must not be 0.")
    return slice(start, stop, step)


def range_text(chosen: slice) -> str:
    """Write a range as a selection does: "[:100]", or nothing for all."""
    parts = ["" if number is None else str(number) for number in (chosen.start, chosen.stop)]
    step = "" if chosen.step is None else f":{chosen.step}"
    return "" if chosen == slice(None) else f"[{parts[0]}:{parts[1]}{step}]"


def select(source: Source, selection: Selection, text: str) -> NDArray[np.intp]:
    """Return the indices that the selection takes from the source; raise `SelectionError` when there are none."""
    indices = np.arange(source.count)
    if selection.label is not None:
        if source.labels is None:
            raise SelectionError(f"{text!r} asks for a label, but {selection.base} has no labels.")
        if selection.label not in source.label_names:
            raise SelectionError(
                f"{selection.base} has the labels {', '.join(source.label_names)}; got {selection.label!r}."
            )
        indices = indices[source.labels == source.label_names.index(selection.label)]
    chosen = indices[selection.range]
    if len(chosen) == 0:
        raise SelectionError(f"{text!r} selects no image: there are {len(indices)} to choose from before the range.")
    return chosen
