"""Appendix H: conserved quantities and the sharpness of minima."""

import math

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.flow import EPS, normal, worst


@claim(
    "eq-111",
    "Appendix H.1, eq (111)",
    "At the minimum of ½(1 − uv)² with conserved quantity Q the Hessian's larger eigenvalue is "
    "2√(Q² + 4).",
    documented=Verdict.CORRECTED,
    correction="It is √(Q² + 4), the trace of the Hessian (110).",
)
def sharpness_of_a_scalar_net(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for _ in range(24):
        u = float(normal(rng).exp())
        theta = torch.tensor([u, 1 / u], dtype=torch.float64)
        hessian = torch.autograd.functional.hessian(lambda w: (1 - w.prod()).square() / 2, theta)
        assert isinstance(hessian, Tensor)
        largest = float(torch.linalg.eigvalsh(hessian)[-1])
        Q = float(theta[0] ** 2 - theta[1] ** 2)
        bound = 16 * EPS
        for found, factor in ((printed, 2), (corrected, 1)):
            found.append((abs(largest - factor * math.sqrt(Q**2 + 4)) / largest, bound))
    what = "largest relative distance of the eigenvalue, 24 minima"
    return Evidence(worst(printed, what), worst(corrected, what))


@claim(
    "h.2",
    "Appendix H.2",
    "At a minimum of a linear net with (m, h, n) = (5, 50, 10), 700 of the 750 eigenvalues of the "
    "Hessian are 0.",
    documented=Verdict.HOLDS,
)
def flat_directions_of_a_linear_net(rng: torch.Generator) -> Evidence:
    m, h, n = 5, 50, 10
    exceptions = 0
    for _ in range(2):
        U, V = normal(rng, m, h), normal(rng, h, n)
        # At zero loss the Hessian of ½‖Y − UV‖² is JᵀJ, J the Jacobian of UV.
        jacobian = torch.cat(
            [
                torch.kron(torch.eye(m, dtype=torch.float64), V.mT.contiguous()),
                torch.kron(U, torch.eye(n, dtype=torch.float64)),
            ],
            1,
        )
        values = torch.linalg.eigvalsh(jacobian.mT @ jacobian)
        zero = int((values < len(values) * EPS * values[-1]).sum())
        exceptions = max(exceptions, abs(zero - (h * (m + n) - m * n)))
    return Evidence(Residual(exceptions, 0, "zero eigenvalues more or fewer than 700, 2 minima"))
