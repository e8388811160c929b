"""Images in blocks, checked and ready to be differentiated: what `saliency` and `jacobian` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

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
from imagrad.complexstep.norms import Latents, Selection, select, select_features
from imagrad.complexstep.points import Settings, check_device
from imagrad.complexstep.program import Program, bind
from imagrad.errors import InputError

Progress = Callable[[int], None]
"""Called with the number of images that have just been finished."""

_BATCH = 64


@dataclass(frozen=True)
class Options:
    """How a data set is explained; the keywords of `saliency` and `jacobian`, which explain them."""

    settings: Settings = field(default_factory=Settings)
    latents: Latents = None
    features: torch.Tensor | None = None
    batch_size: int | str = "auto"
    device: torch.device | str | None = None
    progress: Progress | None = None
    output: Output = None
    held: Held = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.device is not None:
            check_device(self.device)
        whole = isinstance(self.batch_size, int) and self.batch_size >= 1
        if not whole and self.batch_size != "auto":
            raise InputError(f'`batch_size` must be a positive whole number or "auto"; got {self.batch_size!r}.')

    @property
    def images_at_once(self) -> int:
        """The most images in a block."""
        return _BATCH if self.batch_size == "auto" else int(self.batch_size)


@dataclass(frozen=True)
class Block:
    """Some images with the program that encodes them, ready to be differentiated."""

    images: torch.Tensor
    held: Held
    codes: torch.Tensor
    """The encoder's own, (n, q)."""
    task: Task
    exact: Program
    """The same program in float64."""
    ties: Counter[str]
    selection: Selection
    features: torch.Tensor

    @property
    def dtype(self) -> torch.dtype:
        """The type of the results."""
        return self.task.settings.type_for(self.images.dtype)

    @property
    def engine(self) -> str:
        """What computes the derivatives."""
        return self.task.engine(len(self.features), len(self.selection.indices))

    def exact_task(self, images: torch.Tensor, held: Held) -> Task:
        """Return the task of differentiating at some images in complex128."""
        point = images.to(self.task.point.device, torch.float64)
        return Task(self.exact, point, _moved(held, point), replace(self.task.settings, engine="complex"), batched=True)


def blocks_of(encoder: Function, images: Images, options: Options) -> Iterator[Block]:
    """Yield the images in blocks, each checked: codes by the program must be the encoder's own."""
    check_eval_mode(encoder)
    programs: tuple[Program, Program] | None = None
    for batch, held in batches_of(images, options.held, options.images_at_once):
        own = plain_codes(encoder, batch, held, options.output)
        if programs is None or programs[0].batch not in (None, len(batch)):
            programs = _programs(encoder, batch, held, own, options)
        program, exact = programs
        points = batch.to(program.device, program.dtype)
        held_there = _moved(held, points)
        with torch.no_grad():
            codes, ties = program.ties(points, *held_there)
            check_trace(distance(codes.to(own.device), own), _coarser(own.dtype, program.dtype))
            check_independence(exact, points.double(), _moved(held, points.double()))
        if options.settings.kinks == "raise":
            refuse_ties(ties)
        task = Task(program, points, held_there, options.settings, batched=True)
        selection = select(options.latents, own[0].numel(), points.device)
        features = select_features(options.features, batch.shape[1:]).to(points.device)
        yield Block(batch, held, own.flatten(1), task, exact, ties, selection, features)
        if options.progress is not None:
            options.progress(len(batch))


def _coarser(first: torch.dtype, second: torch.dtype) -> torch.dtype:
    """Return the type with the larger rounding."""
    return max(first, second, key=lambda dtype: torch.finfo(dtype).eps)


def _programs(
    encoder: Function, batch: torch.Tensor, held: Held, own: torch.Tensor, options: Options
) -> tuple[Program, Program]:
    """Trace the encoder; return its program in the type that is computed in, and in float64."""
    asked = options.settings.computing_type_for(batch.dtype)
    dtype = asked if options.settings.dtype is not None else torch.promote_types(asked, own.dtype)
    device = torch.device(options.device or batch.device)
    checked = program_of(encoder, (batch, *held), own, batched=True, output=options.output)
    found = {(checked.dtype, checked.device): checked}
    for wanted in ((dtype, device), (torch.float64, device)):
        if wanted not in found:
            found[wanted] = bind(checked.graph, encoder, *wanted, output=options.output)
    return found[dtype, device], found[torch.float64, device]


def _moved(held: Held, points: torch.Tensor) -> Held:
    """Bring what is held to the points' device and, if it is floating-point, type."""
    return tuple(x.to(points.device, points.dtype) if x.is_floating_point() else x.to(points.device) for x in held)
