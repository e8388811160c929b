"""The rule table and the kinds of rules that fill it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

from imagrad.complexstep.number import Lifted, imaginary_part, lifted, real_part
from imagrad.errors import UnsupportedOperationError
from imagrad.registry import Registry

Rule = Callable[..., Any]
"""Takes the operation's own arguments, some of them lifted, and returns what the operation returns, lifted."""

RULES: Registry[Rule] = Registry("rule")
"""By the name of the ATen overload, such as "aten.relu.default"."""

KINKS: dict[str, Callable[..., torch.Tensor]] = {}
"""For operations with a kink: real arguments -> a boolean tensor, True where one is hit exactly."""


def rule(operation: OpOverload) -> Callable[[Rule], Rule]:
    """File a function as the rule of `operation`."""
    return RULES.register(str(operation))


def linear(*operations: OpOverload) -> None:
    """Declare operations that are linear in their first argument: they act on each part alone."""
    for operation in operations:

        def both_parts(value: Lifted, *rest: Any, _operation: OpOverload = operation, **options: Any) -> Lifted:
            options = in_float64(options)
            return Lifted(_operation(value.re, *rest, **options), _operation(value.im, *rest, **options))

        both_parts.__doc__ = "Linear: acts on the real and on the imaginary part."
        rule(operation)(both_parts)


def jointly_linear(*operations: OpOverload) -> None:
    """Declare operations that are linear in both arguments at once; a plain one has the imaginary part 0."""
    for operation in operations:

        def both_parts(left: Any, right: Any, _operation: OpOverload = operation, **options: Any) -> Lifted:
            re = _operation(real_part(left), real_part(right), **options)
            return Lifted(re, _operation(imaginary_part(left), imaginary_part(right), **options))

        both_parts.__doc__ = "Jointly linear: acts on all real parts and on all imaginary parts."
        rule(operation)(both_parts)


def bilinear(*operations: OpOverload) -> None:
    """Declare products: linear in the first argument and in the second."""
    for operation in operations:

        def product(left: Any, right: Any, _operation: OpOverload = operation) -> Lifted:
            if isinstance(left, Lifted) and isinstance(right, Lifted):
                re = _operation(left.re, right.re) - _operation(left.im, right.im)
                return Lifted(re, _operation(left.re, right.im) + _operation(left.im, right.re))
            a, b = (left.re, left.im) if isinstance(left, Lifted) else (left, left)
            c, d = (right.re, right.im) if isinstance(right, Lifted) else (right, right)
            return Lifted(_operation(a, c), _operation(b, d))

        product.__doc__ = "Bilinear: (a + ib)(c + id) = (ac - bd) + i(ad + bc)."
        rule(operation)(product)


def in_float64(options: dict[str, Any]) -> dict[str, Any]:
    """Drop a floating-point `dtype` among an operation's options: everything is computed in float64.

    In a narrower type the imaginary part would vanish; another kind of type has none, and is refused.
    """
    dtype = options.get("dtype")
    if dtype is not None and not dtype.is_floating_point:
        raise UnsupportedOperationError(
            f"converting to {dtype} has no complex-step rule: it loses the imaginary part. "
            "Explain the part of the network before it."
        )
    return {name: value for name, value in options.items() if name != "dtype"}


def analytic(operation: OpOverload, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Declare an operation whose `function` of a complex tensor is its analytic continuation."""

    def continued(value: Lifted) -> Lifted:
        return lifted(function(value.as_complex()))

    continued.__doc__ = "Analytic: the function itself, of a complex number."
    rule(operation)(continued)


def piecewise(operation: OpOverload, slope: Callable[..., torch.Tensor], kink: Callable[..., torch.Tensor]) -> None:
    """Declare an operation made of straight pieces, chosen by the real part.

    `slope` gives the piece's slope, and at a kink the one that autograd takes; `kink` says where there is one.
    """
    KINKS[str(operation)] = kink

    def by_real_part(value: Lifted, *rest: Any) -> Lifted:
        return Lifted(operation(value.re, *rest), slope(value.re, *rest) * value.im)

    by_real_part.__doc__ = "Piecewise linear: the piece is chosen by the real part."
    rule(operation)(by_real_part)
