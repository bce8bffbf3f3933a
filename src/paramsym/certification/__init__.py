"""Counting, by numerical ranks: flat directions, and conservation laws of gradient flow."""

from paramsym.certification.certificate import Certificate
from paramsym.certification.certifying import certify
from paramsym.certification.conservation_laws import ConservationLaws, count_conservation_laws
from paramsym.certification.functional_dimension import FunctionalDimension, functional_dimension

__all__ = [
    "Certificate",
    "ConservationLaws",
    "FunctionalDimension",
    "certify",
    "count_conservation_laws",
    "functional_dimension",
]
