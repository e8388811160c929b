"""Inner tensors of a network by name: a list of them, and the network up to one of them."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import nn

from imagrad.complexstep.functions import pick, tensors_in
from imagrad.errors import EncoderError, InputError
from imagrad.models.formats.contract import Layer

OUTPUT = "output."
"""What stands before the name of one of several things that a network returns."""


class Picked(nn.Module):
    """A network of which one of several results counts: by position, key, attribute or a path of these."""

    def __init__(self, network: nn.Module, output: str) -> None:
        """Wrap a network."""
        super().__init__()
        self.network = network
        self.training = network.training  # the network keeps its mode
        self._output = output

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Call the network, and return that result; raise `EncoderError`, which lists them, if it is not there."""
        return pick(self.network(images), self._output)


def up_to(network: nn.Module, name: str) -> nn.Module:
    """Return a network that returns an inner tensor: what one of its modules returns, or "output.1" of what it does."""
    return Picked(network, name.removeprefix(OUTPUT)) if name.startswith(OUTPUT) else UpTo(network, name)


class UpTo(nn.Module):
    """A network that returns what one of its modules returns.

    `name` is the path of a module, such as "encoder.fc_mu". Where that is called several times, "relu:1" is its
    second call; where it returns several tensors, "lstm.1.0" picks one, by position, key or attribute.
    """

    def __init__(self, network: nn.Module, name: str) -> None:
        """Find the module; raise `InputError`, with the names that are near, where there is none."""
        super().__init__()
        self.network = network
        self.training = network.training  # the network keeps its mode
        self.name = name
        known = {path for path, _ in network.named_modules() if path}
        path, self._output = _split(name.partition(":")[0], known)
        call, _, output = name.partition(":")[2].partition(".")
        if path is None or (call and not call.isdecimal()):
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)[:8]
            raise InputError(
                f"`latent` {name!r} names no module of this network; near: {', '.join(near) or 'it has none'}. "
                "imagrad layers lists them all. output.0, output.1, ... are the results of a network with several."
            )
        self._path: str = path
        self._call = int(call) if call else None
        self._output = output or self._output

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Run the whole network, and return what passed there; nothing that comes after counts."""
        passed: list[Any] = []
        hook = self.network.get_submodule(self._path).register_forward_hook(
            lambda module, arguments, result: passed.append(result)
        )
        try:
            self.network(images)
        finally:
            hook.remove()
        return pick(passed[self._number(len(passed))], self._output)

    def _number(self, calls: int) -> int:
        if calls == 0:
            raise EncoderError(f"`latent` {self.name!r} is a module that the network does not call on these images.")
        if self._call is None and calls > 1:
            names = ", ".join(f"{self._path}:{k}" for k in range(calls))
            raise EncoderError(f"`latent` {self.name!r} is called {calls} times; say which call: {names}.")
        number = self._call or 0
        if number >= calls:
            raise EncoderError(f"`latent` {self.name!r} asks for call {number}; the last one is {calls - 1}.")
        return number


def _split(name: str, known: set[str]) -> tuple[str | None, str | None]:
    """Return the longest path of a module that a name begins with, and the rest: what to pick of its result."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        if ".".join(parts[:count]) in known:
            return ".".join(parts[:count]), ".".join(parts[count:]) or None
    return None, None


def layers_of(network: nn.Module, images: torch.Tensor, run: nn.Module | None = None) -> tuple[Layer, ...]:
    """List what each module of a network returns for a batch of images, in the order in which they are done.

    `run` is what is called with the images, where that is not the network itself. Raises `EncoderError` when it fails.
    """
    paths = {module: path for path, module in network.named_modules() if path}
    passed: list[tuple[str, nn.Module, Any]] = []

    def note(module: nn.Module, arguments: Any, result: Any) -> None:
        passed.append((paths[module], module, result))

    hooks = [module.register_forward_hook(note) for module in paths]
    try:
        with torch.no_grad():
            whole = (run or network)(images)
    except Exception as error:  # whatever the network raises
        raise EncoderError(
            f"the network does not take images of shape {tuple(images.shape)}: {type(error).__name__}: {error}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    calls = {path: sum(path == other for other, _, _ in passed) for path in paths.values()}
    seen: dict[str, int] = {}
    found: list[Layer] = []
    for path, module, result in passed:
        number = seen.setdefault(path, 0)
        seen[path] += 1
        name = path if calls[path] == 1 else f"{path}:{number}"
        found += _layers(result, name, module)
    if not isinstance(whole, torch.Tensor):
        found += _layers(whole, OUTPUT[:-1], network)
    return tuple(found)


def _layers(result: Any, name: str, made_by: nn.Module) -> list[Layer]:
    """Name the tensors of numbers in a result, with their shapes without the batch axis."""
    return [
        Layer(inner, type(made_by).__name__, tuple(value.shape[1:]))
        for inner, value in tensors_in(result, name)
        if value.ndim and value.is_floating_point()
    ]
