"""Rules of one's own: how a user files them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast, overload

from torch._ops import OpOverload, OpOverloadPacket

from imagrad.complexstep.rules.table import RULES, Apply, Gap, pointwise, rule
from imagrad.complexstep.rules.table import linear as file_linear
from imagrad.errors import InputError


@overload
def register_rule(operation: Any, *, gap: Gap | None = None) -> Callable[[Apply], Apply]: ...
@overload
def register_rule(operation: Any, *, linear: bool, gap: Gap | None = None) -> None: ...
@overload
def register_rule(
    operation: Any, *, derivative: Apply | Sequence[Apply], kernel: Apply | None = None, gap: Gap | None = None
) -> None: ...


def register_rule(
    operation: Any, *, linear: bool = False, derivative: Apply | Sequence[Apply] | None = None,
    kernel: Apply | None = None, gap: Gap | None = None,
) -> Callable[[Apply], Apply] | None:  # fmt: skip
    """File the complex-step rule of an operation: an ATen overload, or one made by `torch.library.custom_op`.

    Parameters
    ----------
    linear
        The operation is linear in its first argument; nothing else is needed. engine="transpose" works if torch can
        transpose it: ATen's own, not a custom one, whose rule is better written out in torch operations.
    derivative
        The operation acts number by number, and this is its derivative: a function of (result, *arguments) in torch
        operations, or one for each argument that may depend on the input.
    kernel
        Its analytic continuation, a function of complex tensors, for engine="complex"; else that takes the derivative.
    gap
        How far each element is from the nearest kink, 0 at one: a function of the real arguments.

    With neither `linear` nor `derivative` it is a decorator of the rule itself: a function that takes the operation's
    arguments, some of them `Lifted`, and returns what the operation returns. Check a new rule by `check_rule`.
    Raises `InputError` for what is no operation, and for one that has a rule already.

    ::

        @torch.library.custom_op("mine::cube", mutates_args=())
        def cube(x: torch.Tensor) -> torch.Tensor:
            return x**3

        register_rule(cube, derivative=lambda y, x: 3 * x**2)
        check_rule(cube, torch.tensor([1.0, -2.0]))
    """
    found = overload_of(operation)
    if str(found) in RULES:
        raise InputError(f"`operation` must be one without a rule; {found} has one: {RULES[str(found)].summary}")
    if linear and (derivative is not None or gap is not None):
        raise InputError("`linear` says all of a rule; give neither `derivative` nor `gap` beside it.")
    if kernel is not None and derivative is None:
        raise InputError("`kernel` continues a `derivative`; give both, or neither.")
    if linear:
        return file_linear(found)
    if derivative is None:
        return rule(found, gap=gap)
    partials = cast("tuple[Apply, ...]", (derivative,) if callable(derivative) else tuple(derivative))
    return pointwise(found, *partials, kernel=kernel, gap=gap)


def overload_of(operation: Any) -> OpOverload:
    """Return the overload that is meant; raise `InputError` when that is not one."""
    operation = getattr(operation, "_opoverload", operation)  # of a torch.library.custom_op
    if isinstance(operation, OpOverloadPacket):
        names = operation.overloads()
        if len(names) != 1:
            raise InputError(f"`operation` must be one overload; {operation} has {', '.join(names)}. Write, say, "
                             f"torch.ops.{operation}.{names[0]}.")  # fmt: skip
        operation = getattr(operation, names[0])
    if not isinstance(operation, OpOverload):
        raise InputError(
            f"`operation` must be one of torch.ops, such as torch.ops.aten.tanh.default, or a custom operation; got "
            f"{operation!r}."
        )
    return operation
