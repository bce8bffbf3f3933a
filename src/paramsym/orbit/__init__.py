"""Moving along an orbit on purpose: chosen conserved quantities, balance, canonical points."""

from paramsym.orbit.balancing import balance
from paramsym.orbit.target import element_reaching, set_conserved

__all__ = ["balance", "element_reaching", "set_conserved"]
