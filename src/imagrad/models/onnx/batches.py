"""Batches of any size for graphs that were exported for a fixed number of images, mostly one.

Such a graph may have its number as a constant: in the new shape that a Reshape or a Resize asks for, or as the rows of
a stored tensor that a Concat puts beside one with a row for each image. It can be opened: the number of images that
come is put for the constant. Whether a graph is to be taken as it is, opened, or run image by image is found out by
running it on noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from imagrad.errors import EncoderError, ImagradError
from imagrad.models.onnx.network import ANY, EACH, EXACT, SHAPES, OnnxNetwork, opened
from imagrad.models.onnx.plan import Step

_LARGEST_TRIAL = 2**26  # numbers of images that are made up
_FEW = 3
_ALIKE = 1e-4  # relative: images done at once or one by one differ by rounding, which may add up


def settle_batches(network: OnnxNetwork) -> None:
    """Find out how the network does a batch, and have it do so.

    Raises `EncoderError` unless the code has one row an image, and what running the graph raises.
    """
    shape = network.input_shape
    if shape is not None and len(shape) < 2:
        raise EncoderError(
            f"a network must take a batch of images, (n, ...); this one takes {shape}. Export it with a batch axis."
        )
    if shape is None:
        return
    size, sizes = shape[0], [length for length in shape[1:] if length is not None]
    count = _FEW if size is None or size == 1 else size
    if len(sizes) < len(shape) - 1 or torch.Size(sizes).numel() * count > _LARGEST_TRIAL:
        network.batching = ANY if size is None else EACH if size == 1 else EXACT
        return
    noise = torch.rand(count, *sizes, dtype=network.dtype, generator=torch.Generator().manual_seed(0))
    if size is not None:
        codes = torch.cat([network.run(part) for part in noise.split(size)])
    else:
        codes = network.run(noise)
    _check_rows(network, codes, count)
    if size is not None:
        _open(network, noise, codes, size)


def _open(network: OnnxNetwork, noise: torch.Tensor, codes: torch.Tensor, size: int) -> None:
    """Take a graph as it is where that gives each image its code in a batch of another size, or open it."""
    others = (len(noise), 2) if size == 1 else (1, size - 1)
    if all(_agrees(network, noise[:count], codes[:count]) for count in others):
        return
    network.opened = frozenset(_to_open(network, noise[: others[0]], size))
    if all(_agrees(network, noise[:count], codes[:count]) for count in others):
        return
    network.opened = frozenset()
    network.batching = EACH if size == 1 else EXACT


def _to_open(network: OnnxNetwork, noise: torch.Tensor, size: int) -> set[int]:
    """Run the graph until it fails or ends, opening each step that has the graph's own number of images in it."""
    found: set[int] = set()

    def watch(place: int, step: Step, given: list[Any]) -> list[Any]:
        if not _has_number(step, given, size, len(noise)):
            return given
        found.add(place)
        return opened(step, given, len(noise))

    try:
        network.run(noise, watch)
    except ImagradError:
        return set()
    return found


def _has_number(step: Step, given: Sequence[Any], size: int, count: int) -> bool:
    """Say whether a step has a row for each image coming in, and the graph's own number of rows going out."""
    rows = [len(value) for value in given if isinstance(value, torch.Tensor) and value.ndim]
    operation = step.node.operation
    if operation in SHAPES:
        shape = given[SHAPES[operation]] if len(given) > SHAPES[operation] else None
        return rows[:1] == [count] and isinstance(shape, np.ndarray) and shape.size > 0 and shape[0] == size
    return operation == "Concat" and step.node.attributes["axis"] > 0 and {count, size} <= set(rows)


def _check_rows(network: OnnxNetwork, code: torch.Tensor, count: int) -> None:
    """Raise `EncoderError` unless there is one row of floating-point numbers for each image."""
    if not code.is_floating_point():
        raise EncoderError(f"a code must be floating-point numbers; {network.code!r} is {code.dtype}.")
    if code.ndim < 2 or len(code) != count:
        raise EncoderError(
            f"a code must have one row an image; {network.code!r} is {tuple(code.shape)} for {count} images. "
            "Pick another tensor by --latent; imagrad layers lists them."
        )


def _agrees(network: OnnxNetwork, noise: torch.Tensor, codes: torch.Tensor) -> bool:
    """Say whether images have the codes that are known."""
    try:
        found = network.run(noise)
    except EncoderError:
        return False
    slack = _ALIKE * float(codes.abs().max())
    return found.shape == codes.shape and torch.allclose(found, codes, rtol=_ALIKE, atol=slack, equal_nan=True)
