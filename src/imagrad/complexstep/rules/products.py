"""Rules of products: matrices, elementwise, convolution."""

from __future__ import annotations

from typing import Any

import torch

from imagrad.complexstep.number import Lifted, has_lifted, lifted, scaled
from imagrad.complexstep.rules.table import RULES, bilinear, rule

aten = torch.ops.aten

bilinear(aten.mm.default, aten.bmm.default, aten.mul.Tensor)


@rule(aten.addmm.default)
def addmm(bias: Any, left: Any, right: Any, *, beta: float = 1, alpha: float = 1) -> Lifted:
    """Multiply matrices, then add: beta bias + alpha left right."""
    product = (
        scaled(RULES["aten.mm.default"](left, right), alpha) if has_lifted(left, right) else alpha * (left @ right)
    )
    return RULES["aten.add.Tensor"](product, scaled(bias, beta))


@rule(aten.div.Tensor)
def divide(left: Any, right: Any) -> Lifted:
    """Divide: part by part by a real number, else as complex numbers."""
    if isinstance(right, Lifted):
        numerator = left.as_complex() if isinstance(left, Lifted) else left
        return lifted(numerator / right.as_complex())
    return Lifted(left.re / right, left.im / right)


@rule(aten.convolution.default)
def convolution(images: Lifted, weight: torch.Tensor, bias: torch.Tensor | None, *geometry: Any) -> Lifted:
    """Convolve each part alone; torch's complex kernel would add the parts up and lose the small one."""
    re = aten.convolution.default(images.re, weight, bias, *geometry)
    return Lifted(re, aten.convolution.default(images.im, weight, None, *geometry))
