"""The rule table and the kinds of rules that fill it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import OpOverload

from imagrad.complexstep.number import Lifted, imaginary_part, lifted_among, real_part
from imagrad.errors import UnsupportedOperationError
from imagrad.registry import Registry

Apply = Callable[..., Any]
"""Takes the operation's own arguments, some of them lifted, and returns what the operation returns, lifted."""

Gap = Callable[..., torch.Tensor]
"""Real arguments -> the distance of each element to the nearest kink of the operation, 0 exactly there."""


@dataclass(frozen=True)
class Rule:
    """How one ATen operation acts on lifted numbers."""

    apply: Apply
    kind: str
    summary: str
    """One line for `imagrad list rules`."""
    is_formula: bool = False
    """Complex arithmetic falls back on the derivative's formula, as the operation has no complex kernel: such a rule
    is checked by differences from outside only, and certificates name it."""
    gap: Gap | None = None


RULES: Registry[Rule] = Registry("rule")
"""By the name of the ATen overload, such as "aten.relu.default"."""


def add(operation: OpOverload, entry: Rule) -> None:
    """File a rule; a second one for the same operation is an error."""
    RULES.register(str(operation))(entry)


def rule(*operations: OpOverload, gap: Gap | None = None, is_formula: bool = False) -> Callable[[Apply], Apply]:
    """File a function, which takes lifted arguments, as the rule of the operations."""

    def file(apply: Apply) -> Apply:
        summary = (apply.__doc__ or "a rule of its own").split("\n", 1)[0]
        for operation in operations:
            add(operation, Rule(apply, "formula" if is_formula else "rule", summary, is_formula, gap))
        return apply

    return file


def linear(*operations: OpOverload) -> None:
    """Declare operations that are linear in their first argument: they act on each part alone."""
    for operation in operations:

        def both_parts(value: Lifted, *rest: Any, _operation: OpOverload = operation, **options: Any) -> Any:
            refuse_lifted(_operation, rest, options)
            options = floating(options, value.re.dtype)
            return parted(value, _operation(value.re, *rest, **options), _operation(value.im, *rest, **options))

        add(operation, Rule(both_parts, "linear", "Linear: acts on the real and on the imaginary part."))


def jointly_linear(*operations: OpOverload, numbers: tuple[int, ...] = (0, 1)) -> None:
    """Declare operations that are linear in several arguments at once, those at the positions `numbers`.

    One of these that is no lifted number, be it a tensor or a fill value, has the imaginary part 0.
    """
    for operation in operations:

        def both_parts(*arguments: Any, _operation: OpOverload = operation, **options: Any) -> Lifted:
            some = lifted_among(arguments)[0]
            others = [argument for k, argument in enumerate(arguments) if k not in numbers]
            refuse_lifted(_operation, others, options)
            im = [imaginary_part(x) if k in numbers else x for k, x in enumerate(arguments)]
            return some.of(_operation(*real_part(arguments), **options), _operation(*im, **options))

        add(operation, Rule(both_parts, "jointly linear", "Jointly linear: acts on all real and all imaginary parts."))


def bilinear(*operations: OpOverload) -> None:
    """Declare products: linear in the first argument and in the second."""
    for operation in operations:

        def product(left: Any, right: Any, *rest: Any, _operation: OpOverload = operation, **options: Any) -> Lifted:
            refuse_lifted(_operation, rest, options)

            def times(a: Any, b: Any) -> torch.Tensor:
                return _operation(a, b, *rest, **options)

            if not isinstance(right, Lifted):
                return left.of(times(left.re, right), times(left.im, right))
            if not isinstance(left, Lifted):
                return right.of(times(left, right.re), times(left, right.im))
            re = times(left.re, right.re)
            if left.arithmetic.is_complex:
                re = re - times(left.im, right.im)
            return left.of(re, times(left.re, right.im) + times(left.im, right.re))

        add(operation, Rule(product, "bilinear", "Bilinear: (a + ib)(c + id) = (ac - bd) + i(ad + bc)."))


def pointwise(operation: OpOverload, *partials: Apply, kernel: Apply | None = None, gap: Gap | None = None) -> None:
    """Declare a function applied number by number, by its derivatives and, if it has one, its complex kernel.

    `partials` are the derivatives with respect to the first arguments, each a function of (result, *arguments);
    `kernel` is the analytic continuation: a function of complex tensors. An operation made of pieces says by `gap`
    how far its kinks are, and its derivative at a kink is the one that autograd takes.
    """

    def apply(*arguments: Any, **options: Any) -> Lifted:
        refuse_lifted(operation, arguments[len(partials) :], options)
        first = lifted_among(arguments)[0]
        real = tuple(real_part(argument) for argument in arguments)
        value = operation(*real, **options)
        at = real
        if gap is not None and first.arithmetic.is_one_sided:
            at = _beside(arguments, real, gap(*real, **options) == 0)
        changes = [
            partial(value, *at, **options) * argument.im
            for partial, argument in zip(partials, arguments, strict=False)
            if isinstance(argument, Lifted)
        ]
        im = changes[0] if len(changes) == 1 else changes[0] + changes[1]
        if kernel is None or not first.arithmetic.is_complex:
            return first.of(value, im)
        z = kernel(*(x.as_complex() if isinstance(x, Lifted) else x for x in arguments), **options)
        return first.of(value.where(value.isnan(), z.real), z.imag.where(value.isfinite() & im.isfinite(), im))

    summary = "Piecewise: the piece is chosen by the real part." if gap else "Pointwise: by its derivative."
    if kernel is not None:
        summary = "Analytic: by its derivative, and as a function of complex numbers."
    add(operation, Rule(apply, "piecewise" if gap else "pointwise", summary, kernel is None and gap is None, gap))


def _beside(arguments: tuple[Any, ...], real: tuple[Any, ...], at_kink: torch.Tensor) -> tuple[Any, ...]:
    """Move the first lifted argument off its kink by the last bit, to the side that the imaginary part points to.

    Of two arguments that meet, the first moves as their difference does.
    """
    k = next(k for k, argument in enumerate(arguments) if isinstance(argument, Lifted))
    way = arguments[k].im
    for other in lifted_among(arguments[k + 1 :]):
        way = way - other.im
    beside = torch.nextafter(real[k], torch.full_like(way, torch.inf).copysign(way))
    moved = torch.where(at_kink & (way != 0), beside, real[k])
    return (*real[:k], moved, *real[k + 1 :])


def constant(*operations: OpOverload, gap: Gap | None = None) -> None:
    """Declare operations whose result has the derivative 0, or none, as it is no floating-point number."""
    for operation in operations:

        def real_only(*arguments: Any, _operation: OpOverload = operation, **options: Any) -> Any:
            dtype = options.get("dtype")
            if dtype is not None and dtype.is_floating_point:
                options = {**options, "dtype": lifted_among(arguments)[0].re.dtype}
            return _operation(*real_part(arguments), **options)

        add(operation, Rule(real_only, "constant", "Constant: its derivative is 0 wherever it has one.", gap=gap))


def parted(some: Lifted, re: Any, im: Any) -> Any:
    """Join real and imaginary results, of operations that return one tensor or several."""
    if isinstance(re, tuple | list):
        return [some.of(a, b) for a, b in zip(re, im, strict=True)]
    return some.of(re, im)


def refuse_lifted(operation: Any, *arguments: Any) -> None:
    """Raise `UnsupportedOperationError` when an argument that a rule takes for constant depends on the input."""
    if lifted_among(arguments):
        raise UnsupportedOperationError(
            f"the complex-step rule of {operation} does not cover this use of it: an argument that it takes for "
            "constant depends on the input. Explain a part of the network without it, or widen the rule: see "
            "CONTRIBUTING.md."
        )


def floating(options: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Put the type that is computed in for a floating-point `dtype` among an operation's options.

    In a narrower type the imaginary part would vanish; another kind of type has none, and is refused.
    """
    asked = options.get("dtype")
    if asked is None:
        return options
    if not asked.is_floating_point:
        raise UnsupportedOperationError(
            f"converting to {asked} has no complex-step rule: it loses the imaginary part. "
            "Explain the part of the network before it."
        )
    return {**options, "dtype": dtype}
