"""Appendix E: the drift of conserved quantities in gradient descent."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Verdict, claim
from paramsym.claims.flow import EPS, Theta, gradient, norm, worst
from paramsym.claims.sampling import normal
from paramsym.laws.potentials import potential

RATES = (1e-3, 1e-2, 1e-1)
"""Learning rates of Appendix E.2, where descent converges with the nets here."""


def linear_descent(rng: torch.Generator) -> list[tuple[float, Theta, Theta, Theta]]:
    """Steps (η, θ, ∇L(θ), θ') of descent on L = ½‖Y − UVX‖² / k."""
    steps: list[tuple[float, Theta, Theta, Theta]] = []
    for rate in RATES:
        X, Y = normal(rng, 4, 12), normal(rng, 3, 12)

        def loss(U: Tensor, V: Tensor, X: Tensor = X, Y: Tensor = Y) -> Tensor:
            return (U @ V @ X - Y).square().sum() / 24

        theta: Theta = (normal(rng, 3, 5, scale=0.5), normal(rng, 5, 4, scale=0.5))
        for _ in range(40):
            slope = gradient(loss, theta)
            new = descend(theta, slope, rate)
            steps.append((rate, theta, slope, new))
            theta = new
    return steps


def descend(theta: Theta, slope: Theta, rate: float) -> Theta:
    """One step of gradient descent."""
    return tuple(p - rate * g for p, g in zip(theta, slope, strict=True))


def imbalance(theta: Theta) -> float:
    """Q = Tr[UᵀU − VVᵀ]."""
    U, V = theta
    return float(U.square().sum() - V.square().sum())


@claim(
    "prop-e.1",
    "Proposition E.1, eq. (35)",
    "|Q_{t+1} − Q_t| ≤ η²|dL/dt| for Q = Tr[UᵀU − VVᵀ] in linear nets.",
    documented=Verdict.HOLDS,
)
def drift_bound(rng: torch.Generator) -> Evidence:
    pairs = [
        (
            (abs(imbalance(new) - imbalance(theta)) - rate**2 * norm(slope) ** 2)
            / norm(theta) ** 2,
            EPS * 64,
        )
        for rate, theta, slope, new in linear_descent(rng)
    ]
    return Evidence(worst(pairs, f"largest excess over η²‖∇L‖², / ‖θ‖², {len(pairs)} steps"))


@claim(
    "eq-43",
    "Appendix E.1, eq. (43)",
    "Q_{t+1} − Q_t = η² Tr[(∂L/∂U)ᵀ∂L/∂U − ∂L/∂V(∂L/∂V)ᵀ].",
    documented=Verdict.HOLDS,
)
def exact_drift(rng: torch.Generator) -> Evidence:
    pairs = [
        (
            abs(imbalance(new) - imbalance(theta) - rate**2 * imbalance(slope)) / norm(theta) ** 2,
            EPS * 64,
        )
        for rate, theta, slope, new in linear_descent(rng)
    ]
    return Evidence(worst(pairs, f"largest difference of the two sides / ‖θ‖², {len(pairs)} steps"))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
"""Those of Figures 3, 5 and 6."""


def relative_drift(name: str, theta: Theta, Y: Tensor, rate: float, time: float) -> float:
    """ΔQ̃, eq. (48), after descent on ‖Y − Uσ(Vᵀ)‖² for a time η·steps."""
    sigma, phi = ACTIVATIONS[name], potential(name)

    def loss(U: Tensor, V: Tensor) -> Tensor:
        return (U @ sigma(V.T) - Y).square().sum()

    def halves(theta: Theta) -> tuple[float, float]:
        return float(theta[0].square().sum() / 2), float(phi(theta[1]).sum())

    f1, f2 = halves(theta)
    scale = abs(f1) + abs(f2)
    for _ in range(round(time / rate)):
        theta = descend(theta, gradient(loss, theta), rate)
    g1, g2 = halves(theta)
    return abs(g1 - g2 - f1 + f2) / scale


@claim(
    "e.2",
    "Appendix E.2, eq. (48), Figure 3",
    "The change of Q̃ in gradient descent is small, and grows with the step size.",
    documented=Verdict.HOLDS,
)
def small_drift(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for name in ACTIVATIONS:
        theta = (normal(rng, 5, 50, scale=0.1), normal(rng, 10, 50, scale=0.1))
        Y = normal(rng, 5, 10)
        coarse, fine = (relative_drift(name, theta, Y, rate, 0.05) for rate in (2e-4, 1e-4))
        pairs += [(coarse, 0.01), (abs(math.log2(coarse / fine) - 1), 0.1)]
    return Evidence(worst(pairs, "ΔQ̃, to 1 %, and its order in η less 1, to 0.1; 4 activations"))


@claim(
    "fig-3-converged",
    "Appendix E.2, Figure 3",
    "Q stays constant after the loss converges.",
    documented=Verdict.HOLDS,
)
def constant_at_the_end(rng: torch.Generator) -> Evidence:
    """ΔQ after the loss is 1e-4 of its start, against η·max(1, |Φ''|)·L there.

    A step changes Q by at most η²·max(1, |Φ''|)‖∇L‖²/2, and lowers L by η‖∇L‖²/2 or more.
    """
    pairs: list[tuple[float, float]] = []
    rate = 5e-3
    for name, sigma in ACTIVATIONS.items():
        phi = potential(name)
        theta: Theta = (normal(rng, 3, 12, scale=0.5), normal(rng, 6, 12, scale=0.5))
        Y = normal(rng, 3, 6)

        def loss(U: Tensor, V: Tensor, sigma=sigma, Y: Tensor = Y) -> Tensor:
            return (U @ sigma(V.T) - Y).square().sum()

        def law(theta: Theta, phi=phi) -> float:
            return float(theta[0].square().sum() / 2 - phi(theta[1]).sum())

        first, steps = float(loss(*theta)), 0
        while float(loss(*theta)) > 1e-4 * first and steps < 20_000:
            theta = descend(theta, gradient(loss, theta), rate)
            steps += 1
        start, height = law(theta), float(loss(*theta))
        V = theta[1].detach().requires_grad_()
        (second,) = torch.autograd.grad(phi.ratio(V).sum(), V)
        bend = max(1.0, float(second.abs().max()))
        for _ in range(steps):
            theta = descend(theta, gradient(loss, theta), rate)
        size = norm(theta) ** 2
        # Φ'' is that of the start of the last phase; a factor 2 for what it changes by.
        bound = 2 * rate * bend * height / size + 4 * steps * EPS
        pairs.append((abs(law(theta) - start) / size, bound))
    what = "change of Q / ‖θ‖² in as many steps again as it took to 1e-4 of the loss, 4 activations"
    return Evidence(worst(pairs, what))
