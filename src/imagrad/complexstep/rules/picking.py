"""Picking pixels of images by their places, as max pooling does, and the transpose of it: both are linear.

Torch would transpose a gather by scattering into zeros, at several times the cost of its way back through a pooling.
"""

# torch passes more arguments than its base class names
# pyright: reportIncompatibleMethodOverride=false
from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten

_FEW = 2**14  # numbers of which a copy costs less than a call

Windows = tuple[Any, ...]
"""Kernel, stride, padding, dilation, and whether sizes are rounded up: the settings of a max pooling."""


def picked(values: torch.Tensor, places: torch.Tensor, windows: Windows) -> torch.Tensor:
    """Return values (..., c, h, w) at places (..., c, rows, columns), indices into each flattened channel."""
    if not torch.is_grad_enabled():  # nothing will be transposed
        return gathered(values, places, 2)
    found: Any = _Pick.apply(values, places, windows)
    return found


def gathered(values: torch.Tensor, places: torch.Tensor, axes: int) -> torch.Tensor:
    """Pick from the last so many axes, flattened."""
    return values.flatten(-axes).gather(-1, places.flatten(-axes)).view(places.shape)


def _order_of(places: torch.Tensor) -> torch.memory_format:
    """Return whether the channels lie last in memory: what goes another way is copied at each step."""
    last = places.ndim == 4 and places.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _stacked(count: int, axes: tuple[int | None, ...], *tensors: torch.Tensor) -> list[torch.Tensor]:
    """Bring the axis that `vmap` maps over, where there is one, to the front of each tensor."""
    pairs = zip(tensors, axes, strict=True)
    return [x.expand(count, *x.shape) if axis is None else x.movedim(axis, 0) for x, axis in pairs]


class _Pick(torch.autograd.Function):
    """The picking; its backward is the putting back."""

    @staticmethod
    def forward(values: torch.Tensor, places: torch.Tensor, windows: Windows) -> torch.Tensor:
        return gathered(values, places, 2).contiguous(memory_format=_order_of(places))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: torch.Tensor) -> None:
        values, ctx.places, ctx.windows = inputs
        ctx.shape = values.shape

    @staticmethod
    def backward(ctx: Any, cotangents: torch.Tensor) -> Any:
        return _PutBack.apply(cotangents, ctx.places, ctx.shape, ctx.windows), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, values: torch.Tensor, places: torch.Tensor, windows: Windows) -> Any:
        values, places = _stacked(info.batch_size, in_dims[:2], values, places)
        return gathered(values, places, 2), 0


class _PutBack(torch.autograd.Function):
    """Its transpose; what is put to one place is added up."""

    @staticmethod
    def forward(cotangents: torch.Tensor, places: torch.Tensor, shape: torch.Size, windows: Windows) -> torch.Tensor:
        order = _order_of(places)
        room = torch.empty(shape, dtype=cotangents.dtype, device=cotangents.device, memory_format=order)
        cotangents = cotangents.contiguous(memory_format=order)
        return aten.max_pool2d_with_indices_backward.default(cotangents, room, *windows, places)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: torch.Tensor) -> None:
        _, ctx.places, _, ctx.windows = inputs

    @staticmethod
    def backward(ctx: Any, values: torch.Tensor) -> Any:
        return _Pick.apply(values, ctx.places, ctx.windows), None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, cotangents: torch.Tensor, places: torch.Tensor, shape: torch.Size, windows: Windows
    ) -> Any:
        cotangents, places = _stacked(info.batch_size, in_dims[:2], cotangents, places)
        if cotangents[0].numel() > _FEW:
            each = (_PutBack.apply(*some, shape, windows) for some in zip(cotangents, places, strict=True))
            return torch.stack(list(each)), 0
        images = cotangents.reshape(-1, *cotangents.shape[-3:])  # as if they were more images
        size = torch.Size((len(images), *shape[-3:]))
        found = _PutBack.apply(images, places.reshape(images.shape), size, windows)
        return found.view(info.batch_size, *shape), 0
