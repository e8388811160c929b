"""Convolutions in one to three dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional

from imagrad.models.onnx.operations.windows import Ints, evenly_padded, in_torch_order, windows_on
from imagrad.models.onnx.table import RefusedError, operation
from imagrad.models.onnx.values import Tensor

_CONVOLUTIONS: dict[int, Callable[..., torch.Tensor]] = {3: torch.conv1d, 4: torch.conv2d, 5: torch.conv3d}
_TRANSPOSED: dict[int, Callable[..., torch.Tensor]] = {
    3: torch.conv_transpose1d, 4: torch.conv_transpose2d, 5: torch.conv_transpose3d
}  # fmt: skip


@operation("Conv")
def _conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Ints = None,
    group: int = 1, kernel_shape: Ints = None, pads: Ints = None, strides: Ints = None,
) -> Tensor:  # fmt: skip
    """Convolution over one to three spatial axes, in groups of channels."""
    windows = windows_on(x.shape[2:], weight.shape[2:], strides, dilations, pads, auto_pad)
    x, padding = evenly_padded(x, windows)
    return _of_rank(_CONVOLUTIONS, x)(x, weight, bias, windows.strides, padding, windows.dilations, group)


@operation("ConvTranspose")
def _conv_transpose(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Ints = None,
    group: int = 1, kernel_shape: Ints = None, output_padding: Ints = None, output_shape: Ints = None,
    pads: Ints = None, strides: Ints = None,
) -> Tensor:  # fmt: skip
    """Transposed convolution over one to three spatial axes, in groups of channels."""
    rank = x.ndim - 2
    strides, dilations, extra = strides or [1] * rank, dilations or [1] * rank, output_padding or [0] * rank
    full = [
        (length - 1) * stride + (size - 1) * dilation + 1
        for length, stride, size, dilation in zip(x.shape[2:], strides, weight.shape[2:], dilations, strict=True)
    ]
    wanted = output_shape[-rank:] if output_shape else None
    if wanted is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [length * stride for length, stride in zip(x.shape[2:], strides, strict=True)]
    before, after = _cut(full, extra, wanted, pads or [0] * (2 * rank), auto_pad)
    run = _of_rank(_TRANSPOSED, x)
    if before == after and all(k < max(s, d) for k, s, d in zip(extra, strides, dilations, strict=True)):
        return run(x, weight, bias, strides, before, extra, group, dilations)
    whole = run(x, weight, None, strides, 0, 0, group, dilations)
    ends = [more - end for more, end in zip(extra, after, strict=True)]
    found = functional.pad(whole, in_torch_order([-start for start in before], ends))
    return found if bias is None else found + bias.reshape(-1, *[1] * rank)


def _cut(
    full: Sequence[int], extra: Sequence[int], wanted: Sequence[int] | None, pads: Sequence[int], auto_pad: str
) -> tuple[list[int], list[int]]:
    """Return what is cut off at the low and at the high end of each axis."""
    rank = len(full)
    if auto_pad not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise RefusedError(f"auto_pad {auto_pad!r} is not covered")
    if wanted is None:
        return (list(pads[:rank]), list(pads[rank:])) if auto_pad == "NOTSET" else ([0] * rank, [0] * rank)
    total = [length + more - size for length, more, size in zip(full, extra, wanted, strict=True)]
    half, rest = [cut // 2 for cut in total], [cut - cut // 2 for cut in total]
    return (half, rest) if auto_pad == "SAME_UPPER" else (rest, half)


def _of_rank(functions: dict[int, Any], x: torch.Tensor) -> Any:
    if x.ndim not in functions:
        raise RefusedError(f"it has {x.ndim - 2} spatial axes, and only one to three are covered")
    return functions[x.ndim]
