"""Shapes of tensors, and other shapes for the same numbers."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from imagrad.models.onnx.operations.windows import in_torch_order
from imagrad.models.onnx.table import RefusedError, elementwise, operation
from imagrad.models.onnx.values import Context, Known, Scalar, Sizes, Tensor, Value, axes_of, known

_FLOATING = {1: "float", 10: "float16", 11: "double", 16: "bfloat16"}  # numbers of onnx.TensorProto.DataType
_WHOLE = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 12: "uint32", 13: "uint64"}
_BOOL = 9


@operation("Shape")
def _shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Known:
    """Tell the lengths of the axes, as known numbers."""
    return known(list(x.shape)[start:end])


@operation("Size")
def _size(x: Tensor) -> Known:
    """How many numbers there are, as a known number."""
    return known(prod(x.shape))


@operation("Reshape")
def _reshape(x: Tensor, shape: Sizes, *, allowzero: int = 0) -> Tensor:
    """Give the same numbers another shape; 0 keeps an axis, -1 takes what is left."""
    return x.reshape([x.shape[k] if size == 0 and not allowzero else size for k, size in enumerate(shape)])


@operation("Flatten")
def _flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """Make a matrix: the axes before one are joined, and those from it on."""
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(prod(x.shape[:axis]), prod(x.shape[axis:]))


@operation("Transpose")
def _transpose(x: Tensor, *, perm: list[int] | None = None) -> Tensor:
    """Put the axes in another order."""
    return x.permute(perm if perm is not None else list(range(x.ndim))[::-1])


@operation("Squeeze")
def _squeeze(x: Tensor, axes: Sizes | None = None) -> Tensor:
    """Without axes of length 1."""
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


@operation("Unsqueeze")
def _unsqueeze(x: Tensor, axes: Sizes) -> Tensor:
    """With further axes of length 1."""
    for axis in axes_of(axes, x.ndim + len(axes)):
        x = x.unsqueeze(axis)
    return x


@operation("Expand")
def _expand(x: Tensor, shape: Sizes) -> Tensor:
    """Repeated along axes of length 1."""
    rank = max(x.ndim, len(shape))
    own = [1] * (rank - x.ndim) + list(x.shape)
    asked = [1] * (rank - len(shape)) + list(shape)
    return x.expand([size if wish == 1 else wish for size, wish in zip(own, asked, strict=True)])


@operation("Tile")
def _tile(x: Tensor, repeats: Sizes) -> Tensor:
    """Repeated along each axis."""
    return x.repeat(repeats)


@operation("Concat")
def _concat(*x: Tensor, axis: int) -> Tensor:
    """One after the other along an axis."""
    return torch.cat(x, axis)


elementwise("Identity", lambda x: x, "The same.")

# --- types ---


@operation("Cast")
def _cast(x: Tensor, *, to: int, saturate: int = 1, round_mode: str = "up", context: Context) -> Tensor:
    """Another type; between floating-point types nothing changes: all is computed in one of them."""
    if to in _FLOATING:
        return x if x.is_floating_point() else x.to(context.dtype)
    if to in _WHOLE:
        return x.to(torch.int64)
    if to == _BOOL:
        return x != 0
    raise RefusedError(f"a cast to the type number {to} of onnx.TensorProto is not covered")


@operation("CastLike")
def _cast_like(x: Tensor, other: Tensor, *, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """Give it the type of another tensor."""
    return x.to(other.dtype)


# --- new tensors ---


@operation("ConstantOfShape")
def _constant_of_shape(shape: Sizes, *, value: Any = None, context: Context) -> Value:
    """One number everywhere."""
    one = np.zeros((), np.float64) if value is None else value.reshape(())
    if one.dtype.kind != "f":
        is_plain = not any(isinstance(size, torch.SymInt) for size in shape)
        return np.full(shape, one) if is_plain else torch.full(tuple(shape), one.item(), device=context.device)
    return torch.full(tuple(shape), float(one), **context.of_tensors)


@operation("Trilu")
def _trilu(x: Tensor, k: Sizes | None = None, *, upper: int = 1) -> Tensor:
    """Zeros on one side of a diagonal."""
    (diagonal,) = k or [0]
    return torch.triu(x, diagonal) if upper else torch.tril(x, diagonal)


# --- borders and blocks ---


@operation("Pad")
def _pad(
    x: Tensor, pads: Sizes, value: Scalar | None = None, axes: Sizes | None = None, *, mode: str = "constant"
) -> Tensor:
    """With a border: of one number, or of what is inside, mirrored, repeated or carried on from the other side."""
    half = len(pads) // 2
    which = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
    ends = {axis: (pads[k], pads[half + k]) for k, axis in enumerate(which)}
    if mode == "constant":
        before, after = zip(*(ends.get(axis, (0, 0)) for axis in range(x.ndim)), strict=True)
        if isinstance(value, torch.Tensor):
            raise RefusedError("its border is computed from the values of the images")
        return functional.pad(x, in_torch_order(before, after), value=value or 0)
    if mode not in ("reflect", "edge", "wrap"):
        raise RefusedError(f"mode {mode!r} is not covered")
    for axis, (before, after) in ends.items():
        if before or after:
            x = x.index_select(axis, _bordered(x, axis, before, after, mode))
    return x


def _bordered(x: torch.Tensor, axis: int, before: int, after: int, mode: str) -> torch.Tensor:
    """Return which places along an axis stand where once it has its border; a negative one is cut off."""
    places = np.arange(x.shape[axis])[max(-before, 0) : x.shape[axis] - max(-after, 0)]
    places = np.pad(places, (max(before, 0), max(after, 0)), mode=mode)  # pyright: ignore[reportArgumentType, reportCallIssue]  # one of three
    return torch.tensor(places, device=x.device)


@operation("DepthToSpace")
def _depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Blocks of channels as blocks of pixels."""
    n, channels, height, width = x.shape
    deep = channels // blocksize**2
    if mode == "DCR":
        parts = x.reshape(n, blocksize, blocksize, deep, height, width).permute(0, 3, 4, 1, 5, 2)
    elif mode == "CRD":
        parts = x.reshape(n, deep, blocksize, blocksize, height, width).permute(0, 1, 4, 2, 5, 3)
    else:
        raise RefusedError(f"mode {mode!r} is not covered")
    return parts.reshape(n, deep, height * blocksize, width * blocksize)


@operation("SpaceToDepth")
def _space_to_depth(x: Tensor, *, blocksize: int) -> Tensor:
    """Blocks of pixels as blocks of channels."""
    n, channels, height, width = x.shape
    parts = x.reshape(n, channels, height // blocksize, blocksize, width // blocksize, blocksize)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(n, channels * blocksize**2, height // blocksize, width // blocksize)
