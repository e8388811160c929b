"""Arithmetic, comparison, and products of matrices."""

from __future__ import annotations

import functools
from typing import Any

import torch

from imagrad.models.onnx.table import elementwise, operation
from imagrad.models.onnx.values import Scalar, Sizes, Tensor

elementwise("Add", torch.add, "x + y", 2)
elementwise("Sub", torch.sub, "x - y", 2)
elementwise("Mul", torch.mul, "x y", 2)
elementwise("Abs", torch.abs, "|x|")
elementwise("Neg", torch.neg, "-x")
elementwise("Reciprocal", torch.reciprocal, "1 / x")
elementwise("Sqrt", torch.sqrt, "Square root.")
elementwise("Exp", torch.exp, "e to the power of x.")
elementwise("Log", torch.log, "Natural logarithm.")
elementwise("Erf", torch.erf, "Error function.")
elementwise("Floor", torch.floor, "The whole number below.")
elementwise("Ceil", torch.ceil, "The whole number above.")
elementwise("Round", torch.round, "The nearest whole number; of two the even one.")
elementwise("Sign", torch.sign, "-1, 0 or 1.")

# --- trigonometry ---

elementwise("Sin", torch.sin, "Sine.")
elementwise("Cos", torch.cos, "Cosine.")
elementwise("Tan", torch.tan, "Tangent.")
elementwise("Asin", torch.asin, "Inverse sine.")
elementwise("Acos", torch.acos, "Inverse cosine.")
elementwise("Atan", torch.atan, "Inverse tangent.")
elementwise("Sinh", torch.sinh, "Hyperbolic sine.")
elementwise("Cosh", torch.cosh, "Hyperbolic cosine.")
elementwise("Tanh", torch.tanh, "Hyperbolic tangent.")
elementwise("Asinh", torch.asinh, "Inverse hyperbolic sine.")
elementwise("Acosh", torch.acosh, "Inverse hyperbolic cosine.")
elementwise("Atanh", torch.atanh, "Inverse hyperbolic tangent.")

# --- comparison and logic ---

elementwise("Equal", torch.eq, "x = y", 2)
elementwise("Greater", torch.gt, "x > y", 2)
elementwise("GreaterOrEqual", torch.ge, "x >= y", 2)
elementwise("Less", torch.lt, "x < y", 2)
elementwise("LessOrEqual", torch.le, "x <= y", 2)
elementwise("Not", torch.logical_not, "Negation.")
elementwise("And", torch.logical_and, "Both.", 2)
elementwise("Or", torch.logical_or, "Either, or both.", 2)
elementwise("Xor", torch.logical_xor, "Either, not both.", 2)
elementwise("IsNaN", torch.isnan, "Whether it is no number.")
elementwise("Where", torch.where, "y where x holds, else z.", 3)


@operation("Div")
def _div(x: Tensor, y: Tensor) -> Tensor:
    """X / y; of whole numbers, rounded towards 0."""
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


@operation("Mod")
def _mod(x: Tensor, y: Tensor, *, fmod: int = 0) -> Tensor:
    """Remainder of a division, with the sign of the divisor, or with `fmod` that of the dividend."""
    return torch.fmod(x, y) if fmod else torch.remainder(x, y)


@operation("Pow")
def _pow(x: Tensor, exponent: Scalar) -> Tensor:
    """X to the power of y."""
    if isinstance(exponent, torch.Tensor) and exponent.is_floating_point():
        exponent = exponent.to(x.dtype)
    return torch.pow(x, exponent)


@operation("Clip")
def _clip(x: Tensor, min: Scalar | None = None, max: Scalar | None = None) -> Tensor:
    """Bring what lies outside of two bounds to the nearer one."""
    if min is None and max is None:
        return x
    if isinstance(min, torch.Tensor) == isinstance(max, torch.Tensor) or min is None or max is None:
        return torch.clamp(x, min, max)
    return torch.clamp(torch.clamp(x, min), max=max)


# --- any number of tensors ---


@operation("Sum")
def _sum(*x: Tensor) -> Tensor:
    """Sum of any number of tensors."""
    return functools.reduce(torch.add, x)


@operation("Mean")
def _mean(*x: Tensor) -> Tensor:
    """Mean of any number of tensors."""
    return functools.reduce(torch.add, x) / len(x)


@operation("Max")
def _max(*x: Tensor) -> Tensor:
    """Largest of any number of tensors, element by element."""
    return functools.reduce(torch.maximum, x)


@operation("Min")
def _min(*x: Tensor) -> Tensor:
    """Smallest of any number of tensors, element by element."""
    return functools.reduce(torch.minimum, x)


# --- products of matrices ---

elementwise("MatMul", torch.matmul, "Product of matrices, or of stacks of them.", 2)


@operation("Gemm")
def _gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, *,
    alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0,  # ONNX's names
) -> Tensor:  # fmt: skip
    """Multiply two matrices, and add a bias."""
    a, b = (a.T if transA else a), (b.T if transB else b)
    product = a @ b if alpha == 1 else alpha * (a @ b)
    if c is None:
        return product
    return product + (c if beta == 1 else beta * c)


@operation("Einsum")
def _einsum(*x: Tensor, equation: str) -> Tensor:
    """Sum of products, by Einstein's convention."""
    return torch.einsum(equation, *x)


@operation("CumSum")
def _cumsum(x: Tensor, axis: Sizes, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Add up along an axis."""
    (along,) = axis
    turned = x.flip(along) if reverse else x
    total = torch.cumsum(turned, along)
    total = total - turned if exclusive else total
    return total.flip(along) if reverse else total


@operation("ai.onnx.ml.Scaler")
def _scaler(x: Tensor, *, offset: Any, scale: Any) -> Tensor:
    """(x - offset) scale: scikit-learn's StandardScaler and its like."""
    return (x - x.new_tensor(offset)) * x.new_tensor(scale)
