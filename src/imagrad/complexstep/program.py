"""A graph of ATen operations with the values of its weights, run on real or on lifted numbers."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import fx, nn

from imagrad.complexstep.functions import Function, attribute_at, named_modules_of
from imagrad.complexstep.number import Lifted, Poison, lifted_among
from imagrad.complexstep.rules import RULES
from imagrad.complexstep.tracing import Graph, Place, Step
from imagrad.errors import UnsupportedOperationError

_RESHAPING = ("aten.view.default", "aten._unsafe_view.default", "aten._reshape_alias.default")  # if memory allows it

_PLAIN = frozenset((int, float, bool, type(None)))  # arguments that hold no others

_MANY = 2**20  # weights, of which one does not want another copy

Watch = Callable[[fx.Node, torch.Tensor], None]
"""Called with each operation that has kinks, and how far each of its elements is from one."""


@dataclass(frozen=True)
class Program:
    """A function of tensors, ready to run in one floating-point type on one device."""

    graph: Graph
    constants: dict[str, Any]
    """What placeholders other than the inputs, and operations on constants alone, have for values.

    Floating-point ones are converted when they are used, if they are of another type.
    """
    dtype: torch.dtype
    device: torch.device

    @property
    def batch(self) -> int | None:
        """The only size of the first axis that the program is good for; None when it takes any."""
        return self.graph.batch

    def run(self, point: Lifted, *held: torch.Tensor) -> Lifted:
        """Run it on a lifted number; what is held is plain."""
        output = self.interpret((point, *held), self.apply_rule)
        if isinstance(output, Lifted):
            return output
        return point.of(output, torch.zeros_like(output))  # a constant: it does not depend on the input

    def run_real(self, point: torch.Tensor, *held: torch.Tensor, watch: Watch | None = None) -> torch.Tensor:
        """Run it in real arithmetic by torch's own kernels; show `watch` how far from their kinks operations are."""
        if watch is None:
            return self.interpret((point, *held), self.apply_native)

        def apply(step: Step, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
            gap = RULES[step.name].gap if step.has_rule else None
            if gap is not None:
                watch(step.node, gap(*args, **kwargs))
            return self.apply_native(step, args, kwargs)

        return self.interpret((point, *held), apply)

    def ties(self, point: torch.Tensor, *held: torch.Tensor) -> tuple[torch.Tensor, Counter[str]]:
        """Run it in real arithmetic; also count the kinks hit exactly, by operation."""
        found: Counter[str] = Counter()

        def watch(node: fx.Node, gap: torch.Tensor) -> None:
            found[str(node.target)] += int(torch.count_nonzero(gap == 0))

        return self.run_real(point, *held, watch=watch), +found

    def interpret(
        self, inputs: tuple[Any, ...], apply: Callable[[Step, Sequence[Any], dict[str, Any]], Any],
        until: fx.Node | None = None,
    ) -> Any:  # fmt: skip
        """Run it on any kind of numbers; `apply(step, arguments, options)` says what an operation gives.

        Returns what the program returns, or a node's value, and goes no further.
        """
        given = dict(zip(self.graph.inputs, inputs, strict=True))
        values: list[Any] = [None] * len(self.graph.steps)
        for k, step in enumerate(self.graph.steps):
            if step.node.name in given:
                values[k] = given[step.node.name]
            elif step.node.name in self.constants:
                values[k] = in_type(self.constants[step.node.name], self.dtype)
            elif step.node.op == "output":
                found = resolved(step.arguments[0], values)
                return found[0] if isinstance(found, list | tuple) else found
            else:
                arguments = [resolved(argument, values) for argument in step.arguments]
                options = step.options and {name: resolved(option, values) for name, option in step.options.items()}
                values[k] = apply(step, arguments, self.placed(options))
                if step.node is until:
                    return values[k]
                for place in step.ending:
                    values[place] = None
        raise AssertionError("a graph ends with its output")

    def placed(self, options: dict[str, Any]) -> dict[str, Any]:
        """Make new tensors on the device that is computed on, not on the one that was traced on."""
        return {**options, "device": self.device} if options.get("device") is not None else options

    def apply_rule(self, step: Step, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Apply the operation's rule if the input reaches it, else torch's own kernel."""
        is_lifted = any(type(argument) is Lifted for argument in args) or bool(lifted_among((args, kwargs)))
        if step.has_rule and is_lifted:
            try:
                return RULES[step.name].apply(*args, **kwargs)
            except (TypeError, AttributeError) as error:
                raise UnsupportedOperationError(
                    f"the complex-step rule of {step.name} does not cover this use of it: {error}. "
                    "Explain a part of the network without it, or widen the rule: see CONTRIBUTING.md."
                ) from error
        if is_lifted:  # sizes, and taking one of several results
            return self._apply_to_parts(step, args)
        return self.apply_native(step, args, kwargs)

    def _apply_to_parts(self, step: Step, args: Sequence[Any]) -> Any:
        found = RULES[step.name].apply(*args) if step.name in RULES else operator.getitem(*args)
        if isinstance(found, Poison) and step.node.users:
            user = next(iter(step.node.users))
            raise UnsupportedOperationError(
                f"{found.what} has no complex-step rule, and {user.target} uses it. Explain a part of the network "
                "without it, or write it out by means and squares."
            )
        return found

    def apply_native(self, step: Step, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run torch's own kernel, in the type that is computed in also where the traced code asks for another."""
        dtype = kwargs.get("dtype") if kwargs else None
        if isinstance(dtype, torch.dtype) and dtype.is_floating_point:
            kwargs = {**kwargs, "dtype": self.dtype}
        if step.name in _RESHAPING:  # what is computed here may lie in memory in another order than was traced
            return torch.reshape(args[0], args[1])
        return in_type(cast("Callable[..., Any]", step.node.target)(*args, **kwargs), self.dtype)


def resolved(argument: Any, values: list[Any]) -> Any:
    """Put in what other nodes gave."""
    kind = type(argument)
    if kind is Place:
        return values[argument.index]
    if kind in _PLAIN:
        return argument
    if issubclass(kind, list | tuple):
        return [resolved(inner, values) for inner in argument]
    if kind is slice:
        return slice(*(resolved(inner, values) for inner in (argument.start, argument.stop, argument.step)))
    return argument


def bind(
    graph: Graph, function: Function, dtype: torch.dtype, device: torch.device | str, *,
    differentiable: bool = False, is_for_checks: bool = False,
) -> Program:  # fmt: skip
    """Give a graph the present values of the function's weights, in a type and on a device.

    `differentiable` keeps their connection to the parameters, so that gradients reach them. A program that is run but
    a few times, `is_for_checks`, does not hold many weights in another type: each is converted when it is used.
    """
    modules = named_modules_of(function)
    values = {**{name: _weight(modules, path) for name, path in graph.weights.items()}, **graph.constants}
    if not differentiable:
        values = {name: value.detach() if isinstance(value, torch.Tensor) else value for name, value in values.items()}
    moved = {name: x.to(device) if isinstance(x, torch.Tensor) else x for name, x in values.items()}
    is_large = sum(x.numel() for x in moved.values() if isinstance(x, torch.Tensor)) > _MANY
    if is_large and is_for_checks:
        return Program(graph, moved, dtype, torch.device(device))
    moved = {name: in_type(x, dtype) for name, x in moved.items()}
    if dtype == torch.float32 and torch.device(device).type == "cpu" and not is_large:
        moved |= _channels_last(graph, moved)
    program = Program(graph, moved, dtype, torch.device(device))
    return replace(program, constants=_folded(program))


def _channels_last(graph: Graph, values: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the kernels with the channels last: all between them then is, which is faster."""
    kernels = [name for name in graph.kernels if name in values and values[name].ndim == 4]
    return {name: values[name].to(memory_format=torch.channels_last) for name in kernels}


def _folded(program: Program) -> dict[str, Any]:
    """Compute once what depends on constants alone."""
    known = dict(program.constants)
    values: list[Any] = [known.get(node.name) for node in program.graph.nodes]
    for k in program.graph.constant:
        step = program.graph.steps[k]
        options = {name: resolved(option, values) for name, option in step.options.items()}
        arguments = [resolved(argument, values) for argument in step.arguments]
        known[step.node.name] = values[k] = program.apply_native(step, arguments, program.placed(options))
    return known


def _weight(modules: dict[str, nn.Module], path: str) -> Any:
    first, _, rest = path.partition(".")
    return attribute_at(modules[first], rest)


def in_type(value: Any, dtype: torch.dtype) -> Any:
    """Convert floating-point tensors, also in tuples; anything else stays what it is."""
    if isinstance(value, torch.Tensor):
        return value if value.dtype == dtype or not value.is_floating_point() else value.to(dtype)
    return tuple(in_type(inner, dtype) for inner in value) if isinstance(value, tuple | list) else value
