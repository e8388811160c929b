"""What an encoder must be, checked once at the border, and run block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from imagrad.complexstep.derivatives import check_point
from imagrad.complexstep.program import Function
from imagrad.errors import EncoderError, ImageError, ImagradError

Images = torch.Tensor | Iterable[torch.Tensor]

_ROUNDING = 1e4  # times the precision of the encoder's type: see `check_codes`
_SMALLEST_SCALE = 1e-2  # codes below it are compared as if they were of this size


def check_eval_mode(encoder: Function) -> None:
    """Raise `EncoderError` when a layer of the network would mix images or draw at random."""
    mixing = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)  # pyright: ignore[reportPrivateUsage]  # torch names no public base
    owner = getattr(encoder, "__self__", encoder)
    modules: Iterable[tuple[str, nn.Module]] = owner.named_modules() if isinstance(owner, nn.Module) else ()
    for name, module in modules:
        if module.training and isinstance(module, mixing):
            raise EncoderError(
                f"the network must be in eval mode; {name or 'it'} ({type(module).__name__}) is in train mode, where "
                "it mixes the images of a batch or draws at random. Call .eval() first."
            )


def batches_of(images: Images, size: int | None) -> Iterator[torch.Tensor]:
    """Yield checked batches of at most `size` images from one batch, or from an iterable of them."""
    shape: tuple[int, ...] | None = None
    for batch in [images] if isinstance(images, torch.Tensor) else images:
        check_images(batch)
        shape = shape or tuple(batch.shape[1:])
        if tuple(batch.shape[1:]) != shape:
            raise ImageError(
                f"all batches must have images of one shape; got {shape} and {tuple(batch.shape[1:])}. "
                "Explain them in calls of their own."
            )
        yield from batch.detach().split(size or len(batch))
    if shape is None:
        raise ImageError("`images` must hold at least one batch; the iterable was empty.")


def check_images(images: Any) -> None:
    """Raise `ImageError` or `InputError` unless `images` is a finite floating-point batch of at least one image."""
    if not isinstance(images, torch.Tensor):
        raise ImageError(f"`images` must be a torch.Tensor or an iterable of them; got {type(images).__name__}.")
    if images.ndim < 2 or len(images) == 0:
        raise ImageError(
            f"`images` must be a batch, (n, *input) with n >= 1; got shape {tuple(images.shape)}. "
            "Add a batch axis to a single image: images[None]."
        )
    check_point(images)


def plain_codes(encoder: Function, images: torch.Tensor) -> torch.Tensor:
    """Run the encoder itself; raise `EncoderError` unless it maps (n, *input) to (n, q), image by image."""
    with torch.no_grad():
        try:
            codes = encoder(images)
            alone = encoder(images[:1])
        except ImagradError:
            raise
        except Exception as error:
            raise EncoderError(
                f"the encoder must take `images` of shape {tuple(images.shape)}, {images.dtype}, on {images.device}; "
                f"it raised {type(error).__name__}: {error}"
            ) from error
    if not isinstance(codes, torch.Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  # what a user's network returns
        raise EncoderError(
            f"an encoder must return one tensor of codes, (n, q); this one returned a {type(codes).__name__}. "
            "Pick one: saliency(lambda images: encoder(images)[0], images)."
        )
    if codes.ndim < 2 or len(codes) != len(images):
        raise EncoderError(
            f"an encoder must return codes (n, q), one row an image; for {len(images)} images this one returned "
            f"{tuple(codes.shape)}. An encoder always takes and returns a batch."
        )
    check_codes(codes[:1], alone, "the code of one image must not depend on the others of its batch")
    return codes.flatten(1)


def check_codes(codes: torch.Tensor, others: torch.Tensor, demand: str) -> None:
    """Raise `EncoderError`, saying the `demand`, unless two computations of the same codes agree to rounding.

    The margin is wide (1e4 units of rounding of the lower type, of the largest code): networks add up rounding, but
    one that mixes images or draws at random is off by far more.
    """
    precision = max(torch.finfo(codes.dtype).eps, torch.finfo(others.dtype).eps)
    off = float((codes.double() - others.double()).abs().max())
    if not off <= _ROUNDING * precision * max(_SMALLEST_SCALE, float(codes.abs().max())):
        raise EncoderError(
            f"{demand}; here two computations of it differ by {off:.3g}. "
            "Call .eval(), or explain the network up to the layer that mixes the batch or draws at random."
        )
