"""Symmetries of a black-box activation: pairs (M, N) with J_σ(z) M z = N σ(z).

activation → sample → linear system → null space → checks → recognised group
"""

from paramsym.activations.measuring import equivariance
from paramsym.activations.recognition import Factor
from paramsym.activations.result import Equivariance

__all__ = ["Equivariance", "Factor", "equivariance"]
