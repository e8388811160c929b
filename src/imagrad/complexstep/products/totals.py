"""What derivatives add up to, in a kernel's registers, by norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from imagrad.complexstep.products.assembly import Assembly

ADDED: dict[str, Callable[[Assembly, Any, Any], Any]] = {
    "l2": lambda a, total, value: a.call("fma", value, value, total),
    "l1": lambda a, total, value: a.code.fadd(total, a.call("fabs", value)),
    "max": lambda a, total, value: a.call("maximum", total, a.call("fabs", value)),
}
"""What a derivative adds to the total of its column, by norm; NaN stays NaN."""

TYPES = (torch.float32, torch.float64)
"""That kernels compute in."""

JOINED = {"l2": "fadd", "l1": "fadd", "max": "fmaximum"}
"""How totals of several latents become one, as LLVM names it."""

COMBINED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "l2": lambda totals: totals.sum(1),
    "l1": lambda totals: totals.sum(1),
    "max": lambda totals: totals.amax(1),
}
"""The same, of totals (n, several, features)."""
