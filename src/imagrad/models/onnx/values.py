"""What passes along the edges of an ONNX graph: tensors, and numbers that are known without computing one.

Sizes, and what is computed from them, never become tensors: they stay whole numbers, which torch.export may replace by
symbols, so that a graph traced for two images serves any number of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray

Tensor = Annotated[torch.Tensor, "tensor"]
"""The kind of an argument: a tensor; a known number becomes one."""

Known = Annotated[NDArray[Any], "known"]
"""Numbers known while the graph is traced: whole, true or false, floating, or torch's symbols (type object)."""

Sizes = Annotated[list[int], "sizes"]
"""Known whole numbers, as a flat list."""

Factors = Annotated[list[float], "factors"]
"""Known floating-point numbers, as a flat list."""

Scalar = Annotated[Any, "scalar"]
"""A number where it is known and single, else a tensor."""

Value = Annotated[Any, "value"]
"""Whatever comes, a tensor or known numbers."""

_SYMBOLS = (torch.SymInt, torch.SymFloat, torch.SymBool)


@dataclass(frozen=True)
class Context:
    """What an operation may ask about where it stands."""

    version: int
    """Of the operations' meaning: the opset."""
    outputs: int
    """How many results the node has names for."""
    dtype: torch.dtype
    """The floating-point type that is computed in."""
    device: torch.device

    @property
    def of_tensors(self) -> dict[str, Any]:
        """The options that make a new floating-point tensor."""
        return {"dtype": self.dtype, "device": self.device}


def known(values: Any) -> NDArray[Any]:
    """Return an array of plain numbers where there is no symbol among the values, else one of objects."""
    array = np.asarray(values, dtype=object) if not isinstance(values, np.ndarray) else values
    if array.dtype != object or any(isinstance(value, _SYMBOLS) for value in array.flat):
        return array
    return np.array(array.tolist()).reshape(array.shape) if array.size else array.astype(np.int64)


def as_tensor(value: torch.Tensor | NDArray[Any], context: Context) -> torch.Tensor:
    """Make a tensor of known numbers: whole ones in int64, floating-point ones in the type that is computed in."""
    if isinstance(value, torch.Tensor):
        return value
    if value.dtype == object:
        parts = [_single(entry, context) for entry in value.flat]
        return torch.stack(parts).reshape(value.shape)
    tensor = torch.tensor(value, device=context.device)  # in full precision first: a trace may be run in another type
    return tensor.to(context.dtype) if tensor.is_floating_point() else tensor


def _single(value: Any, context: Context) -> torch.Tensor:
    is_floating = isinstance(value, float | torch.SymFloat)
    return torch.scalar_tensor(value, dtype=context.dtype if is_floating else torch.int64, device=context.device)


def converted(value: Any, kind: str, context: Context) -> Any:
    """Bring a value to the kind that an argument has; raise `TypeError` for a tensor where numbers must be known."""
    if kind == "value":
        return value
    if kind == "tensor":
        return as_tensor(value, context)
    if isinstance(value, torch.Tensor):
        if kind == "scalar":
            return value
        raise TypeError("is computed from the values of the images, and must be known before")
    if kind == "known":
        return value
    if kind == "scalar":
        return value.reshape(-1).tolist()[0] if value.size == 1 else as_tensor(value, context)
    return value.reshape(-1).tolist()


def axes_of(axes: Sequence[int], rank: int) -> list[int]:
    """Count axes from the front, in ascending order."""
    return sorted(axis + rank if axis < 0 else axis for axis in axes)
