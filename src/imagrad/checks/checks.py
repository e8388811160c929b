"""All checks by name: importing this fills the registry."""

from imagrad.checks import corruption, locality, one_class, randomisation, translation
from imagrad.checks.material import CHECKS

__all__ = ["CHECKS"]

_REGISTERED = (corruption, locality, one_class, randomisation, translation)
