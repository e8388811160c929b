"""Rules of products: elementwise, matrices, convolutions; and what is made of them."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch

from imagrad.complexstep.number import Lifted, lifted_among, real_part
from imagrad.complexstep.rules.table import RULES, bilinear, rule

aten = torch.ops.aten

bilinear(aten.mul.Tensor, aten.mul.Scalar, aten.mm.default, aten.bmm.default, aten.mv.default, aten.dot.default)
bilinear(aten.matmul.default, aten.linalg_cross.default, aten.outer.default, aten.kron.default, aten.inner.default)


def times(left: Any, right: Any) -> Any:
    """Multiply lifted or plain values, number by number."""
    return RULES["aten.mul.Tensor"].apply(left, right) if lifted_among((left, right)) else left * right


def plus(left: Any, right: Any) -> Any:
    """Add lifted or plain values."""
    if not lifted_among((left, right)):
        return left + right
    first, second = (left, right) if isinstance(left, Lifted | torch.Tensor) else (right, left)
    return RULES["aten.add.Tensor"].apply(first, second)


def matrix_product(left: Any, right: Any, operation: Any = aten.matmul.default) -> Any:
    """Multiply lifted or plain matrices; `operation` may be a function of both kinds."""
    of_lifted = lifted_among((left, right)) and str(operation) in RULES
    return RULES[str(operation)].apply(left, right) if of_lifted else operation(left, right)


def inverse(value: Lifted) -> Lifted:
    """1 / value."""
    return RULES["aten.reciprocal.default"].apply(value)


# --- products and sums at once ---
@rule(aten.linear.default)
def linear_layer(values: Any, weight: Any, bias: Any = None) -> Lifted:
    """Multiply by the transposed weights, then add the bias."""
    if isinstance(values, Lifted) and not lifted_among((weight, bias)):
        return values.of(aten.linear.default(values.re, weight, bias), aten.linear.default(values.im, weight))
    if isinstance(weight, Lifted):
        weight = weight.of(weight.re.t(), weight.im.t())  # also of a vector, which that leaves alone
    else:
        weight = weight.t()
    product = matrix_product(values, weight)
    return product if bias is None else plus(product, bias)


def _added_product(operation: Any, product: Any) -> None:
    """File the rule of beta offset + alpha left right; with beta 0 the offset does not count, whatever it is."""

    def apply(offset: Any, left: Any, right: Any, *, beta: Any = 1, alpha: Any = 1) -> Lifted:
        result = times(matrix_product(left, right, product), alpha)
        if beta == 0:
            re = operation(real_part(offset), real_part(left), real_part(right), beta=0, alpha=alpha)
            some = lifted_among((offset, left, right))[0]
            return some.of(re, result.im if isinstance(result, Lifted) else torch.zeros_like(re))
        return plus(times(offset, beta), result)

    apply.__doc__ = "Multiply, then add: beta offset + alpha left right."
    rule(operation)(apply)


_added_product(aten.addmm.default, aten.mm.default)
_added_product(aten.baddbmm.default, aten.bmm.default)
_added_product(aten.addmv.default, aten.mv.default)
_added_product(aten.addr.default, aten.outer.default)


def summed_products(left: Any, right: Any) -> Any:
    """Multiply matrices, sum them."""
    product = matrix_product(left, right, aten.bmm.default)
    return RULES["aten.sum.dim_IntList"].apply(product, [0]) if isinstance(product, Lifted) else product.sum(0)


_added_product(aten.addbmm.default, summed_products)


@rule(aten._trilinear.default)
def trilinear(first: Any, second: Any, third: Any, *places: Any) -> Lifted:
    """Multiply three tensors, each with new axes, number by number; sum over some axes."""
    *expanded, summed = places[:4]
    factors = [_with_axes(x, axes) for x, axes in zip((first, second, third), expanded, strict=True)]
    return RULES["aten.sum.dim_IntList"].apply(times(times(factors[0], factors[2]), factors[1]), summed)


def _with_axes(value: Any, axes: list[int]) -> Any:
    for axis in sorted(axes):
        value = (
            RULES["aten.unsqueeze.default"].apply(value, axis) if isinstance(value, Lifted) else value.unsqueeze(axis)
        )
    return value


@rule(aten.addcmul.default)
def addcmul(offset: Any, left: Any, right: Any, *, value: Any = 1) -> Lifted:
    """Multiply number by number, then add: offset + value left right."""
    return plus(offset, times(times(left, right), value))


@rule(aten.addcdiv.default)
def addcdiv(offset: Any, left: Any, right: Any, *, value: Any = 1) -> Lifted:
    """Divide number by number, then add: offset + value left / right."""
    return plus(offset, times(divided(left, right), value))


@rule(aten.lerp.Tensor)
def lerp(start: Any, end: Any, weight: Any) -> Lifted:
    """Interpolate: start + weight (end - start)."""
    return plus(start, times(weight, plus(end, times(start, -1.0))))


@rule(aten.square.default)
def square(value: Lifted) -> Lifted:
    """Multiply by itself."""
    return times(value, value)


# --- quotients ---
@rule(aten.div.Tensor, aten.div.Scalar, aten.true_divide.Tensor)
def divide(left: Any, right: Any) -> Lifted:
    """Divide: part by part by a real number, else as complex numbers."""
    if not isinstance(right, Lifted):
        return left.of(left.re / right, left.im / right)
    value: torch.Tensor = real_part(left) / right.re
    if right.arithmetic.is_complex:
        numerator = left.as_complex() if isinstance(left, Lifted) else left
        return right.of_complex(numerator / right.as_complex())
    im = -value * right.im
    return right.of(value, (im + left.im if isinstance(left, Lifted) else im) / right.re)


def divided(left: Any, right: Any) -> Any:
    """Divide lifted or plain values, number by number."""
    return divide(left, right) if lifted_among((left, right)) else left / right


# --- convolutions: of each part alone; torch's complex kernel would add the parts up and lose the small one ---
@rule(aten.convolution.default)
def convolution(images: Any, weight: Any, bias: Any, *geometry: Any) -> Lifted:
    """Convolve each part alone; then add the bias."""
    operation = aten.convolution.default
    if isinstance(images, Lifted) and not lifted_among((weight, bias)):
        return images.of(operation(images.re, weight, bias, *geometry), operation(images.im, weight, None, *geometry))
    im: list[torch.Tensor] = []
    im += [operation(images.im, real_part(weight), None, *geometry)] if isinstance(images, Lifted) else []
    im += [operation(real_part(images), weight.im, None, *geometry)] if isinstance(weight, Lifted) else []
    re = operation(real_part(images), real_part(weight), real_part(bias), *geometry)
    some = lifted_among((images, weight, bias))[0]
    if some.arithmetic.is_complex and isinstance(images, Lifted) and isinstance(weight, Lifted):
        re = re - operation(images.im, weight.im, None, *geometry)
    im += [bias.im.view(-1, *[1] * (re.ndim - 2)).expand_as(re)] if isinstance(bias, Lifted) else []
    return some.of(re, reduce(torch.add, im))


# --- long products ---
def _excluding(value: torch.Tensor, axis: int) -> torch.Tensor:
    """Product over an axis of all elements but one, for each one: right where some are 0, unlike a quotient."""
    ones = torch.ones_like(value.narrow(axis, 0, 1))
    before = torch.cat([ones, value.narrow(axis, 0, value.shape[axis] - 1)], axis).cumprod(axis)
    after = torch.cat([value.narrow(axis, 1, value.shape[axis] - 1), ones], axis).flip(axis).cumprod(axis).flip(axis)
    return before * after


@rule(aten.prod.dim_int, is_formula=True)
def product_along(value: Lifted, axis: int, keepdim: bool = False, *, dtype: Any = None) -> Lifted:
    """Multiply along an axis: the product rule."""
    if value.re.ndim == 0 or value.re.shape[axis] == 0:
        return value.of(aten.prod.dim_int(value.re, axis, keepdim), aten.sum.dim_IntList(value.im, [axis], keepdim))
    im = (_excluding(value.re, axis) * value.im).sum(axis, keepdim=keepdim)
    return value.of(aten.prod.dim_int(value.re, axis, keepdim), im)


@rule(aten.prod.default, is_formula=True)
def product_of_all(value: Lifted, *, dtype: Any = None) -> Lifted:
    """Multiply all numbers: the product rule."""
    flat_value = value.of(value.re.reshape(-1), value.im.reshape(-1))
    return product_along(flat_value, 0)


@rule(aten.cumprod.default, is_formula=True)
def cumulative_product(value: Lifted, axis: int, *, dtype: Any = None) -> Lifted:
    """Multiply along an axis, step by step: the product rule, one step after the other."""
    if value.re.ndim == 0 or value.re.shape[axis] == 0:
        return value.of(aten.cumprod.default(value.re, axis), value.im)
    res, ims = value.re.unbind(axis), value.im.unbind(axis)
    running = [(res[0], ims[0])]
    for re, im in zip(res[1:], ims[1:], strict=True):
        last_re, last_im = running[-1]
        running.append((last_re * re, last_re * im + last_im * re))
    return value.of(aten.cumprod.default(value.re, axis), torch.stack([im for _, im in running], axis))
