"""Black boxes: NumPy and SciPy functions, differentiated by guarded complex steps or by lifted arrays."""

from imagrad.complexstep.arrays.jacobian import jacobian_of_array
from imagrad.complexstep.arrays.number import LiftedArray

__all__ = ["LiftedArray", "jacobian_of_array"]
