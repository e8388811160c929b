"""What can be differentiated: a callable, the modules that it holds, and the tensor picked from what it returns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import nn

from imagrad.complexstep.number import flat
from imagrad.errors import EncoderError

Function = Callable[..., Any]
"""A network, a method of one, or any function of tensors."""

Output = int | str | None
"""Which of several results: a position, a key, an attribute, or a path of these such as "latent.0"."""

_LISTED = 12


class Traced(nn.Module):
    """A function as a module, with the modules that it uses registered, so that their weights are found by name."""

    def __init__(self, function: Function, output: Output = None) -> None:
        """Wrap `function`; of what it returns, `output` says which tensor counts."""
        super().__init__()
        self._call = function if not isinstance(function, nn.Module) else None
        self._output = output
        for name, module in named_modules_of(function).items():
            self.add_module(name, module)
        self.train(any(module.training for module in self.children()))

    def forward(self, point: torch.Tensor, *held: torch.Tensor) -> torch.Tensor:
        """Call the function on a copy, so that one that works in place may."""
        return called(self._call if self._call is not None else self.module_0, (point, *held), self._output)

    def train(self, mode: bool = True) -> Traced:
        """Set the flag of the wrapper alone: the user's network keeps its mode."""
        self.training = mode
        return self


def called(function: Any, inputs: Sequence[torch.Tensor], output: Output) -> torch.Tensor:
    """Call a function on a copy of its first input, so that one that works in place may; return what `output` names."""
    point, *held = inputs
    return pick(function(point.clone(), *held), output)


def named_modules_of(function: Any) -> dict[str, nn.Module]:
    """Return the modules that a function uses, under the names that graphs of it know them by."""
    return {f"module_{k}": module for k, module in enumerate(modules_of(function))}


def attribute_at(root: Any, path: str) -> Any:
    """Return the attribute that a dotted path leads to."""
    return functools.reduce(getattr, path.split("."), root)


def modules_of(function: Any) -> list[nn.Module]:
    """List the modules that a function uses: itself, its owner, those in its closure, its globals or its arguments."""
    if isinstance(function, nn.Module):
        return [function]
    if isinstance(function, functools.partial):
        return _among((function.func, *function.args, *function.keywords.values()))
    owner = getattr(function, "__self__", None)
    if isinstance(owner, nn.Module):
        return [owner]
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    known = function.__globals__
    closed = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return _among((*(value for value in closed if value is not function), *(known.get(name) for name in code.co_names)))


def _among(values: tuple[Any, ...]) -> list[nn.Module]:
    """List the modules among some values, of functions those that they close over, each once."""
    found: list[nn.Module] = []
    for value in flat(values):
        if isinstance(value, nn.Module | functools.partial) or isinstance(getattr(value, "__self__", None), nn.Module):
            found += modules_of(value)
        elif getattr(value, "__closure__", None):
            found += _among(tuple(cell.cell_contents for cell in value.__closure__ if _is_filled(cell)))
    return list({id(module): module for module in found}.values())


def layers_in_train_mode(function: Function) -> list[str]:
    """List the layers that behave differently in train mode and are in it."""
    mixing = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, nn.RReLU)  # pyright: ignore[reportPrivateUsage]  # torch names no public base
    return [
        f"{name or 'it'} ({type(module).__name__})"
        for owner in modules_of(function)
        for name, module in owner.named_modules()
        if module.training and isinstance(module, mixing)
    ]


def parameters_used(value: torch.Tensor) -> list[torch.Tensor]:
    """List the tensors that want a gradient and that `value` was computed from."""
    found: dict[int, torch.Tensor] = {}
    waiting, seen = [value.grad_fn], set[Any]()
    while waiting:
        node: Any = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            found[id(variable)] = variable
        waiting += [following for following, _ in node.next_functions]
    return list(found.values())


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  # an empty cell raises
    except ValueError:
        return False
    return True


def pick(result: Any, output: Output) -> torch.Tensor:
    """Return the tensor that `output` names; raise `EncoderError`, which lists what is there, if there is none."""
    found = result
    for step in () if output is None else (output,) if isinstance(output, int) else output.split("."):
        try:
            found = _entered(found, step)
        except (KeyError, IndexError, AttributeError, TypeError) as error:
            raise EncoderError(f"`output` {output!r} is not there; {_offer(result)}") from error
    if not isinstance(found, torch.Tensor):
        raise EncoderError(
            f"a network must return one tensor of codes, (n, q); this one returns a {type(found).__name__}. "
            f"Pick a tensor of it by `output` (on the command line, --latent output.NAME); {_offer(result)}"
        )
    return found


def _entered(value: Any, step: int | str) -> Any:
    """Go one step down: into a sequence by position, into a mapping by key, into an object by attribute."""
    if isinstance(value, Mapping) and step in value:
        return value[step]
    if isinstance(step, int) or (step.lstrip("-").isdecimal() and isinstance(value, tuple | list)):
        return value[int(step)]
    return getattr(value, step)


def _offer(result: Any) -> str:
    """Say which tensors there are, and how they are named."""
    found = [f"{_spelt(path)} {tuple(value.shape)}" for path, value in tensors_in(result)]
    if not found:
        return f"it holds no tensor: {type(result).__name__}."
    return f"it holds: {', '.join(found[:_LISTED])}{' ...' if len(found) > _LISTED else ''}."


def _spelt(path: str) -> str:
    """Write a path as Python does where `output` is given."""
    return repr(int(path) if path.lstrip("-").isdecimal() else path) if path else "a tensor"


def tensors_in(value: Any, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Go through the tensors in what a network returns, each with the path by which `pick` finds it, behind `path`."""
    if isinstance(value, torch.Tensor):
        yield path, value
        return
    if isinstance(value, Mapping):
        inner = [(str(key), value[key]) for key in value]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        inner = list(zip(value._fields, value, strict=True))  # pyright: ignore[reportAttributeAccessIssue]
    elif isinstance(value, tuple | list):
        inner = [(str(k), entry) for k, entry in enumerate(value)]
    elif is_dataclass(value) and not isinstance(value, type):
        inner = [(field.name, getattr(value, field.name)) for field in fields(value)]
    else:
        inner = []
    for name, entry in inner:
        yield from tensors_in(entry, f"{path}.{name}" if path else name)
