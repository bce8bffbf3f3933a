"""The paper's claims, one function each, with verdicts that follow from measurements.

Zhao, Ganev, Walters, Yu and Dehmamy, *Symmetries, Flat Minima, and the Conserved Quantities of
Gradient Flow*, ICLR 2023. `paramsym verify` runs them.
"""

# In the order of the paper, which is the order of the claims.
from paramsym.claims import (  # isort: skip
    equivariances,
    orbits,
    rotations,
    data_dependence,
    conservation,
    dynamics,
    landscape,
)
from paramsym.claims.claim import CLAIMS, Claim, Evidence, Residual, Result, Verdict

__all__ = [
    "CLAIMS",
    "Claim",
    "Evidence",
    "Residual",
    "Result",
    "Verdict",
    "conservation",
    "data_dependence",
    "dynamics",
    "equivariances",
    "landscape",
    "orbits",
    "rotations",
]
