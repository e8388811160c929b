"""The lifted number: a real tensor with an imaginary part, kept as two real tensors.

Its parts stay apart because torch's own complex kernels cannot be trusted with a tiny imaginary part: complex
convolution goes through sums of real and imaginary parts, in which 1e-16 drowns, and many operations have no complex
kernel or quietly drop the imaginary part. Linear operations act on the parts one by one, which loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Arithmetic:
    """How lifted numbers are computed with."""

    is_complex: bool = False
    """True: re + i im, complex arithmetic; the imaginary part holds the step h. False: the pair (re, im / h) in the
    limit h -> 0, in which nothing under- or overflows and the real part does not depend on the perturbation."""
    is_one_sided: bool = False
    """At a kink: True follows the imaginary part (the derivative in its direction); False is autograd's choice."""


PAIR = Arithmetic()
COMPLEX = Arithmetic(is_complex=True)


@dataclass(frozen=True)
class Lifted:
    """A real tensor with an imaginary part of the same shape."""

    re: torch.Tensor
    im: torch.Tensor
    arithmetic: Arithmetic = PAIR

    def __post_init__(self) -> None:
        """Give the imaginary part the shape of the real one."""
        if self.im.shape != self.re.shape:
            object.__setattr__(self, "im", self.im.expand(self.re.shape))

    def of(self, re: torch.Tensor, im: torch.Tensor) -> Lifted:
        """Make another number of the same arithmetic."""
        return Lifted(re, im, self.arithmetic)

    def as_complex(self) -> torch.Tensor:
        """Return it as one complex tensor, for operations whose complex kernel is analytic."""
        return torch.complex(self.re, self.im)

    def of_complex(self, value: torch.Tensor) -> Lifted:
        """Take a complex tensor apart."""
        return self.of(value.real, value.imag)


@dataclass(frozen=True)
class Poison:
    """An auxiliary output that is not lifted; using it is an error, so that no derivative is lost in silence."""

    what: str


def lifted_among(values: Any) -> list[Lifted]:
    """List the lifted numbers in nested tuples, lists and dicts."""
    return [value for value in flat(values) if isinstance(value, Lifted)]


def flat(values: Any) -> list[Any]:
    """List what is in nested tuples, lists and dicts."""
    if isinstance(values, dict):
        values = list(values.values())
    return [x for value in values for x in flat(value)] if isinstance(values, tuple | list) else [values]


def real_part(value: Any) -> Any:
    """Replace lifted numbers, also in lists, by their real parts; anything else is real already."""
    if isinstance(value, list | tuple):
        return [real_part(inner) for inner in value]
    return value.re if isinstance(value, Lifted) else value


def imaginary_part(value: Any) -> Any:
    """Replace lifted numbers, also in lists, by their imaginary parts, and plain tensors and numbers by zeros."""
    if isinstance(value, list | tuple):
        return [imaginary_part(inner) for inner in value]
    if isinstance(value, Lifted):
        return value.im
    return torch.zeros_like(value) if isinstance(value, torch.Tensor) else 0
