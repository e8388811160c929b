"""Rules of operations that move, copy, add or average numbers: all linear."""

from __future__ import annotations

from typing import Any

import torch

from imagrad.complexstep.number import Lifted, imaginary_part, real_part
from imagrad.complexstep.rules.table import in_float64, jointly_linear, linear, rule

aten = torch.ops.aten

# --- the same numbers in another shape or order ---
linear(aten.view.default, aten.permute.default, aten.unsqueeze.default, aten.squeeze.dims, aten.expand.default)
linear(aten.select.int, aten.slice.Tensor, aten.clone.default, aten.flip.default)

# --- sums ---
linear(aten.neg.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim)
linear(aten.avg_pool2d.default, aten._adaptive_avg_pool2d.default)
jointly_linear(aten.add.Tensor, aten.sub.Tensor)


@rule(aten.cat.default)
def concatenate(values: list[Any], axis: int = 0) -> Lifted:
    """Concatenate the real parts, and the imaginary parts."""
    re, im = [real_part(value) for value in values], [imaginary_part(value) for value in values]
    return Lifted(aten.cat.default(re, axis), aten.cat.default(im, axis))


# --- types ---
@rule(aten._to_copy.default)
def convert(value: Lifted, **options: Any) -> Lifted:
    """Convert between floating-point types: nothing to do, all is computed in float64."""
    in_float64(options)
    return value


# --- what depends on the shape alone ---
@rule(aten.sym_size.int)
def size(value: Lifted, axis: int) -> Any:
    """Read a size: the same for both parts."""
    return value.re.shape[axis]
