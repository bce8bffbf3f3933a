"""Moving along an orbit on purpose: chosen conserved quantities, balance, canonical points."""

from paramsym.orbit.balancing import balance
from paramsym.orbit.canonical_point import Canonical, canonical
from paramsym.orbit.comparing import SameOrbit, orbit_distance, same_orbit
from paramsym.orbit.initialising import init_conserved_
from paramsym.orbit.minimising import OrbitMinimum, Step, minimise_on_orbit
from paramsym.orbit.target import element_reaching, set_conserved

__all__ = [
    "Canonical",
    "OrbitMinimum",
    "SameOrbit",
    "Step",
    "balance",
    "canonical",
    "element_reaching",
    "init_conserved_",
    "minimise_on_orbit",
    "orbit_distance",
    "same_orbit",
    "set_conserved",
]
