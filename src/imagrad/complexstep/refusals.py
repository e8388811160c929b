"""Why a function cannot be differentiated, in words: which operation, where it stands, what can be done."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import fx
from torch._ops import OpOverload

from imagrad.complexstep.functions import Function
from imagrad.complexstep.rules import RULES
from imagrad.errors import EncoderError, UnsupportedOperationError

PLAIN = (operator.getitem,)
"""What is no operation: taking one of several results."""

_DATA_DEPENDENT = ("data-dependent", "DataDependent", "GuardOnDataDependent", ".item()", "Could not guard")


def refuse_random(nodes: Sequence[fx.Node]) -> None:
    """Raise `EncoderError` for an operation that draws random numbers, wherever it stands."""
    for node in nodes:
        is_random = isinstance(node.target, OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags
        if is_random and str(node.target) not in RULES:  # one with a rule has a mode in which it draws nothing
            raise EncoderError(
                f"an encoder must not draw random numbers; this one does, by {node.target}{_place(node)}. "
                "Call .eval(), or explain the part before it: the mean of a variational encoder, say."
            )


def refuse_unsupported(reached: Sequence[fx.Node], function: Function) -> None:
    """Raise `UnsupportedOperationError` for the first operation that the input reaches and no rule covers."""
    for node in reached:
        is_operation = node.op == "call_function" and (str(node.target) in RULES or node.target in PLAIN)
        if node.op != "placeholder" and not is_operation:
            raise UnsupportedOperationError(
                f"the operation {node.target}{_place(node)} has no complex-step rule{source_line(node, function)}. "
                f"{len(RULES)} operations have one (`imagrad list rules`). Explain a part of the network without it, "
                "or add a rule, one to three lines: imagrad.complexstep.register_rule, see CONTRIBUTING.md."
            )


def why_not_traceable(error: Exception, function: Function) -> str:
    """Translate what torch.export raised."""
    told = str(error)
    if any(word in told for word in _DATA_DEPENDENT):
        return (
            "the network must compute the same operations whatever the values in its tensors are; it has a branch, "
            f"loop or size that depends on them{_user_line(told)}. Write the choice as torch.where, explain the part "
            "of the network before or after it, or, for attention with a mask, say is_causal=True or False."
        )
    return (
        f"the network must be traceable by torch.export, which refused it: {first_line(error)} "
        "Usual causes: .numpy(), .tolist() or another library inside, or a branch that depends on pixel values."
    )


def _user_line(told: str) -> str:
    frames = re.findall(r'File "([^"]+)", line (\d+), in .*\n\s*(.*)', told)
    theirs = [frame for frame in frames if not frame[0].startswith(_OURS)]
    return f" ({theirs[-1][0]}, line {theirs[-1][1]}: {theirs[-1][2]})" if theirs else ""


_OURS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


def _place(node: fx.Node) -> str:
    """Name the module that a node belongs to."""
    modules = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values() if path]
    path = re.sub(r"^module_\d+\.?", "", modules[-1]) if modules else ""
    return f" in the module {path}" if path else ""


def source_line(node: fx.Node, function: Function) -> str:
    """Quote the innermost line of the user's own code that led to the operation, as far as torch has kept it."""
    found = _user_line(node.meta.get("stack_trace") or "")
    code = getattr(function, "__code__", None)
    if found or code is None:
        return found
    return f" (in {code.co_name} of {code.co_filename}, line {code.co_firstlineno})"


def first_line(error: Exception) -> str:
    """Return the type of an error and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
