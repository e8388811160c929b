"""The paper's own loop, word for word: slow, and the reference for everything faster."""

from __future__ import annotations

import torch

from imagrad.complexstep.derivatives import check_point
from imagrad.complexstep.number import Lifted
from imagrad.complexstep.program import Function, export

PAPER_STEP = 1e-16


def literal_jacobian(function: Function, point: torch.Tensor, *, step: float = PAPER_STEP) -> torch.Tensor:
    """Differentiate `function` at one point as section 5.2 does: one feature at a time.

    Each feature gets the imaginary part `step` in turn, the function is run in complex128 (ReLU as Eq. 6), and the
    imaginary parts of its outputs, divided by the step, are one column of the Jacobian (Eq. 2).
    Returns float64 of shape output.shape + point.shape. Raises what `jacobian` raises.
    """
    check_point(point)
    program = export(function, point, batched=False)
    real = point.detach().to(torch.float64)
    columns: list[torch.Tensor] = []
    with torch.no_grad():
        for feature in range(real.numel()):
            imaginary = torch.zeros_like(real)
            imaginary.view(-1)[feature] = step
            columns.append(program.run(Lifted(real, imaginary)).im / step)
    return torch.stack(columns, dim=-1).unflatten(-1, point.shape)  # (*output, *point)
