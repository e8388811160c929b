"""The lifted number: a complex number kept as two real tensors.

Its parts stay apart because torch's own complex kernels cannot be trusted with a tiny imaginary part: complex
convolution goes through sums of real and imaginary parts, in which 1e-16 drowns, and many operations have no complex
kernel or quietly drop the imaginary part. Linear operations act on the parts one by one, which loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Lifted:
    """The number re + i im; both parts are real, and of shapes that broadcast to each other."""

    re: torch.Tensor
    im: torch.Tensor

    def as_complex(self) -> torch.Tensor:
        """Return it as one complex tensor, for operations whose complex kernel is analytic."""
        return torch.complex(*torch.broadcast_tensors(self.re, self.im))


def lifted(value: torch.Tensor) -> Lifted:
    """Take a complex tensor apart."""
    return Lifted(value.real, value.imag)


def has_lifted(*values: Any) -> bool:
    """Say whether any of the values is a lifted number."""
    return any(isinstance(value, Lifted) for value in values)


def scaled(value: Any, factor: float) -> Any:
    """Multiply a lifted or plain value by a real number."""
    return Lifted(factor * value.re, factor * value.im) if isinstance(value, Lifted) else factor * value


def real_part(value: Any) -> Any:
    """Return the real part of a lifted number; anything else is real already."""
    return value.re if isinstance(value, Lifted) else value


def imaginary_part(value: Any) -> Any:
    """Return the imaginary part of a lifted number, and zero, as a tensor or number, for anything else."""
    if isinstance(value, Lifted):
        return value.im
    return torch.zeros_like(value) if isinstance(value, torch.Tensor) else 0
