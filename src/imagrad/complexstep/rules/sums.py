"""Rules of sums, differences and averages: all linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from imagrad.complexstep.number import Lifted, lifted_among, real_part
from imagrad.complexstep.rules.table import Rule, add, floating, jointly_linear, linear, rule

aten = torch.ops.aten

linear(aten.neg.default, aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim)
linear(aten.cumsum.default)
jointly_linear(aten.lerp.Scalar)


@rule(aten.nansum.default)
def sum_of_numbers(value: Lifted, axes: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Lifted:
    """Sum what is a number."""
    floating({"dtype": dtype}, value.re.dtype)
    im = value.im.masked_fill(value.re.isnan(), 0)
    return value.of(aten.nansum.default(value.re, axes, keepdim), aten.sum.dim_IntList(im, axes, keepdim))


def _combination(operation: Any, coefficients: Callable[[Any], tuple[Any, Any]]) -> None:
    """File the rule of a left + b right; `coefficients` gives (a, b) for the operation's `alpha`."""

    def apply(left: Any, right: Any, alpha: Any = 1) -> Lifted:
        terms = [
            term.im if factor == 1 else factor * term.im
            for factor, term in zip(coefficients(alpha), (left, right), strict=True)
            if isinstance(term, Lifted)
        ]
        value = operation(real_part(left), real_part(right), alpha=alpha)
        return lifted_among((left, right))[0].of(value, sum(terms[1:], start=terms[0]))

    add(operation, Rule(apply, "jointly linear", "Linear: a left + b right, of each part."))


_combination(aten.add.Tensor, lambda alpha: (1, alpha))
_combination(aten.add.Scalar, lambda alpha: (1, alpha))
_combination(aten.sub.Tensor, lambda alpha: (1, -alpha))
_combination(aten.sub.Scalar, lambda alpha: (1, -alpha))
_combination(aten.rsub.Tensor, lambda alpha: (-alpha, 1))
_combination(aten.rsub.Scalar, lambda alpha: (-alpha, 1))
