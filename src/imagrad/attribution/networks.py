"""A copy of an encoder that answers with weighted sums of its latents, and a look at the layers that it runs."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from imagrad.complexstep.functions import Function, Output, Traced


class Weighted(nn.Module):
    """An encoder whose answer for an image is one number, or several: inner products of its code with weights."""

    def __init__(self, encoder: Function, output: Output = None) -> None:
        """Copy the encoder; a plain function is called as it is, and the layers that it uses are found."""
        super().__init__()
        try:
            copied = copy.deepcopy(encoder)
        except Exception:  # whatever it holds may refuse; then it is used itself, as a plain function's layers are
            copied = encoder
        self.encode = Traced(copied, output)
        self.train(False)

    def forward(self, images: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Map images (n, *input) to codes (n, q), or with weights (n, q) to (n,), with weights (n, k, q) to (n, k)."""
        codes = self.encode(images).flatten(1)
        if torch.is_grad_enabled() and not codes.requires_grad:  # a constant has a derivative too: 0
            codes = codes + 0 * images.flatten(1).sum(1, keepdim=True)
        if weights is None:
            return codes
        return (codes * weights).sum(1) if weights.ndim == 2 else torch.einsum("nq,nkq->nk", codes, weights)


@contextmanager
def unchanged(network: nn.Module) -> Generator[None]:
    """Let layers be hooked and marked, and put their attributes back: a plain function's are no copies."""
    before = {module: dict(vars(module)) for module in network.modules()}
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            vars(module)["inplace"] = False  # hooks and writing in place exclude each other
    try:
        yield
    finally:
        for module, attributes in before.items():
            vars(module).clear()
            vars(module).update(attributes)


@dataclass
class Layers:
    """What an encoder ran: its layers in order, and the operations outside of any layer."""

    names: list[str] = field(default_factory=list[str])
    modules: list[nn.Module] = field(default_factory=list[nn.Module])
    loose: Counter[str] = field(default_factory=Counter[str])
    """Operations that were called as functions, such as "relu", how often."""

    def repeated(self) -> list[str]:
        """Name the layers that ran more than once."""
        return [name for name, count in Counter(self.names).items() if count > 1]


_BOUNDS = ("clamp", "clamp_min", "threshold")  # a ReLU, if they bound at 0


class _Recorder(TorchDispatchMode):
    """Counts the operations that are run while no layer is."""

    def __init__(self, found: Layers) -> None:
        super().__init__()
        self.found = found
        self.inside = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.inside:
            name = func.overloadpacket.__name__.rstrip("_")
            elsewhere = name in _BOUNDS and args[1] != 0
            self.found.loose[f"{name} at {args[1]}" if elsewhere else name] += 1
        return func(*args, **(kwargs or {}))


def layers_of(network: Weighted, image: torch.Tensor) -> Layers:
    """Encode an image, (1, *input), and list what was run."""
    found = Layers()
    recorder = _Recorder(found)
    handles: list[Any] = []

    def watch(name: str, layer: nn.Module) -> None:
        def enter(*_: Any) -> None:
            recorder.inside += 1
            found.names.append(name)
            found.modules.append(layer)

        def leave(*_: Any) -> None:
            recorder.inside -= 1

        handles.extend((layer.register_forward_pre_hook(enter), layer.register_forward_hook(leave)))

    for name, module in network.encode.named_modules():
        if _is_layer(module):
            watch(name.removeprefix("module_0").removeprefix(".") or type(module).__name__, module)
    try:
        with torch.no_grad(), recorder:
            network.encode(image)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _is_layer(module: nn.Module) -> bool:
    """Say whether it is one of torch's own, that holds no other: hooks know nothing of what others do inside."""
    kinds = (kind.__module__ for kind in type(module).__mro__ if kind is not nn.Module)
    return not list(module.children()) and any(home.startswith("torch.nn.modules.") for home in kinds)
