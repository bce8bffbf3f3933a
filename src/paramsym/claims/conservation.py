"""Sections 3.4 and 5, Appendices C.5 and C.7 to C.9: what gradient flow conserves."""

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Verdict, claim
from paramsym.claims.deep import LEAKY, LINEAR, RADIAL, RELU, Activation, Deep, power
from paramsym.claims.flow import (
    EPS,
    Path,
    cosine,
    drift,
    flatten,
    gradient,
    gradient_flow,
    inner,
    norm,
    slope_along,
    split,
    worst,
)
from paramsym.claims.sampling import normal

SYMMETRIC = (LINEAR, RELU, LEAKY, power(1.5), power(2), power(3))
"""Activations whose algebra has symmetric elements."""

HORIZON = 0.3
"""Time for which trajectories are followed at most."""


@claim(
    "prop-3.4",
    "Proposition 3.4, Proposition C.5(1), eq. (6)",
    "⟨∇L, M·θ⟩ = 0 for every M in the Lie algebra of a symmetry of L.",
    documented=Verdict.HOLDS,
)
def orthogonality(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for activation in (*SYMMETRIC, RADIAL):
        for _ in range(4):
            net = Deep.sample(activation, rng)
            slope = gradient(net.loss, net.theta)
            pairs.append((cosine(slope, net.tangent(net.algebra(rng))), net.rounding))
    return Evidence(worst(pairs, f"largest |⟨∇L, M·θ⟩| / ‖∇L‖‖M·θ‖, {len(pairs)} deep nets"))


@claim(
    "prop-c.1",
    "Proposition C.1, eq. (23), (24)",
    "Equivariant activations make (23) a symmetry of the parameter space, and (24) orthogonal to "
    "the gradient.",
    documented=Verdict.HOLDS,
)
def equivariant_network(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for activation in (*SYMMETRIC, RADIAL):
        for _ in range(4):
            net = Deep.sample(activation, rng)
            M = [0.3 * x for x in net.algebra(rng)]
            before, after = net.forward(*net.theta), net.forward(*net.moved(M))
            pairs.append((float((after - before).norm() / before.norm()), 8 * net.rounding))
            pairs.append((cosine(gradient(net.loss, net.theta), net.tangent(M)), net.rounding))
    return Evidence(worst(pairs, "largest |F(gθ) − F(θ)| / |F(θ)| and |⟨∇L, M·θ⟩|, 28 deep nets"))


@claim(
    "eq-11",
    "Eq. (11), Proposition C.5(2)",
    "Along gradient flow ⟨ε⁻¹θ̇, M·θ⟩ = 0.",
    documented=Verdict.HOLDS,
)
def orthogonal_velocity(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for activation in (LINEAR, power(2), RADIAL):
        net = Deep.sample(activation, rng)
        rate = positive_definite(rng, flatten(net.theta).numel())
        path = trajectory(net)
        for theta in path.thetas[:: len(path.thetas) // 4]:
            here = Deep(activation, theta, net.X, net.Y)
            velocity = -rate @ flatten(gradient(net.loss, theta))
            scaled = split(torch.linalg.solve(rate, velocity), theta)
            pairs.append((cosine(scaled, here.tangent(here.algebra(rng))), 40 * net.rounding))
    return Evidence(worst(pairs, "largest |⟨ε⁻¹θ̇, M·θ⟩| / ‖ε⁻¹θ̇‖‖M·θ‖ on 3 trajectories"))


def positive_definite(rng: torch.Generator, d: int) -> Tensor:
    """A random symmetric matrix with eigenvalues from 0.2 to about 4, so of condition 20."""
    root = normal(rng, d, d)
    return root @ root.T / d + 0.2 * torch.eye(d, dtype=torch.float64)


@claim(
    "c.7",
    "Appendix C.7",
    "⟨∇Q, ∇L⟩ = d/dt (Q ∘ v(t)) along gradient flow.",
    documented=Verdict.CORRECTED,
    correction="⟨∇Q, ∇L⟩ = −d/dt (Q ∘ v(t)); the equivalence of (1) to (3) does not change.",
)
def rate_of_a_quantity(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for _ in range(8):
        net = Deep.sample(LINEAR, rng)
        slope = gradient(net.loss, net.theta)
        velocity = tuple(-g for g in slope)
        weights = normal(rng, flatten(net.theta).numel())

        def quantity(*theta: Tensor, weights: Tensor = weights) -> Tensor:
            return (weights * flatten(theta).sin()).sum()

        rate = slope_along(quantity, net.theta, velocity)
        steep = gradient(quantity, net.theta)
        size = norm(steep) * norm(slope)
        printed.append((abs(inner(steep, slope) - float(rate)) / size, net.rounding))
        corrected.append((abs(inner(steep, slope) + float(rate)) / size, net.rounding))
    what = "largest |⟨∇Q, ∇L⟩ {} dQ/dt| / ‖∇Q‖‖∇L‖, 8 draws"
    return Evidence(worst(printed, what.format("−")), worst(corrected, what.format("+")))


@claim(
    "prop-5.1",
    "Proposition 5.1, Proposition C.5(3)",
    "Q_M(θ) = ⟨θ, M·θ⟩ is conserved, if the group is closed under taking transposes.",
    documented=Verdict.HOLDS,
)
def conserved_by_symmetry(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    nets = ((LINEAR, (3, 4, 5, 2)), (power(2), (3, 4, 5, 2)), (power(3), (3, 5, 2)))
    for activation, widths in nets:
        net = Deep.sample(activation, rng, widths)
        M = net.algebra(rng)

        def quantity(*theta: Tensor, net: Deep = net, M: list[Tensor] = M) -> Tensor:
            moving = Deep(net.activation, theta, net.X, net.Y).tangent(M)
            return (flatten(theta) * flatten(moving)).sum()

        path = trajectory(net)
        pairs.append((drift(quantity, path), path.error))
    return Evidence(worst(pairs, "largest change of Q_M / ‖∇Q_M‖ along 3 trajectories"))


def trajectory(net: Deep) -> Path:
    """Gradient flow from θ, for as long as its first velocity needs for a way of ‖θ‖ or less."""
    speed = norm(gradient(net.loss, net.theta))
    return gradient_flow(net.loss, net.theta, min(HORIZON, norm(net.theta) / speed))


def moment_drift(
    activation: Activation, rng: torch.Generator, widths: tuple[int, ...]
) -> tuple[float, float]:
    """Change of the laws of a net along a trajectory, and its bound.

    The laws are all entries of W Wᵀ + b bᵀ − α WᵀW for linear nets, the diagonal for others.
    """
    net = Deep.sample(activation, rng, widths)
    path = trajectory(net)
    return drift(net.laws, path), path.error


def moment_rate(
    activation: Activation, rng: torch.Generator, widths: tuple[int, ...]
) -> tuple[float, float]:
    """⟨∇Q, ∇L⟩ / ‖θ‖‖∇L‖ at a random point, largest over the laws of a net, and its bound.

    For activations with a kink, whose trajectories the integrator cannot cross it on.
    """
    net = Deep.sample(activation, rng, widths)
    slope = gradient(net.loss, net.theta)
    rate = slope_along(net.laws, net.theta, slope)
    return float(rate.abs().max()) / (norm(net.theta) * norm(slope)), net.rounding


@claim(
    "ex-5.1",
    "Example 5.1, eq. (12)",
    "Q_M(U, V) = Tr[VᵀMV] − Tr[UᵀU dπ(M)] is conserved, for symmetric M in g.",
    documented=Verdict.HOLDS,
)
def two_layer_quantity(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for activation in SYMMETRIC:
        for _ in range(8):
            net = Deep.sample(activation, rng, (3, 5, 2))
            V, b, U, c = net.theta
            S = activation.project(normal(rng, 5, 5))
            S = S + S.T

            def quantity(
                V: Tensor,
                b: Tensor,
                U: Tensor,
                c: Tensor,
                S: Tensor = S,
                a: float = net.activation.degree,
            ) -> Tensor:
                return (V.T @ S @ V).trace() + b @ S @ b - a * (U.T @ U @ S).trace()

            theta = (V, b, U, c)
            pairs.append(
                (cosine(gradient(net.loss, theta), gradient(quantity, theta)), net.rounding)
            )
    return Evidence(worst(pairs, f"largest |⟨∇L, ∇Q_M⟩| / ‖∇L‖‖∇Q_M‖, {len(pairs)} nets"))


@claim(
    "ex-5.2",
    "Example 5.2",
    "Each component of VVᵀ − UᵀU is conserved in a linear net.",
    documented=Verdict.HOLDS,
)
def linear_imbalance(rng: torch.Generator) -> Evidence:
    pairs = [moment_drift(LINEAR, rng, (3, 5, 2)) for _ in range(3)]
    return Evidence(worst(pairs, "largest change of an entry / ‖∇Q‖ along 3 trajectories"))


@claim(
    "ex-5.3",
    "Example 5.3",
    "diag[VVᵀ − αUᵀU] is conserved for homogeneous activations of degree α.",
    documented=Verdict.HOLDS,
)
def homogeneous_imbalance(rng: torch.Generator) -> Evidence:
    pairs = [moment_drift(power(degree), rng, (3, 5, 2)) for degree in (1.5, 2, 3)]
    pairs += [moment_rate(power(degree), rng, (3, 5, 2)) for degree in (1, 1.5, 2, 3) * 5]
    return Evidence(worst(pairs, "largest change of an entry on 3 trajectories, rate at 20 points"))


@claim(
    "c.9.1",
    "Appendix C.9.1",
    "Every entry of W_iW_iᵀ + b_ib_iᵀ − W_{i+1}ᵀW_{i+1} is conserved in deep linear nets.",
    documented=Verdict.HOLDS,
)
def deep_linear(rng: torch.Generator) -> Evidence:
    pairs = [moment_drift(LINEAR, rng, widths) for widths in ((3, 4, 5, 2), (2, 3, 3, 3, 2))]
    return Evidence(worst(pairs, "largest change of an entry / ‖∇Q‖ along 2 trajectories"))


@claim(
    "c.9.2",
    "Appendix C.9.2",
    "Q_{E(1,2)}(U, V) = v₁v₂ − u₁u₂ for E(1,2) = [[0, 1], [1, 0]].",
    documented=Verdict.CORRECTED,
    correction="Q_{E(1,2)} = 2(v₁v₂ − u₁u₂), or with E(1,2) halved as in C.9.1.",
)
def smallest_linear(rng: torch.Generator) -> Evidence:
    E = torch.tensor([[0.0, 1], [1, 0]], dtype=torch.float64)
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for _ in range(20):
        u, v = normal(rng, 1, 2), normal(rng, 2, 1)
        Q = float((v.T @ E @ v).sum() - (u @ E @ u.T).sum())
        entry = float(v[0] * v[1] - u[0, 0] * u[0, 1])
        size = float(v.square().sum() + u.square().sum())
        printed.append((abs(Q - entry) / size, 8 * EPS))
        corrected.append((abs(Q - 2 * entry) / size, 8 * EPS))
    what = "largest |Tr[VᵀEV] − Tr[UᵀUE] − {}(v₁v₂ − u₁u₂)| / ‖θ‖², 20 draws"
    return Evidence(worst(printed, what.format("")), worst(corrected, what.format("2")))


@claim(
    "c.9.3",
    "Appendices C.9.3, C.9.4",
    "b_k² + Σ w_kt² − Σ w_rk² is conserved in ReLU nets of any depth.",
    documented=Verdict.HOLDS,
)
def deep_relu(rng: torch.Generator) -> Evidence:
    draws = [(RELU, (3, 4, 5, 2)), (LEAKY, (2, 3, 3, 3, 2)), (RELU, (1, 2, 1))] * 8
    pairs = [moment_rate(activation, rng, widths) for activation, widths in draws]
    return Evidence(worst(pairs, "largest |⟨∇Q, ∇L⟩| / ‖θ‖‖∇L‖ of a law, 24 nets"))


@claim(
    "c.10",
    "Appendix C.10",
    "d/ds (L ∘ F) = Tr(dL_{F(s)} · dF_s), with dL of the transposed shape.",
    documented=Verdict.HOLDS,
)
def chain_rule(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for _ in range(8):
        A, B, C = normal(rng, 3, 4), normal(rng, 3, 4), normal(rng, 4, 3)

        def curve(s: Tensor, A: Tensor = A, B: Tensor = B) -> Tensor:
            return A * s.sin() + B * s.square()

        def loss(W: Tensor, C: Tensor = C) -> Tensor:
            return (C @ W).sin().sum() + W.square().sum()

        s = normal(rng)
        velocity = slope_along(curve, (s,), (torch.ones_like(s),))
        rate = slope_along(lambda t: loss(curve(t)), (s,), (torch.ones_like(s),))
        slope = torch.func.grad(loss)(curve(s)).T
        size = float(slope.norm() * velocity.norm())
        pairs.append((float((slope @ velocity).trace() - rate) / size, EPS * 12 * 4))
    pairs = [(abs(value), bound) for value, bound in pairs]
    return Evidence(worst(pairs, "largest difference / ‖dL‖‖dF‖, 8 draws"))
