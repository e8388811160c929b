"""How each ATen operation acts on a lifted number: one file a group of operations, one to three lines each.

An operation without a rule is refused by name; there is no fall-through to a native kernel.
"""

from imagrad.complexstep.rules import activations as _activations
from imagrad.complexstep.rules import products as _products
from imagrad.complexstep.rules import structure as _structure
from imagrad.complexstep.rules.table import KINKS, RULES, Rule

__all__ = ["KINKS", "RULES", "Rule"]

_FILLED_BY = (_activations, _products, _structure)  # imported so that their rules are in the table
