"""An ONNX graph as a module of torch: its nodes one after the other, each by its entry in the table."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from imagrad.errors import EncoderError, ImageError, ImagradError, UnsupportedOperationError
from imagrad.models.onnx.graph import Shape
from imagrad.models.onnx.plan import Plan, Step, refusal
from imagrad.models.onnx.table import RefusedError
from imagrad.models.onnx.values import Context, as_tensor, known

Watch = Callable[[int, Step, list[Any]], list[Any]]
"""Called with the number of a step, the step and what it is given; returns what it is to be given."""

SHAPES = {"Reshape": 1, "Resize": 3}
"""Which input of an operation is a whole new shape."""

ANY, EACH, EXACT = "any", "each", "exact"
"""How a batch is done: as it comes; image by image, for a graph that takes one; or only of the graph's own size."""


@dataclass(frozen=True)
class InnerTensor:
    """A tensor inside a graph, which can be the code."""

    name: str
    operation: str
    """What makes it."""
    shape: Shape | None
    """With the batch axis; None where the file does not say."""


@dataclass(frozen=True)
class Facts:
    """What a file says of its network."""

    inputs: dict[str, Shape | None]
    outputs: dict[str, Shape | None]
    tensors: tuple[InnerTensor, ...]
    sha256: str
    notes: tuple[str, ...]


class OnnxNetwork(nn.Module):
    """A network read from an ONNX file: images (n, *input) to the code (n, *code)."""

    _type: torch.Tensor

    def __init__(self, plan: Plan, facts: Facts, dtype: torch.dtype) -> None:
        """Hold the weights of a plan as parameters, in one floating-point type."""
        super().__init__()
        self.code = plan.target
        """The name of the tensor that it returns."""
        self.inputs = facts.inputs
        """The shape of what it takes, by name: one entry; None for a size that is open."""
        self.outputs = facts.outputs
        """The shapes of the graph's outputs, by name."""
        self.tensors = facts.tensors
        """The inner tensors, in the order in which they are computed."""
        self.sha256 = facts.sha256
        """Of the file, and of its external data where it has any."""
        self.notes = facts.notes
        """What a user should know, one sentence each."""
        self.batching = ANY
        """How a batch is done."""
        self.opened: frozenset[int] = frozenset()
        """The steps that have a fixed number of images in them, for which the number that comes is put."""
        self._plan = plan
        self.register_buffer("_type", torch.empty(0, dtype=dtype), persistent=False)
        """Follows the type of the weights, also where there are none."""
        self._names: dict[str, str] = {}
        for name, array in plan.weights.items():
            self._names[name] = self._free_name(name)
            weight = nn.Parameter(torch.tensor(array).to(dtype), requires_grad=False)
            self.register_parameter(self._names[name], weight)

    def _free_name(self, name: str) -> str:
        """Return a name for a weight without dots, and none that the module has already."""
        found = re.sub(r"\W", "_", name)
        while hasattr(self, found) or hasattr(torch.fx.GraphModule, found):  # which torch.export makes of it
            found += "_"
        return found

    @property
    def input_shape(self) -> Shape | None:
        """The shape of a batch as the file states it."""
        return next(iter(self.inputs.values()))

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width) of an image, where it is one and all of it is known."""
        match self.input_shape:
            case (_, int(channels), int(height), int(width)):
                return channels, height, width
            case _:
                return None

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type that is computed in: that of the weights."""
        return self._type.dtype

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the codes of a batch; raise `ImageError` for images that the graph does not take."""
        images = self._checked(images)
        if self.batching == EACH:
            return torch.vmap(lambda image: self.run(image[None])[0])(images)
        return self.run(images)

    def _checked(self, images: torch.Tensor) -> torch.Tensor:
        """Compare images with what the file states; bring a narrower type to that of the network, which is exact."""
        shape = self.input_shape
        if shape is not None and not _fits(tuple(images.shape), shape, self.batching):
            sizes = ", ".join("any" if size is None else str(size) for size in shape[1:])
            first = shape[0] if self.batching == EXACT else "n"
            raise ImageError(
                f"the network takes images of shape ({first}, {sizes}); got {tuple(images.shape)}."
                + (" Export it with a batch axis of any size." if self.batching == EXACT else "")
            )
        if torch.promote_types(images.dtype, self.dtype) != self.dtype:
            raise ImageError(
                f"the network computes in {self.dtype}; the images are {images.dtype}. Bring it to their type: "
                "network.double(), or them to its: images.float()."
            )
        return images.to(self.dtype)

    def run(self, images: torch.Tensor, watch: Watch | None = None) -> torch.Tensor:
        """Compute the code of a batch as the graph does it; let `watch` see, and change, what each step is given."""
        plan = self._plan
        values: dict[str, Any] = {**plan.numbers, **{name: getattr(self, k) for name, k in self._names.items()}}
        values[plan.input] = images
        for place, step in enumerate(plan.steps):
            given = [values[name] if name else None for name in step.node.inputs]
            if place in self.opened:
                given = opened(step, given, images.shape[0])
            if watch is not None:
                given = watch(place, step, given)
            found = self._computed(step, given, images)
            values.update(zip(step.node.outputs, found, strict=False))
            for name in step.ending:
                del values[name]
        context = Context(0, 1, self.dtype, images.device)
        return as_tensor(values[plan.target], context)

    def _computed(self, step: Step, given: list[Any], images: torch.Tensor) -> tuple[Any, ...]:
        """Run one node; where all that it is given is known, on that."""
        node = step.node
        context = Context(node.version, len(node.outputs), self.dtype, images.device)
        is_known = not any(isinstance(value, torch.Tensor) for value in given)
        entry = step.on_known if is_known and step.on_known is not None else step.entry
        try:
            found = entry(given, node.attributes, context)
        except ImagradError:
            raise
        except RefusedError as error:
            raise UnsupportedOperationError(refusal(node, str(error))) from error
        except Exception as error:  # whatever torch raises for numbers and shapes that do not fit
            if torch.compiler.is_exporting():
                raise
            shapes = ", ".join("none" if value is None else str(tuple(value.shape)) for value in given)
            raise EncoderError(
                f"{node.shown} failed on inputs of shapes {shapes}, for images of shape {tuple(images.shape)}: {error}"
            ) from error
        return found if entry.has_several else (found,)


def opened(step: Step, given: list[Any], count: int) -> list[Any]:
    """Put the number of images where a step is given another, in a new shape or as a number of rows."""
    place = SHAPES.get(step.node.operation)
    if place is None:
        return [value if len(value) != 1 else value.expand(count, *value.shape[1:]) for value in given]
    return [known([count, *value.tolist()[1:]]) if k == place else value for k, value in enumerate(given)]


def _fits(shape: tuple[int, ...], stated: Shape, batching: str) -> bool:
    """Say whether a shape is one that the file states; the batch counts only where it must be exact."""
    first = 0 if batching == EXACT else 1
    return len(shape) == len(stated) and all(
        wish is None or size == wish for size, wish in zip(shape[first:], stated[first:], strict=True)
    )
