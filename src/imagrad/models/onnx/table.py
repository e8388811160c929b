"""The table of ONNX operations: what each computes, in torch, and how it is given its arguments.

An entry is a function. Its positional parameters are the node's inputs, its keyword parameters the node's attributes::

    @operation("LeakyRelu")
    def _leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
        \"\"\"Scale what is negative.\"\"\"
        return functional.leaky_relu(x, alpha)

The annotation of an input says in which form it is wanted (see `values.py`). An attribute that has the name of an input
fills that one: many operations had as attributes what became inputs later. A parameter `context` is told the version
of the operation, the type computed in, and so on. An attribute without a parameter is refused by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
import torch

from imagrad.models.onnx.values import Context, converted
from imagrad.registry import Registry

Run = Callable[..., Any]

_CONTEXT = "context"
_ABSENT = inspect.Parameter.empty


class RefusedError(Exception):
    """A use of an operation that the table does not cover; for inner use, the network says which node it is."""


@dataclass(frozen=True)
class Argument:
    """An input or an attribute of an operation."""

    name: str
    kind: str
    """Of an input: "tensor", "known", "sizes", "factors", "scalar" or "value" (see `values.py`)."""
    is_required: bool


@dataclass(frozen=True)
class Operation:
    """What an ONNX operation computes."""

    run: Run
    summary: str
    """One line for `imagrad list`."""
    inputs: tuple[Argument, ...]
    is_variadic: bool
    """Whether the last input stands for any number of them."""
    attributes: Mapping[str, Argument]
    wants_context: bool
    has_several: bool
    """Whether it returns a tuple, one result for each output; else its first output is all that it makes."""

    def kind_of(self, position: int) -> str | None:
        """Return the form in which an input is wanted; None where the operation takes no such input."""
        if position < len(self.inputs):
            return self.inputs[position].kind
        return self.inputs[-1].kind if self.is_variadic else None

    def refusal(self, attributes: Mapping[str, Any], inputs: int) -> str | None:
        """Say what the operation does not cover of a node's attributes and inputs; None where it covers all."""
        known = {*self.attributes, *(argument.name for argument in self.inputs)}
        unknown = sorted(set(attributes) - known)
        if unknown:
            return f"its attribute {unknown[0]!r} is not covered"
        missing = [name for name, it in self.attributes.items() if it.is_required and name not in attributes]
        if missing:
            return f"it must have the attribute {missing[0]!r}, and has not"
        if inputs > len(self.inputs) and not self.is_variadic:
            return f"it has {inputs} inputs, and only {len(self.inputs)} are covered"
        return None

    def __call__(self, values: Sequence[Any], attributes: Mapping[str, Any], context: Context) -> Any:
        """Compute it; raise `RefusedError` for a use that is not covered."""
        options = {name: value for name, value in attributes.items() if name in self.attributes}
        given = list(values)
        for k, argument in enumerate(self.inputs[: None if not self.is_variadic else 0]):
            given += [None] if k >= len(given) else []
            if given[k] is None and argument.name in attributes:
                given[k] = np.asarray(attributes[argument.name])
            if given[k] is None and argument.is_required:
                raise RefusedError(f"it must have the input `{argument.name}`, and has not")
        if self.wants_context:
            options[_CONTEXT] = context
        return self.run(*(self._formed(value, k, context) for k, value in enumerate(given)), **options)

    def _formed(self, value: Any, position: int, context: Context) -> Any:
        if value is None:
            return None
        kind = self.kind_of(position)
        assert kind is not None
        try:
            return converted(value, kind, context)
        except TypeError as error:
            raise RefusedError(f"its input `{self.inputs[position].name}` {error}") from error


OPERATIONS: Registry[Operation] = Registry("onnx-operation")
"""By the name of the operation; of one outside ONNX's own domain, with the domain: "ai.onnx.ml.Scaler"."""

ON_KNOWN: Registry[Operation] = Registry("onnx operation on sizes", listed=False)
"""The same operations on numbers that are known while the graph is traced: sizes, and what is computed from them."""


def operation(name: str, *, has_several: bool = False) -> Callable[[Run], Run]:
    """Return a decorator that files a function as what the operation `name` computes, under its docstring's line."""

    def add(function: Run) -> Run:
        OPERATIONS.register(name)(_declared(function, has_several))
        return function

    return add


def on_known(name: str, *, has_several: bool = False) -> Callable[[Run], Run]:
    """Return a decorator that files a function of NumPy arrays as the operation `name` on known numbers."""

    def add(function: Run) -> Run:
        ON_KNOWN.register(name)(_declared(function, has_several))
        return function

    return add


def elementwise(name: str, function: Run, summary: str, arity: int = 1) -> None:
    """File a function of so many tensors, without attributes, as the operation `name`."""
    inputs = tuple(Argument(letter, "tensor", True) for letter in "xyz"[:arity])
    OPERATIONS.register(name)(Operation(function, summary, inputs, False, {}, False, False))


def on_all_known(name: str, function: Run, arity: int = 1) -> None:
    """File a function of so many arrays, without attributes, as the operation `name` on known numbers."""
    inputs = tuple(Argument(letter, "known", True) for letter in "xyz"[:arity])
    ON_KNOWN.register(name)(Operation(function, "", inputs, False, {}, False, False))


def _declared(function: Run, has_several: bool) -> Operation:
    """Read an operation off the signature of its function."""
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    inputs = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    arguments = tuple(Argument(p.name, _kind(hints.get(p.name, torch.Tensor)), p.default is _ABSENT) for p in inputs)
    attributes = {
        p.name: Argument(p.name, "attribute", p.default is _ABSENT)
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name != _CONTEXT
    }
    summary = (inspect.getdoc(function) or "").split("\n", 1)[0]
    wants_context = any(p.name == _CONTEXT for p in parameters)
    is_variadic = any(p.kind is p.VAR_POSITIONAL for p in inputs)
    return Operation(function, summary, arguments, is_variadic, attributes, wants_context, has_several)


def _kind(hint: Any) -> str:
    """Return the word that an annotation such as `Sizes | None` carries; a plain tensor is one."""
    if get_origin(hint) is Annotated:
        return str(get_args(hint)[1])
    if hint is torch.Tensor:
        return "tensor"
    for inner in get_args(hint):
        if inner is torch.Tensor or get_origin(inner) is Annotated:
            return _kind(inner)
    raise TypeError(f"an input must be annotated by one of the kinds in values.py; got {hint!r}")
