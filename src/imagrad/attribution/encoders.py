"""What an encoder must be, checked once at the border, and run block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from imagrad.complexstep.derivatives import check_point
from imagrad.complexstep.program import Function, Program
from imagrad.errors import EncoderError, ImageError, ImagradError

Images = torch.Tensor | Iterable[torch.Tensor]

_INDEPENDENCE = 1e-9  # of the largest code: in float64, far above rounding and far below any real dependence
_SMALLEST_SCALE = 1e-6  # codes below it are compared as if they were of this size: they may be rounding themselves
_ROUNDING = 1e4  # times the precision of the network's type: see `check_trace`
_SMALLEST_CODE = 1e-2  # the same for codes in the network's own type


def check_eval_mode(encoder: Function) -> None:
    """Raise `EncoderError` when it cannot be called, or when a layer of it would mix images or draw at random."""
    if not callable(encoder) or isinstance(encoder, type):
        raise EncoderError(
            f"`encoder` must be a network or a function; got {encoder!r}. Make an instance of a class first."
        )
    mixing = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)  # pyright: ignore[reportPrivateUsage]  # torch names no public base
    owner = getattr(encoder, "__self__", encoder)
    modules: Iterable[tuple[str, nn.Module]] = owner.named_modules() if isinstance(owner, nn.Module) else ()
    for name, module in modules:
        if module.training and isinstance(module, mixing):
            raise EncoderError(
                f"the network must be in eval mode; {name or 'it'} ({type(module).__name__}) is in train mode, where "
                "it mixes the images of a batch or draws at random. Call .eval() first."
            )


def batches_of(images: Images, size: int) -> Iterator[torch.Tensor]:
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
        yield from batch.detach().contiguous().split(size)
    if shape is None:
        raise ImageError("`images` must hold at least one batch; the iterable was empty.")


def check_images(images: Any) -> None:
    """Raise `ImageError` or `InputError` unless `images` is a finite floating-point batch of at least one image."""
    if not isinstance(images, torch.Tensor):
        raise ImageError(
            f"`images` must be a torch.Tensor or an iterable of them; got {type(images).__name__}. "
            "torch.from_numpy makes one of an array."
        )
    if images.ndim < 2 or len(images) == 0:
        raise ImageError(
            f"`images` must be a batch, (n, *input) with n >= 1; got shape {tuple(images.shape)}. "
            "Add a batch axis to a single image: images[None]."
        )
    check_point(images)


def plain_codes(encoder: Function, images: torch.Tensor) -> torch.Tensor:
    """Run the encoder itself; raise `EncoderError` unless it maps (n, *input) to finite codes, (n, q)."""
    with torch.no_grad():
        try:
            codes = encoder(images.clone())  # a copy: some encoders work in place
        except ImagradError:
            raise
        except Exception as error:
            raise EncoderError(
                f"the encoder must take `images` of shape {tuple(images.shape)}, {images.dtype}, on {images.device}; "
                f"it raised {type(error).__name__}: {error} "
                "(Does a batch axis lack, images[None]? Is the network of another type, encoder.float()?)"
            ) from error
    if not isinstance(codes, torch.Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  # what a user's network returns
        raise EncoderError(
            f"an encoder must return one tensor of codes, (n, q); this one returned a {type(codes).__name__}. "
            "Pick one, by number or by name: saliency(lambda images: encoder(images)[0], images)."
        )
    if codes.ndim < 2 or len(codes) != len(images):
        raise EncoderError(
            f"an encoder must return codes (n, q), one row an image; for {len(images)} images this one returned "
            f"{tuple(codes.shape)}. An encoder always takes and returns a batch."
        )
    codes = codes.flatten(1)
    if not codes.is_floating_point() or codes.shape[1] == 0:
        raise EncoderError(
            f"codes must be real floating-point numbers, at least one an image; this encoder returned {codes.dtype}, "
            f"{tuple(codes.shape)}. Explain the layer before they become whole numbers."
        )
    if not torch.isfinite(codes).all():
        image = int((~torch.isfinite(codes)).any(dim=1).nonzero()[0])
        raise EncoderError(
            f"codes must be finite; that of image {image} of its batch has NaN or infinity. "
            "Look at the weights, and at the scale of the images."
        )
    return codes


def check_independence(program: Program, images: torch.Tensor, codes: torch.Tensor) -> None:
    """Raise `EncoderError` when the code of an image depends on others of its batch, as all are perturbed at once.

    `codes` are the program's for `images`, in float64. The first and the last image are encoded again without the
    others: alone, or, by a program of one batch size, in a batch of copies of themselves.
    """
    scale = max(float(codes.abs().max()), _SMALLEST_SCALE)
    for k in (0, len(images) - 1):
        copies = 1 if program.batch is None else len(images)
        again, _ = program.run_real(images[k : k + 1].repeat(copies, *[1] * (images.ndim - 1)))
        off = float((again.flatten(1)[0] - codes[k]).abs().max())
        if not off <= _INDEPENDENCE * scale:
            raise EncoderError(
                f"the code of an image must depend on that image alone; that of image {k} changes by {off:.3g} when "
                "the others of its batch change. Call .eval(); an RNN needs batch_first=True; or explain the network "
                "up to the layer that mixes the batch."
            )


def check_trace(codes: torch.Tensor, own: torch.Tensor) -> None:
    """Raise `EncoderError` unless the program's `codes` (float64) are the network's `own`, to the rounding of its type.

    The margin is wide, 1e4 units of rounding of the network's type: deep networks add up rounding; a graph that misses
    something of the network is off by far more.
    """
    off = float((codes - own.to(codes)).abs().max())
    if not off <= _ROUNDING * torch.finfo(own.dtype).eps * max(_SMALLEST_CODE, float(own.abs().max())):
        raise EncoderError(
            f"the traced network must give the codes that the network gives; they differ by {off:.3g}. "
            "Does it keep state between calls, or run under autocast? Such a network cannot be explained."
        )
