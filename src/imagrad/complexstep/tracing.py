"""From a function to a graph of ATen operations: by torch.export, or by running it once."""

from __future__ import annotations

import io
import logging
import operator
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from math import prod
from threading import RLock
from typing import Any, cast

import torch
from torch import fx
from torch._decomp import decomposition_table
from torch._ops import OpOverload
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from imagrad.collecting import uncollected
from imagrad.complexstep import refusals
from imagrad.complexstep.functions import Function, Output, Traced, attribute_at
from imagrad.complexstep.number import flat
from imagrad.complexstep.rules import RULES
from imagrad.errors import EncoderError, ExportError, ImagradError

_TYPE_ASSERTION = "aten._assert_tensor_metadata.default"  # of the types traced with; all is computed in one type here
_ONE_AT_A_TIME = RLock()  # torch.export, and what is switched off meanwhile, belong to the whole process
_CONVOLUTIONS = ("aten.convolution.default", "aten.conv2d.default")
_ROUNDS = 3  # a decomposition may itself need one


@dataclass(frozen=True)
class Place:
    """Where among the results an argument stands."""

    index: int


@dataclass(frozen=True)
class Step:
    """One node, ready to be run."""

    node: fx.Node
    name: str
    """Of the operation."""
    arguments: tuple[Any, ...]
    """With places for what other nodes give."""
    options: dict[str, Any]
    ending: tuple[int, ...]
    """The places of what is not needed after it."""
    has_rule: bool
    """Whether it is an operation on numbers that vary with what is differentiated."""


@dataclass(frozen=True)
class Graph:
    """The operations of a function in order, without the values of its weights."""

    nodes: tuple[fx.Node, ...]
    inputs: tuple[str, ...]
    """The placeholders of what it is called with: first what is differentiated, then what is held."""
    weights: dict[str, str]
    """Which parameter or buffer of the function's modules, by its dotted name, a placeholder stands for."""
    constants: dict[str, Any]
    """What the other placeholders and attributes stand for."""
    batch: int | None
    """The only size of the first axis that the graph is good for; None when it takes any."""
    recorded: dict[Any, Any] = field(default_factory=dict[Any, Any], compare=False, repr=False)
    """Straight-line programs made of it, by shape: see `recorded.py`."""
    derived: dict[Any, Any] = field(default_factory=dict[Any, Any], compare=False, repr=False)
    """What functions have found out about it and need not find out again, by function."""

    @cached_property
    def reached(self) -> dict[fx.Node, None]:
        """The nodes that use numbers that vary with what is differentiated, in order.

        Sizes, whole numbers and truth values do not vary with it but by jumps: what uses only these is not reached.
        """
        found: dict[fx.Node, None] = {}
        varying: set[fx.Node] = set()
        for node in self.nodes:
            is_input = node.name == self.inputs[0]
            uses = node.op == "call_function" and any(source in varying for source in node.all_input_nodes)
            if is_input or (uses and not isinstance(node.meta.get("val"), int | float | torch.SymInt)):
                found[node] = None
                if _is_floating(node.meta.get("val")):
                    varying.add(node)
        return found

    def after(self, node: fx.Node) -> Graph:
        """Return the same operations as a function of what one of them gives; it has no recordings as yet."""
        return replace(self, inputs=(node.name, *self.inputs[1:]), recorded={}, derived={})

    def once(self, find: Callable[[Graph], Any]) -> Any:
        """Return what a function finds out about the graph, asked but the first time."""
        if find not in self.derived:
            self.derived[find] = find(self)
        return self.derived[find]

    def parts(self, samples: int, numbers: int) -> list[slice]:
        """Cut a batch into equal parts whose largest tensor has so many numbers; of one batch size: not at all."""
        most = samples if self.batch is not None else max(1, numbers // max(self.sizes))
        at_once = equal_parts(samples, most)
        return [slice(begin, begin + at_once) for begin in range(0, samples, at_once)]

    @property
    def output_shape(self) -> torch.Size:
        """The shape of what it returns, for the examples that it was traced with."""
        found = self.nodes[-1].args[0]
        (result,) = found if isinstance(found, tuple | list) else (found,)
        return cast("fx.Node", result).meta["val"].shape

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The nodes as they are run, one after the other: what each takes, and what nobody needs after it."""
        places = {node: Place(k) for k, node in enumerate(self.nodes)}
        last = {source: node for node in self.nodes for source in node.all_input_nodes}
        ending: dict[fx.Node, list[int]] = {}
        for source, node in last.items():
            ending.setdefault(node, []).append(places[source].index)
        return tuple(self._step(node, places, tuple(ending.get(node, ()))) for node in self.nodes)

    def _step(self, node: fx.Node, places: dict[fx.Node, Place], ending: tuple[int, ...]) -> Step:
        arguments, options = _with_places((tuple(node.args), dict(node.kwargs)), places)
        has_rule = node in self.reached and node.target is not operator.getitem
        return Step(node, str(node.target), arguments, options, ending, has_rule)

    @cached_property
    def constant(self) -> tuple[int, ...]:
        """The places of what depends on weights and constants alone."""
        known, found = {*self.weights, *self.constants}, list[int]()
        for k, node in enumerate(self.nodes):
            ready = node.op == "call_function" and all(source.name in known for source in node.all_input_nodes)
            if ready and not isinstance(node.meta.get("val"), torch.SymInt):
                known.add(node.name)
                found.append(k)
        return tuple(found)

    @cached_property
    def kernels(self) -> tuple[str, ...]:
        """The names of what two-dimensional convolutions, or others, multiply with."""
        found = {cast("fx.Node", node.args[1]).name for node in self.nodes if str(node.target) in _CONVOLUTIONS}
        return tuple(sorted(found))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The number of elements of each tensor that the input reaches, of a batch of one where it takes any."""
        values = flat([node.meta.get("val") for node in self.reached])
        shapes = [value.shape for value in values if isinstance(value, torch.Tensor)]
        return tuple(prod(1 if isinstance(size, torch.SymInt) else size for size in shape) for shape in shapes) or (1,)


def equal_parts(samples: int, most: int) -> int:
    """Return how many samples to take at a time, at most so many, but as many each time."""
    return -(-samples // -(-samples // most))


def _with_places(arguments: Any, places: dict[fx.Node, Place]) -> Any:
    """Put places where nodes stand, also in lists and slices."""
    return fx.map_arg(arguments, cast("Any", places.__getitem__))


def _is_floating(value: Any) -> bool:
    """Say whether a node's value, or one of several, is made of real or complex numbers."""
    tensors = [x for x in flat(value) if isinstance(x, torch.Tensor)]
    return any(x.is_floating_point() or x.is_complex() for x in tensors)


def export(function: Function, examples: Sequence[torch.Tensor], *, batched: bool, output: Output = None) -> Graph:
    """Trace `function` by `torch.export` into a graph that takes tensors shaped like the `examples`.

    `batched` says that first axes count independent samples: the graph then takes any number, if it can.
    The function and its modules are not changed. Raises `ExportError`, `UnsupportedOperationError`, or `EncoderError`
    for a function that returns anything but one tensor, changes its state, or draws random numbers.
    """
    examples = [example.detach().contiguous() for example in examples]
    if batched:
        several = [x if len(x) > 1 else torch.cat([x, x]) for x in examples]  # a size of 1 would be taken literally
        try:
            graph = _export(function, several, output, dynamic=True)
        except ExportError:  # a network of one batch size may refuse any other
            return _export(function, examples, output, dynamic=False)
        if graph.batch is None:
            return graph
    return _export(function, examples, output, dynamic=False)


def record(function: Function, examples: Sequence[torch.Tensor]) -> Graph:
    """Trace `function` by running it once: quicker than `export`, for the shapes of the `examples` alone."""
    table = {op: rewrite for name, op, rewrite in _pure_rewrites(len(decomposition_table)) if name not in RULES}
    examples = [example.detach() for example in examples]
    try:
        with quiet(), torch.no_grad():
            module = make_fx(function, decomposition_table=table)(*examples)
            if any(_is_in_place(node.target) for node in module.graph.nodes):
                module = make_fx(torch.func.functionalize(module), decomposition_table=table)(*examples)
    except Exception as error:  # make_fx raises what the traced code raises
        raise ExportError(refusals.why_not_traceable(error, function)) from error
    nodes = tuple(module.graph.nodes)
    if any(_is_in_place(node.target) for node in nodes):
        raise EncoderError(
            "an encoder must not change its state while it runs; this one writes to a tensor it is given."
        )
    names = tuple(node.name for node in nodes if node.op == "placeholder")
    constants = {node.name: attribute_at(module, str(node.target)) for node in nodes if node.op == "get_attr"}
    graph = Graph(nodes, names, {}, constants, (*examples[0].shape, 1)[0])
    refusals.refuse_random(graph.nodes)
    refusals.refuse_unsupported(list(graph.reached), function)
    return graph


@cache
def _pure_rewrites(count: int) -> tuple[tuple[str, Any, Callable[..., Any]], ...]:
    """List the operations that torch's table, as long as `count`, takes apart, but for those in place: by name."""
    return tuple((str(op), op, rewrite) for op, rewrite in decomposition_table.items() if not _is_in_place(op))


def _is_in_place(operation: Any) -> bool:
    return isinstance(operation, OpOverload) and operation._schema.is_mutable  # pyright: ignore[reportPrivateUsage]  # no other way


def _export(function: Function, examples: list[torch.Tensor], output: Output, *, dynamic: bool) -> Graph:
    first = {0: torch.export.Dim.AUTO}
    held = (tuple(first for _ in examples[1:]),) if len(examples) > 1 else ()
    shapes = (first, *held) if dynamic else None
    try:
        with _ONE_AT_A_TIME, uncollected(), quiet(), _plain_attention(), torch.no_grad():
            exported = torch.export.export(Traced(function, output), tuple(examples), dynamic_shapes=shapes)
            exported = _decomposed(exported)
    except ImagradError:
        raise
    except Exception as error:  # export raises what the traced code and its own passes raise
        raise ExportError(refusals.why_not_traceable(error, function)) from error
    _check_signature(exported)
    inputs = cast("tuple[str, ...]", exported.graph_signature.user_inputs)
    nodes = _weights_late(tuple(node for node in exported.graph.nodes if str(node.target) != _TYPE_ASSERTION), inputs)
    batch = None if dynamic and _takes_any_number(nodes, inputs[0]) else (*examples[0].shape, 1)[0]
    graph = Graph(nodes, tuple(inputs), *_weights(exported), batch)
    refusals.refuse_random(graph.nodes)
    refusals.refuse_unsupported(list(graph.reached), function)
    return graph


def _decomposed(exported: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Take apart every operation that has no rule, as far as torch knows of what; one with a rule stays whole."""
    if all(map(_is_settled, exported.graph.nodes)):  # to take nothing apart would be most of the work
        return exported
    composite = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")  # pyright: ignore[reportPrivateUsage]  # no other way
    rewrites = _rewrites(len(composite))
    table = {operation: rewrite for operation, rewrite in rewrites.items() if str(operation) not in RULES}
    exported = exported.run_decompositions(table)
    for _ in range(_ROUNDS):
        targets = {node.target for node in exported.graph.nodes if isinstance(node.target, OpOverload)}
        known: dict[Any, Callable[..., Any]] = {
            target: decomposition_table[target]
            for target in targets
            if str(target) not in RULES and target in decomposition_table
        }
        if not known:
            break
        exported = exported.run_decompositions(known)
    return exported


def _is_settled(node: fx.Node) -> bool:
    """Say whether a node may stay as it is: an operation with a rule, which writes to no tensor."""
    if node.op in ("placeholder", "output"):
        return True
    name = str(node.target)
    has_rule = name in RULES and not _is_in_place(node.target)
    return node.op == "call_function" and (has_rule or name == _TYPE_ASSERTION or node.target is operator.getitem)


@cache
def _rewrites(composite: int) -> dict[Any, Callable[..., Any]]:
    """Return how torch takes operations apart by itself; a fifth of a trace went into finding it out.

    Good for as many composite operations as there are: a library may add its own later.
    """
    return dict(torch.export.default_decompositions().items())


def _weights_late(nodes: tuple[fx.Node, ...], inputs: Sequence[str]) -> tuple[fx.Node, ...]:
    """Move each weight to before the operation that is the first to use it; leave out what none uses."""
    waiting = {node for node in nodes if node.op == "placeholder" and node.name not in inputs}
    found: dict[fx.Node, None] = {}
    for node in nodes:
        if node not in waiting:
            found.update(dict.fromkeys((*(source for source in node.all_input_nodes if source in waiting), node)))
    return tuple(found)


def _takes_any_number(nodes: tuple[fx.Node, ...], name: str) -> bool:
    """Say whether the first axis stayed open from the input to the output."""
    (output,) = cast("tuple[fx.Node]", nodes[-1].args[0])
    values = [next(node for node in nodes if node.name == name).meta["val"], output.meta["val"]]
    return all(value.ndim > 0 and isinstance(value.shape[0], torch.SymInt) for value in values)


def _check_signature(exported: torch.export.ExportedProgram) -> None:
    """Raise `EncoderError` unless the function leaves its own state alone."""
    mutated = exported.graph_signature.buffers_to_mutate  # never the input: the function works on a copy of it
    if mutated:
        names = ", ".join(name.split(".", 1)[-1] for name in mutated.values())
        raise EncoderError(
            f"an encoder must not change its state while it runs; this one writes to {names}. Call .eval() first."
        )


def _weights(exported: torch.export.ExportedProgram) -> tuple[dict[str, str], dict[str, Any]]:
    """Return where the placeholders other than the inputs have their values from: by name, or the values themselves."""
    signature = exported.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    constants = {
        name: exported.constants[source] for name, source in signature.inputs_to_lifted_tensor_constants.items()
    }
    return dict(names), constants


@contextmanager
def _plain_attention() -> Generator[None]:
    """Have attention written out as products and a softmax, not as a kernel of its own."""
    backend: Any = torch.backends.mha
    fast = backend.get_fastpath_enabled()
    backend.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        backend.set_fastpath_enabled(fast)


@contextmanager
def quiet() -> Generator[None]:
    """Keep torch's own warnings and graph dumps to itself: what export refuses is told by our error."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
