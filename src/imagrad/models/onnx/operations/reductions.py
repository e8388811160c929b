"""Sums, means, extremes and norms over axes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from imagrad.models.onnx.table import RefusedError, operation
from imagrad.models.onnx.values import Sizes, Tensor, axes_of

_Reduce = Callable[[torch.Tensor, list[int], bool], torch.Tensor]


def _reduction(name: str, reduce: _Reduce, summary: str, *, is_plain: bool = True) -> None:
    """File a reduction; a plain one leaves a single number as it is."""

    def run(x: Tensor, axes: Sizes | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> torch.Tensor:
        if not axes and noop_with_empty_axes:
            if is_plain:
                return x
            raise RefusedError("noop_with_empty_axes 1 without axes is not covered")
        return reduce(x, axes_of(axes or range(x.ndim), x.ndim), bool(keepdims))

    run.__doc__ = summary
    operation(name)(run)


def _product(x: torch.Tensor, axes: list[int], keepdim: bool) -> torch.Tensor:
    for axis in reversed(axes):
        x = x.prod(axis, keepdim=keepdim)
    return x


_reduction("ReduceSum", lambda x, axes, keep: x.sum(axes, keepdim=keep), "Sum over axes.")
_reduction("ReduceMean", lambda x, axes, keep: x.mean(axes, keepdim=keep), "Mean over axes.")
_reduction("ReduceMax", lambda x, axes, keep: x.amax(axes, keepdim=keep), "Largest over axes.")
_reduction("ReduceMin", lambda x, axes, keep: x.amin(axes, keepdim=keep), "Smallest over axes.")
_reduction("ReduceProd", _product, "Product over axes.")
_reduction("ReduceL1", lambda x, axes, keep: x.abs().sum(axes, keepdim=keep), "Sum of sizes.", is_plain=False)
_reduction(
    "ReduceL2", lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keepdim=keep), "Euclidean norm.",
    is_plain=False,
)  # fmt: skip
_reduction("ReduceSumSquare", lambda x, axes, keep: (x * x).sum(axes, keepdim=keep), "Sum of squares.", is_plain=False)
_reduction(
    "ReduceLogSum", lambda x, axes, keep: x.sum(axes, keepdim=keep).log(), "Logarithm of the sum.", is_plain=False
)
_reduction(
    "ReduceLogSumExp", lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep),
    "Logarithm of the sum of exponentials.", is_plain=False,
)  # fmt: skip


@operation("ArgMax")
def _argmax(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Where the largest is; the first of several."""
    _refuse_last(select_last_index)
    return x.argmax(axis, keepdim=bool(keepdims))


@operation("ArgMin")
def _argmin(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """Where the smallest is; the first of several."""
    _refuse_last(select_last_index)
    return x.argmin(axis, keepdim=bool(keepdims))


def _refuse_last(select_last_index: int) -> None:
    if select_last_index:
        raise RefusedError("select_last_index 1 is not covered")
