"""The paper's claims, one function each, with verdicts that follow from measurements.

Zhao, Ganev, Walters, Yu and Dehmamy, *Symmetries, Flat Minima, and the Conserved Quantities of
Gradient Flow*, ICLR 2023. `paramsym verify` runs them.
"""

# In the order of the paper, which is the order of the claims.
from paramsym.claims import (  # isort: skip
    equivariances,
    infinitesimal,
    orbits,
    rotations,
    data_dependence,
    batches,
    conservation,
    conserved_on_orbits,
    angular_momentum,
    trajectories,
    second_order,
    dynamics,
    elementwise,
    convergence,
    training,
    landscape,
    ensembles,
)
from paramsym.claims.claim import CLAIMS, Claim, Evidence, Residual, Result, Verdict

__all__ = [
    "CLAIMS",
    "Claim",
    "Evidence",
    "Residual",
    "Result",
    "Verdict",
    "angular_momentum",
    "batches",
    "conservation",
    "conserved_on_orbits",
    "convergence",
    "data_dependence",
    "dynamics",
    "elementwise",
    "ensembles",
    "equivariances",
    "infinitesimal",
    "landscape",
    "orbits",
    "rotations",
    "second_order",
    "training",
    "trajectories",
]
