"""Rules of operations that move, copy, add or average numbers: all linear."""

from __future__ import annotations

from typing import Any

import torch

from imagrad.complexstep.number import Lifted
from imagrad.complexstep.rules.table import jointly_linear, linear, rule

aten = torch.ops.aten

# --- the same numbers in another shape or order ---
linear(aten.view.default, aten._unsafe_view.default, aten.permute.default, aten.t.default, aten.transpose.int)
linear(aten.unsqueeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.expand.default)
linear(aten.select.int, aten.slice.Tensor, aten.clone.default, aten.alias.default, aten.flip.default)

# --- sums ---
linear(aten.neg.default, aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim)
linear(aten.avg_pool2d.default, aten._adaptive_avg_pool2d.default)
jointly_linear(aten.add.Tensor, aten.sub.Tensor, aten.cat.default)


# --- what depends on the shape alone ---
@rule(aten.sym_size.int)
def size(value: Lifted, axis: int) -> Any:
    """Read a size: the same for both parts."""
    return value.re.shape[axis]
