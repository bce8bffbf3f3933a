"""Appendix B (second-order gradient flow and Noether's theorem) and E (gradient descent)."""

import math

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.deep import LINEAR, RADIAL, Activation, Deep
from paramsym.claims.flow import (
    EPS,
    Path,
    Theta,
    flatten,
    gradient,
    inner,
    integrate,
    norm,
    normal,
    worst,
)
from paramsym.laws.potentials import potential


def lagrangian(rate: float, weight: float, net: Deep, tau: float, t: Tensor, theta: Tensor,
               velocity: Tensor) -> Tensor:
    raise NotImplementedError
