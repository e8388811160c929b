"""The paper's own loop, word for word: slow, and the reference for everything faster."""

from __future__ import annotations

import torch

from imagrad.complexstep.derivatives import SMALLEST_STEP, check_point, checked_finite
from imagrad.complexstep.number import Lifted
from imagrad.complexstep.program import Function, export
from imagrad.errors import InputError

PAPER_STEP = 1e-16


def literal_jacobian(function: Function, point: torch.Tensor, *, step: float = PAPER_STEP) -> torch.Tensor:
    """Differentiate `function` at one point as section 5.2 does: one feature at a time.

    Each feature gets the imaginary part `step` in turn, the function is run in complex128 (ReLU as Eq. 6), and the
    imaginary parts of its outputs, divided by the step, are one column of the Jacobian (Eq. 2).
    Returns float64 of shape output.shape + point.shape. `step` may be as large as wanted, to see its error.
    Raises what `jacobian` raises.
    """
    check_point(point)
    if not step >= SMALLEST_STEP:
        raise InputError(f"`step` must be at least {SMALLEST_STEP:g}, below which it underflows; got {step:g}.")
    program = export(function, point, batched=False)
    real = point.detach().to(torch.float64)
    columns: list[torch.Tensor] = []
    with torch.no_grad():
        for feature in range(real.numel()):
            imaginary = torch.zeros_like(real)
            imaginary.view(-1)[feature] = step
            columns.append(checked_finite(program.run(Lifted(real, imaginary)).im / step))
    stacked = torch.stack(columns, dim=-1)  # (*output, m)
    return stacked.reshape(stacked.shape[:-1] + point.shape)
