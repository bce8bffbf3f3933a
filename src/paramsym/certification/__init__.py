"""Counting, by numerical ranks: flat directions, and conservation laws of gradient flow."""

from paramsym.certification.conservation_laws import ConservationLaws, count_conservation_laws
from paramsym.certification.functional_dimension import FunctionalDimension, functional_dimension

__all__ = [
    "ConservationLaws",
    "FunctionalDimension",
    "count_conservation_laws",
    "functional_dimension",
]
