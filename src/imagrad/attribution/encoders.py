"""What an encoder must be, checked once at the border, and run block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from imagrad.complexstep.derivatives import plain_value, refuse_train_mode
from imagrad.complexstep.functions import Function, Output
from imagrad.complexstep.points import check_point
from imagrad.complexstep.program import Program, in_type
from imagrad.errors import EncoderError, ImageError

Images = torch.Tensor | Iterable[torch.Tensor]
Held = tuple[torch.Tensor, ...]
"""Further inputs of an encoder, one row an image, that are not perturbed."""

_INDEPENDENCE = 1e-9  # of the largest code: in float64, far above rounding and far below any real dependence
_SMALLEST_SCALE = 1e-6  # codes below it are compared as if they were of this size: they may be rounding themselves


def check_eval_mode(encoder: Function) -> None:
    """Raise `EncoderError` when it cannot be called, or when a layer of it would mix images or draw at random."""
    if not callable(encoder) or isinstance(encoder, type):
        raise EncoderError(
            f"`encoder` must be a network or a function; got {encoder!r}. Make an instance of a class first."
        )
    refuse_train_mode(encoder)


def batches_of(images: Images, held: Held, size_for: Callable[[int], int]) -> Iterator[tuple[torch.Tensor, Held]]:
    """Yield checked batches, each with its part of what is held; `size_for` images of so many numbers at a time."""
    shape: tuple[int, ...] | None = None
    check_held(images, held)
    for batch in [images] if isinstance(images, torch.Tensor) else images:
        check_images(batch)
        shape = shape or tuple(batch.shape[1:])
        if tuple(batch.shape[1:]) != shape:
            raise ImageError(
                f"all batches must have images of one shape; got {shape} and {tuple(batch.shape[1:])}. "
                "Explain them in calls of their own."
            )
        parts = [tensor.detach().contiguous().split(size_for(batch[0].numel())) for tensor in (batch, *held)]
        for part, *others in zip(*parts, strict=True):
            yield part, tuple(others)
    if shape is None:
        raise ImageError("`images` must hold at least one batch; the iterable was empty.")


def check_held(images: Images, held: Held) -> None:
    """Raise `ImageError` unless each further input is a tensor with one row an image."""
    if held and not isinstance(images, torch.Tensor):
        raise ImageError(
            "with `held`, `images` must be one batch, a torch.Tensor: each image has a row in each of them."
        )
    for tensor in held:
        if not isinstance(tensor, torch.Tensor) or tensor.ndim == 0 or len(tensor) != len(images):  # pyright: ignore[reportUnnecessaryIsInstage, reportArgumentType, reportUnnecessaryIsInstance]
            got = tuple(tensor.shape) if hasattr(tensor, "shape") else type(tensor).__name__
            raise ImageError(
                f"each tensor of `held` must have one row an image, {len(images)} of them; got {got}. "  # pyright: ignore[reportArgumentType]
                "What is the same for all images can be closed over: saliency(lambda images: net(images, it), images)."
            )


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


def plain_codes(encoder: Function, images: torch.Tensor, held: Held, output: Output) -> torch.Tensor:
    """Run the encoder itself; raise `EncoderError` unless it maps (n, *input) to finite codes, (n, *code)."""
    codes = plain_value(encoder, (images, *held), output)
    if codes.ndim < 2 or len(codes) != len(images):
        raise EncoderError(
            f"an encoder must return codes (n, q), one row an image; for {len(images)} images this one returned "
            f"{tuple(codes.shape)}. An encoder always takes and returns a batch."
        )
    if codes[0].numel() == 0:
        raise EncoderError(f"codes must have at least one latent; this encoder returned {tuple(codes.shape)}.")
    if not torch.isfinite(codes).all():
        image = int((~torch.isfinite(codes)).flatten(1).any(dim=1).nonzero()[0])
        raise EncoderError(
            f"codes must be finite; that of image {image} of its batch has NaN or infinity. "
            "Look at the weights, and at the scale of the images."
        )
    return codes


def check_independence(program: Program, images: torch.Tensor, held: Held) -> None:
    """Raise `EncoderError` when the code of an image depends on others of its batch, as all are perturbed at once.

    In float64: the first and the last image are encoded in each other's company, with a darker copy, and once more
    without: alone, or, by a program of one batch size, in a batch of copies of themselves.
    """
    looked_at = sorted({0, len(images) - 1})
    several = _rows(program, (images, *held), [*looked_at, 0])
    several = (torch.cat([several[0][:-1], 0.5 * several[0][-1:]]), *several[1:])
    company = several if program.batch is None else _rows(program, (images, *held), slice(None))
    codes = program.run_real(*company).flatten(1)
    own = codes[:-1] if program.batch is None else codes  # the darker copy may be no image that the network takes
    scale = max(float(own.abs().max()), _SMALLEST_SCALE)
    places = range(len(looked_at)) if program.batch is None else looked_at  # of them among the codes
    for k, place in zip(looked_at, places, strict=True):
        again = program.run_real(*_rows(program, (images, *held), [k] * (program.batch or 1)))
        off = float((again.flatten(1)[0] - codes[place]).abs().max())
        if not off <= _INDEPENDENCE * scale:
            raise EncoderError(
                f"the code of an image must depend on that image alone; that of image {k} changes by {off:.3g} when "
                "the others of its batch change. Call .eval(); an RNN needs batch_first=True; or explain the network "
                "up to the layer that mixes the batch."
            )


def _rows(program: Program, tensors: tuple[torch.Tensor, ...], rows: list[int] | slice) -> tuple[torch.Tensor, ...]:
    """Pick rows, in the type that a program computes in."""
    return tuple(in_type(tensor[rows], program.dtype) for tensor in tensors)
