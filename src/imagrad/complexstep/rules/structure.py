"""Rules of operations that move, copy, pick or resample numbers: all linear."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from imagrad.complexstep.number import Lifted, imaginary_part, lifted_among, real_part
from imagrad.complexstep.rules.table import constant, floating, jointly_linear, linear, refuse_lifted, rule

aten = torch.ops.aten

# --- the same numbers in another shape or order ---
linear(aten.reshape.default, aten.flatten.using_ints, aten.permute.default, aten.t.default, aten.trace.default)
linear(aten.transpose.int, aten.unsqueeze.default, aten.expand.default, aten.squeeze.default, aten.squeeze.dim)
linear(aten.squeeze.dims, aten.select.int, aten.slice.Tensor, aten.diagonal.default, aten.unfold.default)
linear(aten.split.Tensor, aten.split_with_sizes.default, aten.unbind.int, aten.diag_embed.default)
linear(aten.clone.default)
linear(aten.flip.default, aten.roll.default, aten.repeat.default, aten.rot90.default)
linear(aten.tril.default, aten.triu.default, aten.pixel_shuffle.default, aten.pixel_unshuffle.default)
linear(aten.channel_shuffle.default, aten.im2col.default, aten.col2im.default)
linear(aten.slice_copy.Tensor, aten.unfold_copy.default)


@rule(aten.view.default, aten._unsafe_view.default, aten._reshape_alias.default)
def view(value: Lifted, shape: Any, *_: Any) -> Lifted:
    """Reshape each part: its layout in the memory need not be that of the traced tensor."""
    return value.of(value.re.reshape(shape), value.im.reshape(shape))


# --- picked by indices ---
linear(aten.gather.default, aten.index.Tensor, aten.index_select.default, aten._unsafe_index.Tensor)


@rule(aten.embedding.default)
def embedding(weight: Lifted, places: Any, *_: Any) -> Lifted:
    """Pick rows; also those that training leaves alone, as `padding_idx`: the value depends on them."""
    refuse_lifted(aten.embedding.default, places)
    return weight.of(weight.re[places], weight.im[places])


@rule(aten.take.default)
def take(value: Lifted, places: torch.Tensor) -> Lifted:
    """Pick from all numbers in a row."""
    return value.of(value.re.reshape(-1)[places], value.im.reshape(-1)[places])


@rule(aten.masked_select.default)
def masked_select(value: Lifted, mask: torch.Tensor) -> Lifted:
    """Pick where the mask is true."""
    shape = torch.broadcast_shapes(value.re.shape, mask.shape)
    places = mask.expand(shape).reshape(-1).nonzero().squeeze(1)
    return take(value.of(value.re.expand(shape), value.im.expand(shape)), places)


def _max_unpool(operation: Any, axes: int) -> None:
    def apply(value: Lifted, places: torch.Tensor, shape: list[int], *_: Any) -> Lifted:
        places = places.flatten(-axes)
        order = torch.arange(places.shape[-1], device=places.device).expand_as(places)
        last = order.new_full((*places.shape[:-1], prod(shape)), -1).scatter(-1, places, order)

        def unpooled(part: torch.Tensor) -> torch.Tensor:
            picked = part.flatten(-axes).gather(-1, last.clamp(min=0)).masked_fill(last < 0, 0)
            return picked.unflatten(-1, list(shape))

        return value.of(unpooled(value.re), unpooled(value.im))

    apply.__doc__ = "Put each number in its place; of several in one place, the last."
    rule(operation)(apply)


_max_unpool(aten.max_unpool2d.default, 2)
_max_unpool(aten.max_unpool3d.default, 3)


# --- put together, or into each other ---
jointly_linear(aten.cat.default, aten.stack.default, aten.block_diag.default, numbers=(0,))
jointly_linear(aten.select_scatter.default, aten.diagonal_scatter.default)
jointly_linear(aten.constant_pad_nd.default, numbers=(0, 2))
jointly_linear(aten.masked_fill.Scalar, aten.masked_fill.Tensor, aten.index_put.default, numbers=(0, 2))
jointly_linear(aten._unsafe_index_put.default, aten.masked_scatter.default, numbers=(0, 2))
jointly_linear(aten.scatter.src, aten.scatter.value, aten.scatter_add.default, aten.index_add.default, numbers=(0, 3))
jointly_linear(aten.index_copy.default, numbers=(0, 3))
jointly_linear(aten.where.self, aten.where.ScalarSelf, aten.where.ScalarOther, numbers=(1, 2))

# --- resampled and padded ---
linear(aten.avg_pool1d.default, aten.avg_pool2d.default, aten.avg_pool3d.default, aten.adaptive_avg_pool1d.default)
linear(aten.adaptive_avg_pool2d.default, aten.adaptive_avg_pool3d.default)
linear(aten._adaptive_avg_pool2d.default, aten._adaptive_avg_pool3d.default)
linear(aten.upsample_nearest1d.vec, aten.upsample_nearest2d.vec, aten.upsample_nearest3d.vec)
linear(aten.upsample_nearest1d.default, aten.upsample_nearest2d.default, aten.upsample_nearest3d.default)
linear(aten._upsample_nearest_exact1d.vec, aten._upsample_nearest_exact2d.vec, aten._upsample_nearest_exact3d.vec)
linear(aten.upsample_linear1d.vec, aten.upsample_bilinear2d.vec, aten.upsample_trilinear3d.vec)
linear(aten.upsample_linear1d.default, aten.upsample_bilinear2d.default, aten.upsample_trilinear3d.default)
linear(aten.upsample_bicubic2d.vec, aten.upsample_bicubic2d.default, aten._upsample_bilinear2d_aa.vec)
linear(aten._upsample_bilinear2d_aa.default, aten._upsample_bicubic2d_aa.vec, aten._upsample_bicubic2d_aa.default)
linear(aten.reflection_pad1d.default, aten.reflection_pad2d.default, aten.reflection_pad3d.default)
linear(aten.replication_pad1d.default, aten.replication_pad2d.default, aten.replication_pad3d.default)

# --- made of the shape alone ---
constant(aten.zeros_like.default, aten.ones_like.default, aten.full_like.default, aten.empty_like.default)
constant(aten.new_zeros.default, aten.new_ones.default, aten.new_full.default, aten.new_empty.default)
constant(aten.new_empty_strided.default)


@rule(aten.sym_size.int)
def size(value: Lifted, axis: int) -> Any:
    """Read a size: the same for both parts."""
    return value.re.shape[axis]


@rule(aten.index_fill.int_Scalar, aten.index_fill.int_Tensor)
def index_fill(value: Any, axis: int, places: torch.Tensor, fill: Any) -> Lifted:
    """Fill some rows: with a lifted number, or with one of imaginary part 0."""
    some = lifted_among((value, fill))[0]
    number = torch.as_tensor(real_part(fill), dtype=some.re.dtype, device=some.re.device)
    re = aten.index_fill.int_Tensor(real_part(value), axis, places, number)
    is_filled = torch.zeros_like(re, dtype=torch.bool).index_fill(axis, places, True)
    return some.of(re, torch.where(is_filled, imaginary_part(fill), imaginary_part(value)))


@rule(aten.fill.Scalar, aten.fill.Tensor)
def fill(value: Any, number: Any) -> Lifted:
    """Fill all: with a lifted number, or with one of imaginary part 0."""
    some = lifted_among((value, number))[0]
    re = torch.ones_like(real_part(value)) * real_part(number)
    return some.of(re, number.im.expand(re.shape) if isinstance(number, Lifted) else torch.zeros_like(re))


@rule(aten.slice_scatter.default)
def slice_scatter(value: Any, source: Any, axis: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Lifted:
    """Put a slice in: the bounds are brought into range, as the largest integer that stands for "to the end" is not."""
    first, last, _ = slice(start, end).indices(int(real_part(value).shape[axis]))
    some = lifted_among((value, source))[0]
    re = aten.slice_scatter.default(real_part(value), real_part(source), axis, first, last, step)
    return some.of(
        re, aten.slice_scatter.default(imaginary_part(value), imaginary_part(source), axis, first, last, step)
    )


@rule(aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default, torch.ops.prims.view_of.default)
def same(value: Lifted) -> Lifted:
    """Return it as it is: what is differentiated is the forward computation, whatever is hidden from autograd."""
    return value


# --- types: all is computed in one floating-point type ---
@rule(aten._to_copy.default, aten.to.dtype)
def convert(value: Lifted, *arguments: Any, **options: Any) -> Lifted:
    """Convert between floating-point types: nothing to do, all is computed in one type."""
    for dtype in (*arguments, *options.values()):
        if isinstance(dtype, torch.dtype):
            floating({"dtype": dtype}, value.re.dtype)
    return value


@rule(aten.copy.default)
def copy(value: Any, source: Any, *_: Any) -> Lifted:
    """Copy into a tensor of floating-point numbers."""
    some = lifted_among((value, source))[0]
    floating({"dtype": real_part(value).dtype}, some.re.dtype)
    shape = real_part(value).shape
    im = source.im if isinstance(source, Lifted) else torch.zeros_like(some.re)
    return some.of(real_part(source).to(some.re.dtype).expand(shape), im.expand(shape))
