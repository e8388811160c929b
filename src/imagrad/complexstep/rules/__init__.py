"""How each ATen operation acts on a lifted number: one file a group of operations, one to three lines each.

An operation without a rule is refused by name; there is no fall-through to a native kernel.
"""

from imagrad.complexstep.rules import linear_algebra as _linear_algebra
from imagrad.complexstep.rules import normalisations as _normalisations
from imagrad.complexstep.rules import pieces as _pieces
from imagrad.complexstep.rules import pooling as _pooling
from imagrad.complexstep.rules import products as _products
from imagrad.complexstep.rules import sampling as _sampling
from imagrad.complexstep.rules import selections as _selections
from imagrad.complexstep.rules import smooth as _smooth
from imagrad.complexstep.rules import structure as _structure
from imagrad.complexstep.rules import sums as _sums
from imagrad.complexstep.rules.table import RULES, Rule

__all__ = ["RULES", "Rule"]

# imported so that their rules are in the table
_FILLED_BY = (
    _linear_algebra, _normalisations, _pieces, _pooling, _products, _sampling, _selections, _smooth, _structure, _sums,
)  # fmt: skip
