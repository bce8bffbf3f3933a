"""Appendices E and F: conserved quantities in discrete steps, and at initialisation."""

import math

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.flow import EPS, gradient, normal, worst


def _imbalance(U: Tensor, V: Tensor) -> Tensor:
    """Eq. (50): ½ Tr[UᵀU − VVᵀ]."""
    return (U.square().sum() - V.square().sum()) / 2


def _train(start: tuple[Tensor, Tensor], Y: Tensor, lr: float, steps: int) -> tuple[Tensor, Tensor]:
    U, V = start
    for _ in range(steps):
        error = U @ V - Y
        U, V = U - lr * error @ V.mT, V - lr * U.mT @ error
    return U, V


@claim(
    "prop-e.1",
    "Proposition E.1, eq (35)",
    "A step of gradient descent on a two-layer linear net changes Q by no more than η²|dL/dt|.",
    documented=Verdict.HOLDS,
)
def one_step_of_gradient_descent(rng: torch.Generator) -> Evidence:
    found: list[tuple[float, float]] = []
    for lr in (0.1, 0.01, 0.001):
        for _ in range(8):
            U, V, Y = normal(rng, 5, 8), normal(rng, 8, 10), normal(rng, 5, 10)

            def loss(U: Tensor, V: Tensor, Y: Tensor = Y) -> Tensor:
                return (Y - U @ V).square().sum() / 2

            slopes = gradient(loss, (U, V))
            moved = [p - lr * g for p, g in zip((U, V), slopes, strict=True)]
            # Q = Tr[UᵀU − VVᵀ] here, without the ½.
            change = 2 * abs(float(_imbalance(*moved) - _imbalance(U, V)))
            # |dL/dt| = ‖∇L‖² along gradient flow.
            allowed = lr**2 * float(sum(g.square().sum() for g in slopes))
            rounding = 64 * EPS * float(U.square().sum() + V.square().sum())
            found.append(((change - rounding) / allowed, 1.0))
    return Evidence(worst(found, "largest |Q₁ − Q₀| / η²|dL/dt|, less rounding, 24 draws"))


@claim(
    "e.2",
    "Appendix E.2, Figure 3",
    "In gradient descent for a fixed time the change of Q is small, and smaller for smaller η.",
    documented=Verdict.HOLDS,
)
def drift_and_learning_rate(rng: torch.Generator) -> Evidence:
    found: list[tuple[float, float]] = []
    for _ in range(4):
        # A small start, so that all rates follow the path of gradient flow.
        U, V, Y = normal(rng, 5, 20) / 4, normal(rng, 20, 10) / 4, normal(rng, 5, 10)
        drifts = [
            abs(float(_imbalance(*_train((U, V), Y, lr, round(1 / lr))) - _imbalance(U, V)))
            for lr in (1e-3, 5e-4)
        ]
        found.append((abs(drifts[0] / drifts[1] - 2), 0.05))
    what = "largest distance from 2 of the ratio of the drifts at η = 10⁻³ and η/2, 4 draws"
    return Evidence(worst(found, what))


SHAPES = ((20, 100, 20), (100, 20, 20), (20, 20, 100), (50, 150, 10))
"""(m, h, n)"""
ERRORS = 5.0
"""Standard errors that a mean over draws may be away from its expectation."""


@claim(
    "eq-52",
    "Appendix F, eq (50), (52)",
    "With entries of variance 1/(number of inputs), Q = ½ Tr[UᵀU − VVᵀ] has the mean m − h.",
    documented=Verdict.CORRECTED,
    correction="The mean is (m − h)/2; for Tr[UᵀU − VVᵀ], as in Figure 4, it is m − h.",
)
def mean_at_initialisation(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for m, h, n in SHAPES:
        draws = torch.stack(
            [
                _imbalance(normal(rng, m, h) / math.sqrt(h), normal(rng, h, n) / math.sqrt(n))
                for _ in range(1000)
            ]
        )
        error = float(draws.std()) / math.sqrt(len(draws))
        printed.append((abs(float(draws.mean()) - (m - h)) / error, ERRORS))
        corrected.append((abs(float(draws.mean()) - (m - h) / 2) / error, ERRORS))
    what = "distance of the mean over 1000 draws, in standard errors, 4 shapes"
    return Evidence(worst(printed, what), worst(corrected, what))


@claim(
    "app-f-spread",
    "Appendix F",
    "Under this initialisation Q is concentrated around a small range of values.",
    documented=Verdict.HOLDS,
)
def spread_at_initialisation(rng: torch.Generator) -> Evidence:
    """Std[Q] = √((m/h + h/n)/2), which does not grow with the widths in proportion."""
    found: list[tuple[float, float]] = []
    for m, h, n in SHAPES:
        draws = torch.stack(
            [
                _imbalance(normal(rng, m, h) / math.sqrt(h), normal(rng, h, n) / math.sqrt(n))
                for _ in range(1000)
            ]
        )
        ratio = float(draws.std()) / math.sqrt((m / h + h / n) / 2)
        # The standard deviation of 1000 nearly normal draws is off by 1/√2000.
        found.append((abs(ratio - 1) * math.sqrt(2 * len(draws)), ERRORS))
    what = "distance of Std[Q] from √((m/h + h/n)/2), in standard errors, 4 shapes"
    return Evidence(worst(found, what))


