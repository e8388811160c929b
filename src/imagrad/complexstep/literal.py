"""The paper's own loop, word for word: slow, and the reference for everything faster."""

from __future__ import annotations

import torch

from imagrad.complexstep.derivatives import prepare
from imagrad.complexstep.engines import checked_finite
from imagrad.complexstep.functions import Function, Output
from imagrad.complexstep.number import COMPLEX, Lifted
from imagrad.complexstep.points import SMALLEST_STEP, Settings
from imagrad.errors import InputError

PAPER_STEP = 1e-16


def literal_jacobian(
    function: Function, point: torch.Tensor, *, step: float = PAPER_STEP, dtype: torch.dtype | None = None,
    output: Output = None,
) -> torch.Tensor:  # fmt: skip
    """Differentiate `function` at one point as section 5.2 does: one feature at a time.

    Each feature gets the imaginary part `step` in turn, the function is run in complex128 (ReLU as Eq. 6), and the
    imaginary parts of its outputs, divided by the step, are one column of the Jacobian (Eq. 2).
    Returns what `jacobian` returns. `step` may be as large as wanted, to see its error.
    Raises what `jacobian` raises.
    """
    if not step >= SMALLEST_STEP:
        raise InputError(f"`step` must be at least {SMALLEST_STEP:g}, below which it underflows; got {step:g}.")
    task = prepare(function, point, Settings("complex", dtype=dtype), output)
    real = task.point
    columns: list[torch.Tensor] = []
    with torch.no_grad():
        for feature in range(real.numel()):
            imaginary = torch.zeros_like(real)
            imaginary.view(-1)[feature] = step
            columns.append(checked_finite(task.program.run(Lifted(real, imaginary, COMPLEX)).im / step))
    stacked = torch.stack(columns, dim=-1)  # (*output, m)
    return stacked.reshape(stacked.shape[:-1] + point.shape).to(task.settings.type_for(point.dtype))
