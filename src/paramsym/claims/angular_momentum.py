"""Example 5.4, Theorem 5.2, Appendices C.8.1, C.9.5 and C.9.6: antisymmetric generators."""

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Verdict, claim
from paramsym.claims.deep import LINEAR, RADIAL, Activation, Deep
from paramsym.claims.flow import (
    EPS,
    Theta,
    drift,
    gradient,
    gradient_flow,
    inner,
    norm,
    slope_along,
    worst,
)
from paramsym.claims.sampling import normal
from paramsym.residuals import largest

PROFILES = (
    RADIAL,
    Activation(lambda z: z * torch.sigmoid(z.norm(dim=0)), 1, RADIAL.project),
    Activation(lambda z: z * (z.norm(dim=0).tanh() / z.norm(dim=0)), 1, RADIAL.project),
)
"""Radial rescaling activations: 1/(1+r²), sigmoid(r) and tanh(r)/r times z."""


def turning(A: Tensor, dA: Tensor) -> Tensor:
    """A dAᵀ − dA Aᵀ: the angular momentum of the columns of A."""
    return A @ dA.T - dA @ A.T


def angular_momenta(theta: Theta, velocity: Theta) -> tuple[list[Tensor], float]:
    """ν_i of every hidden layer (Appendix C.9.5), and the largest of its three terms."""
    found: list[Tensor] = []
    size = 0.0
    for i in range(0, len(theta) - 2, 2):
        terms = [
            turning(theta[i], velocity[i]),
            turning(theta[i + 1][:, None], velocity[i + 1][:, None]),
            turning(theta[i + 2].T, velocity[i + 2].T),
        ]
        found.append(terms[0] + terms[1] + terms[2])
        size = largest(size, *(float(x.norm()) for x in terms))
    return found, size


def largest_momentum(
    activation: Activation, rng: torch.Generator, widths: tuple[int, ...]
) -> tuple[float, float]:
    """Largest ν_i of a net at a random point, relative to its terms, and its bound."""
    net = Deep.sample(activation, rng, widths)
    velocity = tuple(-g for g in gradient(net.loss, net.theta))
    found, size = angular_momenta(net.theta, velocity)
    scale = norm(net.theta) * norm(velocity)
    return largest(*(float(nu.norm()) for nu in found)) / size, net.rounding * scale / size


@claim(
    "ex-5.4",
    "Example 5.4, Section 5",
    "For antisymmetric M, as all in so(h), Q_M is constantly zero.",
    documented=Verdict.HOLDS,
)
def nothing_conserved(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for _ in range(10):
        net = Deep.sample(RADIAL, rng)
        moving = net.tangent(net.algebra(rng))
        size = norm(net.theta) * norm(moving)
        pairs.append((abs(inner(net.theta, moving)) / size, net.rounding))
    return Evidence(worst(pairs, "largest |⟨θ, M·θ⟩| / ‖θ‖‖M·θ‖, 10 radial nets"))


@claim(
    "thm-5.2",
    "Theorem 5.2, eq. (13)",
    "VV̇ᵀ − V̇Vᵀ + UᵀU̇ − U̇ᵀU = 0 for radial rescaling activations, and in linear nets.",
    documented=Verdict.HOLDS,
)
def angular_momentum(rng: torch.Generator) -> Evidence:
    pairs = [
        largest_momentum(activation, rng, (3, 5, 2))
        for activation in (*PROFILES, LINEAR)
        for _ in range(4)
    ]
    return Evidence(worst(pairs, "largest sum / largest of its terms, 16 nets"))


@claim(
    "thm-5.2-polar",
    "Section 5, below Theorem 5.2",
    "Σ_{s=1..n} r²φ̇ of (U_sk, U_sl) + Σ_{s=1..m} r²φ̇ of (Vᵀ_sk, Vᵀ_sl) = 0.",
    documented=Verdict.CORRECTED,
    correction="The first sum runs over the m rows of U, the second over the n columns of V.",
)
def polar(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    n, h, m = 2, 4, 3
    for _ in range(8):
        net = Deep.sample(RADIAL, rng, (n, h, m))
        slope = gradient(net.loss, net.theta)
        # The hidden bias is one more column of V.
        rows_U = area_rates(net.theta[2], slope[2])
        rows_V = area_rates(net.theta[0].T, slope[0].T)
        bias = area_rates(net.theta[1][None], slope[1][None])
        scale = norm(net.theta) * norm(slope)
        full = float(sum(rows_U) + sum(rows_V) + sum(bias))
        cut = float(sum(rows_U[:n]) + sum(rows_V[:m]) + sum(bias))
        printed.append((abs(cut) / scale, net.rounding))
        corrected.append((abs(full) / scale, net.rounding))
    what = "largest sum / ‖θ‖‖θ̇‖, with (n, h, m) = (2, 4, 3), 8 draws"
    return Evidence(worst(printed, what), worst(corrected, what))


def angle_rate(x: Tensor, y: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Rate of change of the angle of (x, y)."""
    return slope_along(torch.atan2, (y, x), (dy, dx))


def area_rates(A: Tensor, dA: Tensor) -> list[Tensor]:
    """r²φ̇ of the first two entries of every row."""
    rates = angle_rate(A[:, 0], A[:, 1], dA[:, 0], dA[:, 1])
    return list((A[:, 0].square() + A[:, 1].square()) * rates)


@claim(
    "c.8.1",
    "Appendix C.8.1",
    "Σ m_ij(γ̇_iγ_j − γ_iγ̇_j) = Σ m_ij r_ij²θ̇_ij with r_ij² = γ_i² − γ_j².",
    documented=Verdict.CORRECTED,
    correction="It is −Σ m_ij r_ij²θ̇_ij with r_ij² = γ_i² + γ_j².",
)
def polar_form(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    i, j = torch.triu_indices(5, 5, 1)
    for _ in range(10):
        x, dx, m = normal(rng, 5), normal(rng, 5), normal(rng, len(i))
        wedge = float((m * (dx[i] * x[j] - x[i] * dx[j])).sum())
        rate = m * angle_rate(x[i], x[j], dx[i], dx[j])
        size = float(x.norm() * dx.norm() * m.norm())
        minus = float((rate * (x[i].square() - x[j].square())).sum())
        plus = float((rate * (x[i].square() + x[j].square())).sum())
        printed.append((abs(wedge - minus) / size, 20 * EPS))
        corrected.append((abs(wedge + plus) / size, 20 * EPS))
    what = "largest difference of the two sides / ‖γ‖‖γ̇‖‖m‖, 10 draws"
    return Evidence(worst(printed, what), worst(corrected, what))


@claim(
    "c.8.1-plane",
    "Appendix C.8.1, case d = 2",
    "θ(t) is constant along any flow line that begins away from the origin.",
    documented=Verdict.HOLDS,
)
def constant_angle(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for _ in range(3):
        start = normal(rng, 2)
        start = start / start.norm() * (1 + torch.rand((), generator=rng))
        # Invariant under rotations, with a circle of minima.
        path = gradient_flow(lambda x: (x.square().sum() - 2).square() / 4, (start,), 2.0)
        angle = drift(lambda x: torch.atan2(x[1], x[0]), path)
        pairs.append((angle, path.error))
    return Evidence(worst(pairs, "largest change of the angle / its gradient's norm, 3 lines"))


@claim(
    "c.9.5",
    "Appendix C.9.5",
    "ν_i = W_iẆ_iᵀ − Ẇ_iW_iᵀ + b_iḃ_iᵀ − ḃ_ib_iᵀ + W_{i+1}ᵀẆ_{i+1} − Ẇ_{i+1}ᵀW_{i+1} = 0.",
    documented=Verdict.HOLDS,
)
def deep_radial(rng: torch.Generator) -> Evidence:
    pairs = [
        largest_momentum(activation, rng, widths)
        for activation in PROFILES
        for widths in ((3, 4, 5, 2), (2, 3, 4, 3, 2))
        for _ in range(4)
    ]
    return Evidence(worst(pairs, "largest ν_i / largest of its terms, 24 deep nets"))


@claim(
    "c.9.5-polar",
    "Appendix C.9.5, last equation",
    "r²θ̇ of b_j + Σ_t r²θ̇ of the columns of W_j + Σ_r r²θ̇ of the rows of W_{j+1} = 0.",
    documented=Verdict.HOLDS,
)
def deep_polar(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for activation in PROFILES:
        net = Deep.sample(activation, rng, (3, 4, 5, 2))
        slope = gradient(net.loss, net.theta)
        scale = norm(net.theta) * norm(slope)
        for i in (0, 2):
            rows = [
                (A, dA)
                for A, dA in (
                    (net.theta[i].T, slope[i].T),
                    (net.theta[i + 1][None], slope[i + 1][None]),
                    (net.theta[i + 2], slope[i + 2]),
                )
            ]
            total = sum(x for A, dA in rows for x in area_rates(A, dA))
            pairs.append((abs(float(total)) / scale, net.rounding))
    return Evidence(worst(pairs, "largest sum / ‖θ‖‖θ̇‖, 2 layers of 3 deep nets"))


@claim(
    "eq-30",
    "Appendix C.9.6, eq. (30)",
    "r_U²θ̇_U + r_V²θ̇_V = 0 for (n, h, m) = (1, 2, 1).",
    documented=Verdict.HOLDS,
)
def smallest_radial(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for activation in (*PROFILES, LINEAR):
        X, Y = normal(rng, 1, 8), normal(rng, 1, 8)

        def loss(
            U: Tensor, V: Tensor, sigma=activation.sigma, X: Tensor = X, Y: Tensor = Y
        ) -> Tensor:
            return (U @ sigma(V @ X) - Y).square().mean()

        path = gradient_flow(loss, (normal(rng, 1, 2), normal(rng, 2, 1)), 0.5)
        # Residuals shrink along the flow, and their rounding with them does not.
        fastest = norm(gradient(loss, path.thetas[0]))
        for U, V in path.thetas:
            dU, dV = gradient(loss, (U, V))
            total = sum(area_rates(U, dU) + area_rates(V.T, dV.T))
            scale = norm((U, V)) * max(fastest, norm((dU, dV)))
            pairs.append((abs(float(total)) / scale, 40 * EPS))
    return Evidence(worst(pairs, "largest sum / ‖θ‖‖θ̇(0)‖ at the points of 4 trajectories"))
