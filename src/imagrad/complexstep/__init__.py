"""Derivatives of any function by the complex step; knows nothing of images or autoencoders."""

from imagrad.complexstep.derivatives import DEFAULT_STEP, jacobian
from imagrad.complexstep.literal import literal_jacobian

__all__ = ["DEFAULT_STEP", "jacobian", "literal_jacobian"]
