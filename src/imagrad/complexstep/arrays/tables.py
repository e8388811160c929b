"""Which of NumPy's functions act on lifted arrays by linearity alone, and which answer plainly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[..., Any]


@dataclass(frozen=True)
class Parts:
    """What a rule returns when it has worked on the parts: value and derivative, of one shape."""

    re: Any
    im: Any


def real(value: Any) -> Any:
    """Return the value of a lifted array, also inside lists and tuples; anything else is real already."""
    if isinstance(value, list | tuple):
        return [real(item) for item in value]
    return getattr(value, "re", value)


def tangent(value: Any) -> Any:
    """Return the derivative of a lifted array, also inside lists and tuples; that of anything else is zero."""
    if isinstance(value, list | tuple):
        return [tangent(item) for item in value]
    return getattr(value, "im", None) if hasattr(value, "re") else np.zeros(np.shape(value))


LINEAR: dict[Function, str] = {
    # --- sums ---
    np.sum: "x axis",
    np.mean: "x axis",
    np.cumsum: "x axis",
    np.diff: "x n axis",
    np.ediff1d: "x",
    np.gradient: "x spacing",
    np.trace: "x offset axis1 axis2",
    np.linalg.trace: "x",
    # --- shapes ---
    np.reshape: "x shape order",
    np.ravel: "x order",
    np.squeeze: "x axis",
    np.expand_dims: "x axis",
    np.broadcast_to: "x shape",
    np.broadcast_arrays: "*x",
    np.atleast_1d: "*x",
    np.atleast_2d: "*x",
    np.atleast_3d: "*x",
    np.transpose: "x axes",
    np.permute_dims: "x axes",
    np.matrix_transpose: "x",
    np.swapaxes: "x axis1 axis2",
    np.moveaxis: "x source destination",
    np.rollaxis: "x axis start",
    np.copy: "x",
    # --- elements in other places ---
    np.roll: "x shift axis",
    np.flip: "x axis",
    np.fliplr: "x",
    np.flipud: "x",
    np.rot90: "x k axes",
    np.tile: "x reps",
    np.repeat: "x repeats axis",
    np.take: "x indices axis",
    np.take_along_axis: "x indices axis",
    np.compress: "condition x axis",
    np.extract: "condition x",
    np.delete: "x obj axis",
    np.diagonal: "x offset axis1 axis2",
    np.linalg.diagonal: "x",
    np.diag: "x k",
    np.diagflat: "x k",
    np.tril: "x k",
    np.triu: "x k",
    # --- several arrays ---
    np.concatenate: "x axis",
    np.stack: "x axis",
    np.vstack: "x",
    np.hstack: "x",
    np.dstack: "x",
    np.column_stack: "x",
    np.block: "x",
    np.append: "x x axis",
    np.insert: "x obj x axis",
    np.split: "x indices_or_sections axis",
    np.array_split: "x indices_or_sections axis",
    np.hsplit: "x indices_or_sections",
    np.vsplit: "x indices_or_sections",
    np.dsplit: "x indices_or_sections",
    np.where: "condition x x",
    # --- complex parts of what stands for real numbers ---
    np.real: "x",
    np.real_if_close: "x",
}
"""Linear in the arguments called x: they act on the values and on the derivatives alike. The other words name the
positional arguments that may follow; "*x" stands for any number of arrays."""

MULTILINEAR: dict[Function, str] = {
    np.dot: "x x",
    np.vdot: "x x",
    np.inner: "x x",
    np.outer: "x x",
    np.kron: "x x",
    np.cross: "x x",
    np.tensordot: "x x axes",
    np.convolve: "x x mode",
    np.correlate: "x x mode",
    np.einsum: "subscripts *x",
    np.linalg.matmul: "x x",
    np.linalg.outer: "x x",
    np.linalg.vecdot: "x x",
    np.linalg.tensordot: "x x",
    np.linalg.cross: "x x",
}
"""Linear in each argument called x: the derivative is the sum over them, with one replaced by its derivative."""

KEYWORDS = frozenset(
    "axis axes axis1 axis2 keepdims shape order k n mode offset shift repeats reps indices source destination "
    "indices_or_sections where optimize out dtype".split()
)
"""What may be given by name to a linear function, if `out` is None and `dtype` is float64."""

PLAIN: frozenset[Function] = frozenset(
    {
        np.argmax, np.argmin, np.argsort, np.argpartition, np.argwhere, np.nonzero, np.flatnonzero, np.searchsorted,
        np.digitize, np.count_nonzero, np.any, np.all, np.isclose, np.allclose, np.array_equal, np.array_equiv,
        np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.isreal, np.iscomplex, np.isposinf, np.isneginf,
        np.result_type, np.shares_memory, np.may_share_memory, np.lexsort,
    }
)  # fmt: skip
"""They answer with plain indices and booleans, decided by the real part."""
