"""Where the windows of convolutions and pools lie: sizes, strides, dilations and paddings of each spatial axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from imagrad.models.onnx.table import RefusedError

Ints = Sequence[int] | None
"""An attribute that is a list of whole numbers."""


@dataclass(frozen=True)
class Windows:
    """One entry for each spatial axis."""

    lengths: tuple[int, ...]
    """Of what the windows lie on."""
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    """Padding at the low end."""
    after: tuple[int, ...]

    @property
    def is_even(self) -> bool:
        """Whether the padding is the same at both ends."""
        return self.before == self.after

    @property
    def spans(self) -> tuple[int, ...]:
        """How far a window reaches."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.sizes, self.dilations, strict=True))

    def counts(self, ceil_mode: bool) -> tuple[int, ...]:
        """How many windows there are; with `ceil_mode`, also those that reach over the end but start before it."""
        found: list[int] = []
        rows = zip(self.lengths, self.spans, self.strides, self.before, self.after, strict=True)
        for length, span, stride, before, after in rows:
            room = length + before + after - span
            count = (-(-room // stride) if ceil_mode else room // stride) + 1
            found.append(count - 1 if ceil_mode and (count - 1) * stride >= length + before else count)
        return tuple(found)

    def paddings(self, ceil_mode: bool) -> list[int]:
        """Give the padding that makes room for exactly these windows, in torch's order: last axis first."""
        ends = [
            (count - 1) * stride + span - length - before
            for count, stride, span, length, before in zip(
                self.counts(ceil_mode), self.strides, self.spans, self.lengths, self.before, strict=True
            )
        ]
        return in_torch_order(self.before, ends)


def in_torch_order(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Pair the paddings of each axis, last axis first."""
    return [end for pair in reversed(list(zip(before, after, strict=True))) for end in pair]


def windows_on(
    lengths: Sequence[int], sizes: Sequence[int], strides: Ints, dilations: Ints, pads: Ints, auto_pad: str
) -> Windows:
    """Lay windows on axes of these lengths; raise `RefusedError` for an unknown `auto_pad`."""
    rank = len(lengths)
    strides, dilations = strides or [1] * rank, dilations or [1] * rank
    pads = pads or [0] * (2 * rank)
    if len(sizes) != rank or len(strides) != rank or len(dilations) != rank or len(pads) != 2 * rank:
        raise RefusedError(f"its window has {len(sizes)} axes, and what it lies on has {rank}")
    before, after = pads[:rank], pads[rank:]
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        missing = [
            max((-(-length // stride) - 1) * stride + (size - 1) * dilation + 1 - length, 0)
            for length, size, stride, dilation in zip(lengths, sizes, strides, dilations, strict=True)
        ]
        smaller, larger = [total // 2 for total in missing], [total - total // 2 for total in missing]
        before, after = (smaller, larger) if auto_pad == "SAME_UPPER" else (larger, smaller)
    elif auto_pad == "VALID":
        before = after = [0] * rank
    elif auto_pad != "NOTSET":
        raise RefusedError(f"auto_pad {auto_pad!r} is not covered")
    return Windows(tuple(lengths), tuple(sizes), tuple(strides), tuple(dilations), tuple(before), tuple(after))


def evenly_padded(x: torch.Tensor, windows: Windows) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Return what is left to pad evenly, and the tensor, padded by zeros where it is not even."""
    if windows.is_even:
        return x, windows.before
    padded = functional.pad(x, in_torch_order(windows.before, windows.after))
    return padded, (0,) * len(windows.before)
