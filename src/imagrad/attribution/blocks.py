"""Images in blocks, checked and ready to be differentiated: what `saliency` and `jacobian` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from imagrad.attribution.encoders import (
    Held,
    Images,
    batches_of,
    check_eval_mode,
    check_independence,
    plain_codes,
)
from imagrad.complexstep.cache import check_trace, distance, program_of
from imagrad.complexstep.derivatives import refuse_ties
from imagrad.complexstep.engines import Task
from imagrad.complexstep.functions import Function, Output
from imagrad.complexstep.image_by_image import is_image_by_image
from imagrad.complexstep.norms import is_small
from imagrad.complexstep.points import Settings, check_device
from imagrad.complexstep.products.first_product import FirstProduct, rest_of, taken_apart
from imagrad.complexstep.program import Program, bind
from imagrad.complexstep.selection import Latents, Selection, select, select_features
from imagrad.complexstep.tracing import equal_parts
from imagrad.errors import EncoderError, ImageError, InputError

Progress = Callable[[int], None]
"""Called with the number of images that have just been finished."""

_TRACED = 4  # images
_EXACT_BUDGET = 2**22  # bytes, of what is computed anew: little of it is
_MOST_IMAGES = 1024  # in a block, if it is for us to say
_MOST_NUMBERS = 2**20  # of the images of a block, and of the largest tensor that is computed after a first product
_TOGETHER = 2**18  # of that tensor, for the images that are encoded together: it stays in the processor's cache


@dataclass(frozen=True)
class Options:
    """How a data set is explained: by the keywords of `saliency` and `jacobian`, which explain them."""

    settings: Settings = field(default_factory=Settings)
    latents: Latents = None
    features: torch.Tensor | None = None
    batch_size: int | str = "auto"
    device: torch.device | str | None = None
    progress: Progress | None = None
    output: Output = None
    held: Held = ()
    are_maps: bool = False
    """Whether no more than maps are made: of twice as many images at a time, if it is for us to say."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.device is not None:
            check_device(self.device)
        whole = isinstance(self.batch_size, int) and self.batch_size >= 1
        if not whole and self.batch_size != "auto":
            raise InputError(f'`batch_size` must be a positive whole number or "auto"; got {self.batch_size!r}.')

    def images_at_once(self, features: int) -> int:
        """Return the most images of so many features in a block."""
        if self.batch_size == "auto":
            return max(1, min(self._more * _MOST_IMAGES, self._more * _MOST_NUMBERS // features))
        return int(self.batch_size)

    def size_of_blocks(self, images: int, largest: int) -> int:
        """Return how many of some images to take at a time, of each of which the largest tensor has so many numbers.

        As many each time, if it is for us to say.
        """
        if self.batch_size == "auto":
            return equal_parts(images, max(1, min(self._more * _MOST_IMAGES, _MOST_NUMBERS // largest)))
        return int(self.batch_size)

    @property
    def _more(self) -> int:
        return 2 if self.are_maps else 1


@dataclass(frozen=True)
class Block:
    """Some images with the program that encodes them, ready to be differentiated."""

    images: torch.Tensor
    held: Held
    codes: torch.Tensor
    """The encoder's own, (n, q)."""
    task: Task
    opening: FirstProduct | None
    """The task taken apart at the product that the network begins with, if it does, and if the block is large."""
    traced: TracedEncoder
    ties: Counter[str]
    selection: Selection
    features: torch.Tensor

    @property
    def dtype(self) -> torch.dtype:
        """The type of the results."""
        return self.task.settings.type_for(self.images.dtype)

    @property
    def exact(self) -> Program:
        """The same program in float64."""
        return self.traced.exact

    @property
    def engine(self) -> str:
        """What computes the derivatives."""
        return self.task.engine(len(self.features), len(self.selection.indices))

    def exact_task(self, images: torch.Tensor, held: Held) -> Task:
        """Return the task of differentiating at some images in complex128."""
        point = images.to(self.task.point.device, torch.float64)
        budget = min(_EXACT_BUDGET, self.task.settings.budget(point.device))
        settings = replace(self.task.settings, engine="complex", memory_budget=budget)
        return Task(self.exact, point, _moved(held, point), settings, batched=True)

    @property
    def exact_at_once(self) -> int:
        """How many images of their own pixel each fit into the memory of what is computed anew; at least one."""
        return self.exact_task(self.images[:1], tuple(x[:1] for x in self.held)).at_once


def blocks_of(encoder: Function, images: Images, options: Options) -> Iterator[Block]:
    """Yield the images in blocks, each checked: codes by the program must be the encoder's own."""
    check_eval_mode(encoder)
    traced: TracedEncoder | None = None
    for part, others in batches_of(images, options.held, options.images_at_once):
        known: _Encoded | None = None
        if traced is None or traced.program.batch not in (None, len(part)):
            traced = _trace(encoder, part, others, options)
            known = traced.first
        largest = max(rest_of(traced.program.graph).sizes)
        at_once = options.size_of_blocks(len(part), largest) if traced.program.batch is None else len(part)
        for batch, *held in zip(*(tensor.split(at_once) for tensor in (part, *others)), strict=True):
            encoded = known if known is not None and len(known.own) == len(batch) == len(part) else None
            encoded = encoded or _Encoded(_own_codes(encoder, traced.program, batch, held, options))
            yield _block(batch, tuple(held), encoded, traced, options)
            if options.progress is not None:
                options.progress(len(batch))


@dataclass(frozen=True)
class _Encoded:
    """What is known of some images."""

    own: torch.Tensor
    """Their codes by the encoder itself."""
    by_program: tuple[torch.Tensor, Counter[str]] | None = None
    """Their codes by the program as a whole, and the kinks hit exactly, if it has already been run."""


@dataclass(frozen=True)
class TracedEncoder:
    """What tracing an encoder has given."""

    encoder: Function
    program: Program
    """In the type that is computed in."""
    first: _Encoded
    """The images that it was traced with."""

    @cached_property
    def exact(self) -> Program:
        """The same program in float64."""
        program = self.program
        if program.dtype == torch.float64:
            return program
        return bind(program.graph, self.encoder, torch.float64, program.device, is_for_checks=True)


def _block(batch: torch.Tensor, held: Held, encoded: _Encoded, traced: TracedEncoder, options: Options) -> Block:
    """Check some images and make them ready."""
    program, own = traced.program, encoded.own
    points = batch.to(program.device, program.dtype)
    task = Task(program, points, _moved(held, points), options.settings, batched=True)
    selection = select(options.latents, own[0].numel(), points.device)
    features = select_features(options.features, batch.shape[1:]).to(points.device)
    has_rows = not task.chooses_forward(len(features), len(selection.indices))
    opening = taken_apart(task) if has_rows and not is_small(len(batch), features, selection) else None
    known = encoded.by_program if opening is None else None  # what is taken apart is compared with the encoder itself
    with torch.no_grad():
        codes, ties = known or _codes_and_ties(task, opening)
        check_trace(distance(codes.to(own.device), own), _coarser(own.dtype, program.dtype))
        if not is_image_by_image(program.graph):
            check_independence(traced.exact, points, task.held)
    if options.settings.kinks == "raise":
        refuse_ties(ties)
    return Block(batch, held, own.flatten(1), task, opening, traced, ties, selection, features)


def _own_codes(
    encoder: Function, program: Program, batch: torch.Tensor, held: Sequence[torch.Tensor], options: Options
) -> torch.Tensor:
    """Run the encoder itself, on as many images together as it is asked to take; on fewer if that is for us to say."""
    if options.batch_size == "auto":
        with suppress(EncoderError):  # it may not take so few; the whole batch tells what is wrong
            parts = (tuple(x[part] for x in (batch, *held)) for part in _parts(program, batch))
            return torch.cat([plain_codes(encoder, some, tuple(others), options.output) for some, *others in parts])
    return plain_codes(encoder, batch, tuple(held), options.output)


def _codes_and_ties(task: Task, opening: FirstProduct | None) -> tuple[torch.Tensor, Counter[str]]:
    """Return the codes and the kinks hit exactly; the product that the network begins with is not computed twice."""
    parts = _parts(task.program, task.point)
    tasks = [task.at(part) if opening is None else opening.rest(part) for part in parts]
    codes, ties = zip(*(some.program.ties(some.point, *some.held) for some in tasks), strict=True)
    return torch.cat(codes), sum(ties, Counter[str]())


def _parts(program: Program, images: torch.Tensor) -> list[slice]:
    """Say which images of a block are encoded together; on an accelerator, all."""
    return rest_of(program.graph).parts(len(images), _TOGETHER) if images.device.type == "cpu" else [slice(None)]


def _coarser(first: torch.dtype, second: torch.dtype) -> torch.dtype:
    """Return the type with the larger rounding."""
    return max(first, second, key=lambda dtype: torch.finfo(dtype).eps)


def _trace(encoder: Function, batch: torch.Tensor, held: Held, options: Options) -> TracedEncoder:
    """Trace the encoder.

    A few images are enough, but for a network, or a trace, that takes one number of images alone.
    """
    if len(batch) > _TRACED:
        with suppress(EncoderError, ImageError):  # the whole batch tells what is wrong
            found = _traced_with(encoder, batch[:_TRACED], tuple(x[:_TRACED] for x in held), options)
            if found.program.batch is None:
                return found
    return _traced_with(encoder, batch, held, options)


def _traced_with(encoder: Function, batch: torch.Tensor, held: Held, options: Options) -> TracedEncoder:
    """Trace the encoder with these images."""
    own = plain_codes(encoder, batch, held, options.output)
    asked = options.settings.computing_type_for(batch.dtype)
    dtype = asked if options.settings.dtype is not None else torch.promote_types(asked, own.dtype)
    device = torch.device(options.device or batch.device)
    compared = program_of(encoder, (batch, *held), own, batched=True, output=options.output)
    program = compared.program
    if (program.dtype, program.device) == (dtype, device):
        return TracedEncoder(encoder, program, _Encoded(own, (compared.value, compared.ties)))
    return TracedEncoder(encoder, bind(program.graph, encoder, dtype, device), _Encoded(own))


def _moved(held: Held, points: torch.Tensor) -> Held:
    """Bring what is held to the points' device and, if it is floating-point, type."""
    return tuple(x.to(points.device, points.dtype) if x.is_floating_point() else x.to(points.device) for x in held)
