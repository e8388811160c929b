"""Derivatives of any function by the complex step; knows nothing of images or autoencoders."""

from imagrad.complexstep.arrays.jacobian import jacobian_of_array
from imagrad.complexstep.derivatives import gradient, jacobian, jvp
from imagrad.complexstep.literal import literal_jacobian
from imagrad.complexstep.norms import ColumnNorms, column_norms
from imagrad.complexstep.points import DEFAULT_STEP
from imagrad.complexstep.rule_checks import check_rule
from imagrad.complexstep.rules.own import register_rule
from imagrad.complexstep.second import hessian, hessian_vector_product

__all__ = [
    "DEFAULT_STEP",
    "ColumnNorms",
    "check_rule",
    "column_norms",
    "gradient",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "jacobian_of_array",
    "jvp",
    "literal_jacobian",
    "register_rule",
]
