"""The paper's claims, one function each, with verdicts that follow from measurements.

Zhao, Ganev, Walters, Yu and Dehmamy, *Symmetries, Flat Minima, and the Conserved Quantities of
Gradient Flow*, ICLR 2023. `paramsym verify` runs them.
"""

from paramsym.claims import (
    equivariances,
    orbits,
    rotations,
    data_dependence,
    conservation,
    elementwise,
    dynamics,
    landscape,
)  # fmt: skip  # noqa: I001  (the order of the paper)
from paramsym.claims.claim import CLAIMS, Claim, Evidence, Residual, Result, Verdict

__all__ = ["CLAIMS", "Claim", "Evidence", "Residual", "Result", "Verdict"]

_ = (equivariances, orbits, rotations, data_dependence, conservation, elementwise, dynamics, landscape)
