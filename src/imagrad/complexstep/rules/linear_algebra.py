"""Rules of matrix functions: inverses, solutions, determinants."""

from __future__ import annotations

from typing import Any

import torch

from imagrad.complexstep.number import Lifted, Poison, real_part
from imagrad.complexstep.rules.table import rule

aten = torch.ops.aten

_FACTORS = Poison("the factors that a decomposition returns beside its result")


@rule(aten.linalg_inv_ex.default, is_formula=True)
def inverse_matrix(value: Lifted, *, check_errors: bool = False) -> Any:
    """Invert: d(1/A) = -(1/A) dA (1/A)."""
    re, info = aten.linalg_inv_ex.default(value.re, check_errors=check_errors)
    return value.of(re, -re @ value.im @ re), info


@rule(aten._linalg_det.default, is_formula=True)
def determinant(value: Lifted) -> Any:
    """Take the determinant: d det A = det A tr((1/A) dA)."""
    re, *_ = aten._linalg_det.default(value.re)
    trace = torch.linalg.solve(value.re, value.im).diagonal(0, -2, -1).sum(-1)
    return value.of(re, re * trace), _FACTORS, _FACTORS


@rule(aten._linalg_slogdet.default, is_formula=True)
def log_determinant(value: Lifted) -> Any:
    """Sign and logarithm of the determinant: d log|det A| = tr((1/A) dA)."""
    sign, re, *_ = aten._linalg_slogdet.default(value.re)
    trace = torch.linalg.solve(value.re, value.im).diagonal(0, -2, -1).sum(-1)
    return sign, value.of(re, trace), _FACTORS, _FACTORS


@rule(aten._linalg_solve_ex.default, is_formula=True)
def solution(matrix: Any, right: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    """Solve A x = b: dx = (1/A) (db - dA x)."""
    some = matrix if isinstance(matrix, Lifted) else right
    a, b = real_part(matrix), real_part(right)
    re, *rest = aten._linalg_solve_ex.default(a, b, left=left, check_errors=check_errors)
    is_vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    change = right.im if isinstance(right, Lifted) else torch.zeros_like(re)
    if isinstance(matrix, Lifted):
        column = re.unsqueeze(-1) if is_vector else re
        moved = matrix.im @ column if left else column @ matrix.im
        change = change - (moved.squeeze(-1) if is_vector else moved)
    im = torch.linalg.solve(a, change, left=left)
    return some.of(re, im), _FACTORS, _FACTORS, rest[-1]


@rule(aten.linalg_cholesky_ex.default, is_formula=True)
def cholesky(value: Lifted, *, upper: bool = False, check_errors: bool = False) -> Any:
    """Factor A = L L': dL = L P((1/L) dA (1/L')), P keeping the lower half and half of the diagonal."""
    re, info = aten.linalg_cholesky_ex.default(value.re, upper=upper, check_errors=check_errors)
    factor = re.mT if upper else re
    half = value.im.mT if upper else value.im  # only one triangle is read
    change = half.tril() + half.tril(-1).mT
    inner = torch.linalg.solve_triangular(factor, change, upper=False)
    inner = torch.linalg.solve_triangular(factor.mT, inner, upper=True, left=False)
    im = factor @ (inner.tril() - 0.5 * torch.diag_embed(inner.diagonal(0, -2, -1)))
    return value.of(re, im.mT if upper else im), info


@rule(aten.linalg_solve_triangular.default, is_formula=True)
def triangular_solution(matrix: Any, right: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """Solve with a triangular matrix: dx = (1/A) (db - dA x)."""
    a, b = real_part(matrix), real_part(right)
    re = torch.linalg.solve_triangular(a, b, upper=upper, left=left, unitriangular=unitriangular)
    change = right.im if isinstance(right, Lifted) else torch.zeros_like(re)
    if isinstance(matrix, Lifted):
        part = matrix.im.triu(1 if unitriangular else 0) if upper else matrix.im.tril(-1 if unitriangular else 0)
        change = change - (part @ re if left else re @ part)
    some = matrix if isinstance(matrix, Lifted) else right
    im = torch.linalg.solve_triangular(a, change, upper=upper, left=left, unitriangular=unitriangular)
    return some.of(re, im)


@rule(aten.linalg_matrix_exp.default, is_formula=True)
def matrix_exponential(value: Lifted) -> Lifted:
    """Exponential: the derivative stands in the upper right block of exp [[A, V], [0, A]]."""
    n = value.re.shape[-1]
    re, im = torch.broadcast_tensors(value.re, value.im)
    top, bottom = torch.cat([re, im], -1), torch.cat([torch.zeros_like(re), re], -1)
    whole = torch.linalg.matrix_exp(torch.cat([top, bottom], -2))
    return value.of(torch.linalg.matrix_exp(value.re), whole[..., :n, n:])
