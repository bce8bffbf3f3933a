"""Section 5, before Proposition 5.1: which gradient flow, and where it goes."""

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Verdict, claim
from paramsym.claims.conservation import HORIZON, positive_definite
from paramsym.claims.deep import LINEAR, Deep
from paramsym.claims.flow import (
    drift,
    flatten,
    gradient,
    gradient_flow,
    integrate,
    norm,
    split,
    worst,
)
from paramsym.claims.sampling import normal


@claim(
    "sec-5-rates",
    "Section 5, below eq. (11)",
    "All results generalize to symmetric ε.",
    documented=Verdict.CORRECTED,
    correction="⟨θ, ε⁻¹M·θ⟩ is conserved if εMᵀε⁻¹ is in g: for one rate a layer, for instance.",
)
def learning_rates(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for _ in range(3):
        net = Deep.sample(LINEAR, rng, (3, 4, 2))
        S = normal(rng, 4, 4)
        d = flatten(net.theta).numel()
        layers = torch.cat(
            [
                torch.full((V.numel() + b.numel(),), rate, dtype=torch.float64)
                for V, b, rate in ((*net.theta[:2], 1.7), (*net.theta[2:], 0.3))
            ]
        )
        printed.append(preconditioned_drift(net, positive_definite(rng, d), S + S.T))
        corrected.append(preconditioned_drift(net, layers.diag(), S + S.T))
    what = "largest change of ⟨θ, ε⁻¹M·θ⟩ / its gradient's norm, {}, 3 trajectories"
    return Evidence(
        worst(printed, what.format("random positive ε")),
        worst(corrected, what.format("ε a multiple of I on each layer")),
    )


def preconditioned_drift(net: Deep, rate: Tensor, M: Tensor) -> tuple[float, float]:
    """Change of ⟨θ, ε⁻¹M·θ⟩ along θ̇ = −ε∇L, and its bound."""
    like = net.theta
    inverse = torch.linalg.inv(rate)

    def quantity(*theta: Tensor) -> Tensor:
        moving = Deep(net.activation, theta, net.X, net.Y).tangent([M])
        return flatten(theta) @ inverse @ flatten(moving)

    path = integrate(
        lambda _, theta: split(-rate @ flatten(gradient(net.loss, theta)), like), like, HORIZON
    )
    return drift(quantity, path), path.error


@claim(
    "sec-5-limit",
    "Section 5, below eq. (10)",
    "Gradient flow limits to a critical point.",
    documented=Verdict.CORRECTED,
    correction="It may diverge. A bounded trajectory of an analytic loss has a critical limit.",
)
def limit(rng: torch.Generator) -> Evidence:
    distances: list[tuple[float, float]] = []
    for _ in range(3):
        u, v = (normal(rng).abs() + 0.5 for _ in range(2))
        # log(1 + e^{−uv}) is critical at u = v = 0 only.
        path = gradient_flow(lambda u, v: torch.nn.functional.softplus(-u * v), (u, v), 1e4)
        distances.append((norm(path.thetas[-1]) / norm((u, v)), path.error))
    slopes: list[tuple[float, float]] = []
    for _ in range(3):
        U, V, Y = normal(rng, 2, 6), normal(rng, 6, 2), normal(rng, 2, 2)

        def loss(U: Tensor, V: Tensor, Y: Tensor = Y) -> Tensor:
            return (U @ V - Y).square().sum() / 2

        path = gradient_flow(loss, (U, V), 40.0)
        end = path.thetas[-1]
        slopes.append(
            (
                norm(gradient(loss, end)) / norm(gradient(loss, (U, V))),
                path.error * float(flatten(end).square().sum()),
            )
        )
    return Evidence(
        worst(distances, "distance to the only critical point of a logistic loss, end / start"),
        worst(slopes, "‖∇L(40)‖ / ‖∇L(0)‖ of 3 bounded trajectories"),
    )
