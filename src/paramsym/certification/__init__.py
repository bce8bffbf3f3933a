"""Counting, by numerical ranks: flat directions, and conservation laws of gradient flow."""

from paramsym.certification.blockwise import (
    BlockCertificate,
    BlockCertificates,
    certify_blocks,
)
from paramsym.certification.certificate import Certificate, LocalFamily, Unit
from paramsym.certification.certifying import certify
from paramsym.certification.compression import without_units
from paramsym.certification.conservation_laws import ConservationLaws, count_conservation_laws
from paramsym.certification.setting import TooLarge

__all__ = [
    "BlockCertificate",
    "BlockCertificates",
    "Certificate",
    "ConservationLaws",
    "LocalFamily",
    "TooLarge",
    "Unit",
    "certify",
    "certify_blocks",
    "count_conservation_laws",
    "without_units",
]
