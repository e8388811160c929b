"""A torch function or network as a graph of ATen operations, run on lifted numbers."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, cast

import torch
from torch import fx, nn
from torch._ops import OpOverload

from imagrad.complexstep.number import Lifted, has_lifted
from imagrad.complexstep.rules import KINKS, RULES
from imagrad.errors import EncoderError, ExportError, UnsupportedOperationError

_TYPE_ASSERTION = "aten._assert_tensor_metadata.default"  # of the types traced with; everything runs in float64 here

Function = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Program:
    """A function of one tensor as operations in order, with its constants in float64."""

    nodes: tuple[fx.Node, ...]
    constants: dict[str, Any]
    """What the placeholders other than the input stand for: parameters, buffers, captured tensors."""
    input: str
    batch: int | None
    """The only size of the first axis that the program is good for; None when it takes any."""

    def run(self, point: Lifted) -> Lifted:
        """Run it in complex arithmetic."""
        output = self._interpret(point, _apply_rule)
        if isinstance(output, Lifted):
            return output
        return Lifted(output, torch.zeros_like(output))  # a constant: it does not depend on the input

    def run_real(self, point: torch.Tensor) -> tuple[torch.Tensor, Counter[str]]:
        """Run it in real arithmetic by torch's own kernels; also count the kinks hit exactly, by operation."""
        ties: Counter[str] = Counter()

        def apply(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            kink = KINKS.get(str(node.target))
            if kink is not None:
                ties[str(node.target)] += int(kink(*args, **kwargs).sum())
            return _apply_native(node, args, kwargs)

        return self._interpret(point, apply), +ties

    def to(self, device: torch.device) -> Program:
        """Return it with its constants on the device."""
        moved = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in self.constants.items()}
        return Program(self.nodes, moved, self.input, self.batch)

    def _interpret(self, point: Any, apply: Callable[[fx.Node, tuple[Any, ...], dict[str, Any]], Any]) -> Any:
        values: dict[fx.Node, Any] = {}
        for node in self.nodes:
            if node.op == "placeholder":
                values[node] = point if node.name == self.input else self.constants[node.name]
            elif node.op == "output":
                (result,) = cast("tuple[fx.Node]", node.args[0])
                return values[result]
            else:
                args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), values.__getitem__)
                values[node] = apply(node, args, kwargs)
        raise AssertionError("a graph ends with its output")

    @cached_property
    def largest_activation(self) -> int:
        """The number of elements of the largest tensor that it computes, for a batch of one where it takes any."""
        values = [node.meta.get("val") for node in self.reached]
        shapes = [value.shape for value in values if isinstance(value, torch.Tensor)]
        return max(prod(1 if isinstance(size, torch.SymInt) else size for size in shape) for shape in shapes)

    @cached_property
    def reached(self) -> list[fx.Node]:
        """The nodes whose value depends on the input's, not on its shape alone, in order."""
        found: dict[fx.Node, None] = {}
        for node in self.nodes:
            is_input = node.op == "placeholder" and node.name == self.input
            is_number = node.op == "call_function" and not isinstance(node.meta.get("val"), int | float | torch.SymInt)
            if is_input or (is_number and any(source in found for source in node.all_input_nodes)):
                found[node] = None
        return list(found)


def export(function: Function, example: torch.Tensor, *, batched: bool) -> Program:
    """Turn `function` into a program that takes tensors shaped like `example`.

    `batched` says that the first axis counts independent samples: the program then takes any number, if it can.
    The function and its module are not changed. Raises `ExportError`, `UnsupportedOperationError`, or `EncoderError`
    for a function that returns anything but one tensor.
    """
    example = example.detach().contiguous()
    if batched:
        sample = example if len(example) > 1 else torch.cat([example, example])  # a size of 1 would be taken literally
        program = _export(function, sample, dynamic=True)
        if program.batch is None:
            return program
    return _export(function, example, dynamic=False)


def _export(function: Function, example: torch.Tensor, *, dynamic: bool) -> Program:
    shapes = ({0: torch.export.Dim.AUTO},) if dynamic else None
    try:
        with _quiet(), torch.no_grad():
            exported = torch.export.export(_Traced(function), (example,), dynamic_shapes=shapes).run_decompositions()
    except Exception as error:  # export raises what the traced code and its own passes raise
        raise ExportError(
            "the network must be traceable by torch.export, which refused it: "
            f"{_first_line(error)} "
            "Usual causes: a branch or loop that depends on pixel values, .item(), or numpy inside."
        ) from error
    _check_signature(exported)
    nodes = tuple(node for node in exported.graph.nodes if str(node.target) != _TYPE_ASSERTION)
    (name,) = cast("tuple[str]", exported.graph_signature.user_inputs)
    batch = None if dynamic and _takes_any_number(nodes, name) else (*example.shape, 1)[0]
    program = Program(nodes, _constants(exported), name, batch)
    _refuse_random(program)
    _refuse_unsupported(program, function)
    return program


class _Traced(nn.Module):
    """What export takes: a module. A network behind a bound method is registered, so that its weights are found."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self._function = function
        owner = getattr(function, "__self__", None)
        if isinstance(owner, nn.Module):
            self._owner = owner
        self.train(owner.training if isinstance(owner, nn.Module) else getattr(function, "training", False))

    def forward(self, point: torch.Tensor) -> torch.Tensor:
        return self._function(point.clone())  # a function that works in place may, on the copy

    def train(self, mode: bool = True) -> _Traced:
        """Set the flag of the wrapper alone: the user's network keeps its mode."""
        self.training = mode
        return self


def _takes_any_number(nodes: tuple[fx.Node, ...], name: str) -> bool:
    """Say whether the first axis stayed open from the input to the output."""
    (output,) = cast("tuple[fx.Node]", nodes[-1].args[0])
    values = [next(node for node in nodes if node.name == name).meta["val"], output.meta["val"]]
    return all(value.ndim > 0 and isinstance(value.shape[0], torch.SymInt) for value in values)


def _check_signature(exported: torch.export.ExportedProgram) -> None:
    """Raise `EncoderError` unless the function returns one tensor and leaves its own state alone."""
    outputs = exported.graph_signature.user_outputs
    spec = exported.call_spec.out_spec
    if len(outputs) != 1 or spec is None or not spec.is_leaf():
        raise EncoderError(
            f"an encoder must return one tensor of codes, (n, q); this one returns {len(outputs)} values. "
            "Pick one: saliency(lambda images: encoder(images)[0], images)."
        )
    mutated = exported.graph_signature.buffers_to_mutate  # never the input: the function works on a copy of it
    if mutated:
        raise EncoderError(
            f"an encoder must not change its state while it runs; this one writes to {', '.join(mutated.values())}. "
            "Call encoder.eval() first."
        )


def _constants(exported: torch.export.ExportedProgram) -> dict[str, Any]:
    """Return what each placeholder other than the input stands for, floating-point tensors in float64."""
    signature = exported.graph_signature
    sources = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    values: dict[str, Any] = {}
    for name, source in sources.items():
        values[name] = exported.state_dict[source] if source in exported.state_dict else exported.constants[source]
    for name, source in signature.inputs_to_lifted_tensor_constants.items():
        values[name] = exported.constants[source]
    return {name: _in_double(value) for name, value in values.items()}


def _in_double(value: Any) -> Any:
    """Copy a floating-point tensor to float64; anything else stays what it is."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().to(torch.float64)
    return value


def _apply_rule(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Apply the operation's rule if the input reaches it, else torch's own kernel."""
    if not has_lifted(*_flat((args, kwargs))):
        return _apply_native(node, args, kwargs)
    try:
        return RULES[str(node.target)](*args, **kwargs)
    except (TypeError, AttributeError) as error:
        raise UnsupportedOperationError(
            f"the complex-step rule of {node.target} does not cover this use of it: {error}. "
            "Explain a part of the network without it, or widen the rule: see CONTRIBUTING.md."
        ) from error


def _apply_native(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run torch's own kernel in float64, also where the traced code asks for a narrower type."""
    dtype = kwargs.get("dtype")
    if isinstance(dtype, torch.dtype) and dtype.is_floating_point:
        kwargs = {**kwargs, "dtype": torch.float64}
    return _in_double(cast("Callable[..., Any]", node.target)(*args, **kwargs))


def _flat(values: Any) -> list[Any]:
    """List what is in nested tuples, lists and dicts."""
    if isinstance(values, dict):
        values = list(values.values())
    return [x for value in values for x in _flat(value)] if isinstance(values, tuple | list) else [values]


def _refuse_random(program: Program) -> None:
    """Raise `EncoderError` for an operation that draws random numbers, wherever it stands."""
    for node in program.nodes:
        if isinstance(node.target, OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags:
            raise EncoderError(
                f"an encoder must not draw random numbers; this one does, by {node.target}. "
                "Call .eval(), or explain the part before it: the mean of a variational encoder, say."
            )


def _refuse_unsupported(program: Program, function: Function) -> None:
    """Raise `UnsupportedOperationError` for the first operation that the input reaches and no rule covers."""
    for node in program.reached:
        is_operation = node.op == "call_function" and isinstance(node.target, OpOverload)
        if node.op != "placeholder" and not (is_operation and str(node.target) in RULES):
            raise UnsupportedOperationError(_unsupported(node, function))


def _unsupported(node: fx.Node, function: Function) -> str:
    """Say which operation has no rule, where it stands, and what can be done."""
    modules = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values() if path]
    where = f" in the module {modules[-1].removeprefix('_owner.').removeprefix('_function.')}" if modules else ""
    return (
        f"the operation {node.target}{where} has no complex-step rule{_source_line(node, function)}. "
        f"{len(RULES)} operations have one (`imagrad list rules`). Explain a part of the network without it, "
        "or add a rule: one to three lines, see CONTRIBUTING.md."
    )


def _source_line(node: fx.Node, function: Function) -> str:
    """Quote the innermost line of the user's own code that led to the operation, as far as torch has kept it."""
    frames = re.findall(r'File "([^"]+)", line (\d+), in .*\n\s*(.*)', node.meta.get("stack_trace") or "")
    ours = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
    theirs = [frame for frame in frames if not frame[0].startswith(ours)]
    if theirs:
        return f" ({theirs[-1][0]}, line {theirs[-1][1]}: {theirs[-1][2]})"
    code = getattr(function, "__code__", None)
    return f" (in {code.co_name} of {code.co_filename}, line {code.co_firstlineno})" if code is not None else ""


@contextmanager
def _quiet() -> Generator[None]:
    """Keep torch's own warnings and graph dumps to itself: what export refuses is told by our error."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
