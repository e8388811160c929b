"""Images in blocks, checked and ready to be differentiated: what `saliency` and `jacobian` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

from imagrad.attribution.encoders import (
    Images,
    batches_of,
    check_eval_mode,
    check_independence,
    check_trace,
    plain_codes,
)
from imagrad.complexstep.derivatives import (
    DEFAULT_STEP,
    MEMORY_BUDGET,
    check_budget,
    check_device,
    check_step,
    column_blocks,
)
from imagrad.complexstep.program import Function, Program, export
from imagrad.errors import DerivativeError, InputError

Progress = Callable[[int], None]
"""Called with the number of images that have just been finished."""

_ENGINES = ("auto", "complex")
_KINKS = ("ad", "raise")
_BATCH = 64


@dataclass(frozen=True)
class Options:
    """How derivatives are taken; the keywords of `saliency` and `jacobian`, which explain them."""

    engine: str = "auto"
    kinks: str = "ad"
    latents: Sequence[int] | torch.Tensor | None = None
    features: torch.Tensor | None = None
    dtype: torch.dtype | None = None
    step: float = DEFAULT_STEP
    batch_size: int | str = "auto"
    memory_budget: int = MEMORY_BUDGET
    device: torch.device | str | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_choice("engine", self.engine, _ENGINES)
        check_choice("kinks", self.kinks, _KINKS)
        check_step(self.step)
        if self.device is not None:
            check_device(self.device)
        whole = isinstance(self.batch_size, int) and self.batch_size >= 1
        if not whole and self.batch_size != "auto":
            raise InputError(f'`batch_size` must be a positive whole number or "auto"; got {self.batch_size!r}.')
        check_budget(self.memory_budget)
        if self.dtype is not None and not self.dtype.is_floating_point:
            raise InputError(f"`dtype` must be a floating-point type; got {self.dtype}.")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Raise `InputError`, listing the known ones, unless the option's value is one of them."""
    if value not in known:
        raise InputError(f"`{name}` must be one of: {', '.join(known)}; got {value!r}.")


@dataclass(frozen=True)
class Block:
    """Some images with the program that encodes them, ready to be differentiated."""

    images: torch.Tensor
    codes: torch.Tensor
    points: torch.Tensor
    """The images in float64, where the program is."""
    ties: Counter[str]
    program: Program
    options: Options

    @property
    def dtype(self) -> torch.dtype:
        """The type of the results."""
        return self.options.dtype or self.images.dtype

    @property
    def selected_latents(self) -> int:
        """How many latents are left after `latents`."""
        return len(_weighted(torch.ones(1, self.codes.shape[1]), self.options.latents)[0])

    def columns(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (features, derivatives (k, n, selected latents)) until all features asked for are done."""
        options = self.options
        features = _selected_features(options.features, self.images.shape[1:]).to(self.points.device)
        for block, columns in column_blocks(self.program, self.points, features, options.step, options.memory_budget):
            yield block.to(self.images.device), _weighted(columns.flatten(2), options.latents).to(self.images.device)
        if options.progress is not None:
            options.progress(len(self.images))


def blocks_of(encoder: Function, images: Images, options: Options) -> Iterator[Block]:
    """Yield the images in blocks, each checked: codes by the program must be the encoder's own."""
    check_eval_mode(encoder)
    size = _BATCH if options.batch_size == "auto" else int(options.batch_size)
    program: Program | None = None
    for batch in batches_of(images, size):
        own = plain_codes(encoder, batch)
        if program is None or program.batch not in (None, len(batch)):
            program = export(encoder, batch, batched=True).to(torch.device(options.device or batch.device))
        points = batch.to(options.device or batch.device, torch.float64)
        codes, ties = program.run_real(points)
        check_trace(codes.flatten(1), own)
        check_independence(program, points, codes.flatten(1))
        _check_ties(ties, options.kinks)
        yield Block(batch, own, points, ties, program, options)


def _check_ties(ties: Counter[str], kinks: str) -> None:
    if ties and kinks == "raise":
        met = ", ".join(f"{operation} {count} times" for operation, count in ties.items())
        raise DerivativeError(
            f"these images stand exactly at a kink, where there is no derivative: {met}. "
            'Use kinks="ad" for the derivative that autograd takes there.'
        )


def _selected_features(mask: torch.Tensor | None, shape: torch.Size) -> torch.Tensor:
    """Return the indices, in the flattened input, of the features asked for."""
    if mask is None:
        return torch.arange(prod(shape))
    is_mask = isinstance(mask, torch.Tensor) and mask.dtype == torch.bool  # pyright: ignore[reportUnnecessaryIsInstance]  # what a user passes
    if not is_mask or mask.shape != shape:
        got = f"{mask.dtype}, {tuple(mask.shape)}" if hasattr(mask, "shape") else type(mask).__name__
        raise InputError(f"`features` must be a boolean mask of shape {tuple(shape)}; got {got}.")
    if not mask.any():
        raise InputError("`features` must select at least one feature; it selects none.")
    return mask.flatten().nonzero()[:, 0]


def _weighted(columns: torch.Tensor, latents: Sequence[int] | torch.Tensor | None) -> torch.Tensor:
    """Pick or scale the latents, the last axis of `columns`."""
    if latents is None:
        return columns
    count = columns.shape[-1]
    numbers = latents.detach() if isinstance(latents, torch.Tensor) else np.asarray(latents)
    if isinstance(numbers, np.ndarray) and numbers.dtype.kind not in "iuf":
        raise InputError(f"`latents` must be a list of indices or of {count} weights; got {latents!r}.")
    chosen = torch.as_tensor(numbers, device=columns.device)
    if chosen.is_floating_point() and chosen.numel():
        if chosen.shape != (count,) or not torch.isfinite(chosen).all():
            raise InputError(f"`latents` as weights must be {count} finite numbers; got shape {tuple(chosen.shape)}.")
        return columns * chosen.to(columns.dtype)
    if chosen.ndim != 1 or len(chosen) == 0 or chosen.dtype == torch.bool:
        raise InputError(f"`latents` must be a list of indices or of {count} weights; got {latents!r}.")
    if int(chosen.min()) < 0 or int(chosen.max()) >= count or len(chosen.unique()) != len(chosen):
        raise InputError(f"`latents` must be different indices from 0 to {count - 1}; got {chosen.tolist()}.")
    return columns[..., chosen]
