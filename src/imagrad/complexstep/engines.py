"""The engines: derivatives of a program along directions, and of its outputs, in blocks that fit the memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch

from imagrad.complexstep.cache import Expected
from imagrad.complexstep.number import PAIR, Lifted
from imagrad.complexstep.points import ONE_SIDED, Settings, all_finite
from imagrad.complexstep.program import Program
from imagrad.complexstep.recorded import replay
from imagrad.errors import DerivativeError

Pull = Callable[[torch.Tensor], torch.Tensor]
"""Cotangents (k, *output) -> the transposed Jacobian applied to each, (k, *point)."""

_PARTS_ALIVE = 6  # real and imaginary part of an operation's input, of its result, and of scratch
_SEVERAL = 8
_FORWARD_GAIN = 2  # one pass forward costs about half of one back


@dataclass(frozen=True)
class Task:
    """A program at a point, with what is held, and how it is to be differentiated."""

    program: Program
    point: torch.Tensor
    held: tuple[torch.Tensor, ...]
    settings: Settings
    batched: bool = False
    """The first axis of the point counts samples that do not influence each other: all are perturbed at once."""
    expected: Expected | None = None
    """What the function itself returned, if the graph is a remembered one that has not been compared with it yet."""

    def confirm(self, value: torch.Tensor) -> None:
        """Compare the value that a remembered graph gave with the function's own."""
        if self.expected is not None:
            self.expected.confirm(value)

    def at(self, images: slice) -> Task:
        """Return the task at some of the samples of a batch."""
        return replace(self, point=self.point[images], held=tuple(x[images] for x in self.held))

    @property
    def value_shape(self) -> torch.Size:
        """The shape of what the program returns for its point."""
        shape = self.program.graph.output_shape
        return torch.Size((len(self.point), *shape[1:])) if self.batched else shape

    @property
    def at_once(self) -> int:
        """How many perturbations fit into the memory at once; at least one."""
        settings, program = self.settings, self.program
        size = 8 if settings.engine == "complex" else self.point.element_size()
        each = size * _PARTS_ALIVE * max(program.graph.sizes) * (len(self.point) if self.batched else 1)
        fit = settings.budget(self.point.device) // each
        if self.batched and len(self.point) >= _SEVERAL and fit < _SEVERAL:
            return 1  # many points are enough to work on: a few more perturbations at a time gain nothing
        return max(1, fit)

    def chooses_forward(self, features: int, outputs: int) -> bool:
        """Say whether features are perturbed one by one, or outputs pulled back one by one."""
        if self.settings.engine == "auto":
            return self.settings.kinks in ONE_SIDED or features <= _FORWARD_GAIN * outputs
        return self.settings.engine != "transpose"

    def engine(self, features: int, outputs: int) -> str:
        """Name the engine that computes."""
        if self.settings.engine != "auto":
            return self.settings.engine
        return "forward" if self.chooses_forward(features, outputs) else "transpose"


def push(task: Task, directions: torch.Tensor) -> torch.Tensor:
    """Return the derivative along each of the directions (k, *point): (k, *output)."""
    kinks = task.settings.kinks
    if kinks == "left":
        return -_pushed(task, -directions)
    if kinks == "mean":
        return 0.5 * (_pushed(task, directions) - _pushed(task, -directions))
    return _pushed(task, directions)


def _pushed(task: Task, directions: torch.Tensor) -> torch.Tensor:
    is_plain = task.settings.arithmetic == PAIR
    with recording(task), without_hints():
        return checked_finite(replay(task, _along, directions) if is_plain else _along(task, directions))


def _along(task: Task, directions: torch.Tensor) -> torch.Tensor:
    step = task.settings.step if task.settings.engine == "complex" else 1.0
    arithmetic = task.settings.arithmetic

    def imaginary(direction: torch.Tensor) -> torch.Tensor:
        return task.program.run(Lifted(task.point, step * direction, arithmetic), *task.held).im

    return (imaginary(directions[0])[None] if len(directions) == 1 else torch.vmap(imaginary)(directions)) / step


def recording(task: Task) -> torch.no_grad | nullcontext[None]:
    """Let torch record what happens only when gradients are to reach the parameters."""
    return nullcontext() if task.settings.differentiable else torch.no_grad()


@contextmanager
def without_hints() -> Generator[None]:
    """Silence torch's hint that it batches an operation by a loop: the user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        yield


def value_and_pull(task: Task) -> tuple[torch.Tensor, Pull]:
    """Run the program once; return its value and its transposed derivative.

    The derivative along a direction is linear in the direction, so that it can be transposed: torch turns round the
    linear operations of our own rules, and uses no derivative of a nonlinear one.
    """

    def along(direction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        result = task.program.run(Lifted(task.point, direction, PAIR), *task.held)
        return result.im, result.re

    with recording(task):
        turned, value = torch.func.vjp(along, torch.zeros_like(task.point), has_aux=True)[1:]  # pyright: ignore[reportAssignmentType]  # three, with has_aux

    def pull(cotangents: torch.Tensor) -> torch.Tensor:
        with recording(task), without_hints():
            if len(cotangents) == 1:
                return turned(cotangents[0])[0][None]
            return torch.vmap(lambda cotangent: turned(cotangent)[0])(cotangents)

    return value, pull


def column_blocks(task: Task, features: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the Jacobian's columns of some features at a time: (k, n, *output), n being 1 for a single point.

    `features` are indices into the flattened input. Of a batch all points are perturbed at once, each in the same
    feature: right only where the code of one does not depend on another, as an encoder's must not.
    """
    for block in features.split(task.at_once):
        columns = push(task, unit_directions(task.point, block, task.batched))
        yield columns if task.batched else columns[:, None]


def unit_directions(points: torch.Tensor, features: torch.Tensor, batched: bool) -> torch.Tensor:
    """Return, for each feature, the direction that moves it, in every point of a batch: (k, *points)."""
    shape = points.shape[1:] if batched else points.shape
    flat = torch.zeros(len(features), shape.numel(), dtype=points.dtype, device=points.device)
    flat[torch.arange(len(features), device=points.device), features.to(points.device)] = 1
    return flat.view(-1, 1, *shape).expand(-1, *points.shape) if batched else flat.view(-1, *shape)


def checked_finite(derivatives: torch.Tensor) -> torch.Tensor:
    """Return the derivatives; raise `DerivativeError` when one is NaN or infinite."""
    if not all_finite(derivatives):
        raise DerivativeError(
            "all derivatives must be finite; some are NaN or infinite. The network overflows, or has a pole, at this "
            "point: look at its output, and at the scale of its input. Where it is torch.where that leaves a pole out, "
            'engine="forward" may give the derivative that a transpose cannot.'
        )
    return derivatives
