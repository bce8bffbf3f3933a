"""Counting, by numerical ranks: flat directions, and conservation laws of gradient flow."""

from paramsym.certification.certificate import Certificate, LocalFamily, Unit
from paramsym.certification.certifying import certify
from paramsym.certification.compression import without_units
from paramsym.certification.conservation_laws import ConservationLaws, count_conservation_laws

__all__ = [
    "Certificate",
    "ConservationLaws",
    "LocalFamily",
    "Unit",
    "certify",
    "count_conservation_laws",
    "without_units",
]
