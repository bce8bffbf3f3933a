"""Appendix B: gradient flow with inertia, and Noether's theorem."""

import math

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Verdict, claim
from paramsym.claims.deep import LINEAR, RADIAL, Activation, Deep
from paramsym.claims.flow import (
    EPS,
    Path,
    Theta,
    flatten,
    gradient,
    gradient_flow,
    inner,
    integrate,
    norm,
    split,
    steepness,
    worst,
)
from paramsym.claims.sampling import normal
from paramsym.residuals import largest

WIDTHS = (3, 4, 2)
"""Sizes of the nets here."""


@claim(
    "eq-14",
    "Appendix B, eq. (14)",
    "Gradient descent expanded to second order in the step is θ̇ + (τ/2)θ̈ = −ε∇L, with ε = ε̃/τ.",
    documented=Verdict.HOLDS,
)
def second_order_descent(rng: torch.Generator) -> Evidence:
    """What a step of gradient descent misses of the flow: O(τ³), against O(τ²) of first order."""
    pairs: list[tuple[float, float]] = []
    for _ in range(3):
        net = Deep.sample(LINEAR, rng, WIDTHS)
        slope = gradient(net.loss, net.theta)
        # The trajectory without the fast part e^{−2t/τ}: θ̈ = H∇L at first order in τ.
        every = torch.func.grad(net.loss, argnums=tuple(range(len(slope))))
        turn = torch.func.jvp(every, net.theta, slope)[1]
        misses: list[list[float]] = [[], []]
        for tau in (4e-3, 2e-3):
            velocity = tuple(-g - tau / 2 * a for g, a in zip(slope, turn, strict=True))
            zeros = [torch.zeros_like(x) for x in net.algebra(rng)]
            inert = with_inertia(net, zeros, velocity, tau, tau).thetas[-1][: len(net.theta)]
            plain = gradient_flow(net.loss, net.theta, tau).thetas[-1]
            step = tuple(p - tau * g for p, g in zip(net.theta, slope, strict=True))
            for found, end in zip(misses, (inert, plain), strict=True):
                found.append(norm(tuple(a - b for a, b in zip(end, step, strict=True))))
        orders = [math.log2(coarse / fine) for coarse, fine in misses]
        pairs += [(abs(order - k), 0.2) for order, k in zip(orders, (3, 2), strict=True)]
    what = "order of ‖θ(τ) − θ + τ∇L‖ in τ, less 3 with inertia and 2 without, to 0.2; 3 nets"
    return Evidence(worst(pairs, what))


@claim(
    "eq-15",
    "Appendix B, eq. (15)",
    "θ̇ + (τ/2)θ̈ = −ε∇L is the Euler–Lagrange equation of e^{t/τ}[(τ/2)⟨θ̇, ε⁻¹θ̇⟩ − L].",
    documented=Verdict.CORRECTED,
    correction="It is that of e^{2t/τ}[(τ/4)⟨θ̇, ε⁻¹θ̇⟩ − L].",
)
def euler_lagrange(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for tau in (0.2, 0.5, 1.0, 3.0):
        net = Deep.sample(LINEAR, rng, WIDTHS)
        rates = [
            torch.full((p.numel(),), r) for p, r in zip(net.theta, (2, 2, 0.5, 0.5), strict=True)
        ]
        rate = torch.cat(rates).double()
        x, v = flatten(net.theta), normal(rng, len(rate))
        slope = flatten(gradient(net.loss, net.theta))
        acceleration = -2 / tau * (v + rate * slope)
        for found, order in ((printed, 1), (corrected, 2)):

            def lagrangian(
                t: Tensor,
                x: Tensor,
                v: Tensor,
                order: int = order,
                tau: float = tau,
                net: Deep = net,
                rate: Tensor = rate,
            ) -> Tensor:
                kinetic = tau / (2 * order) * (v.square() / rate).sum()
                return (order * t / tau).exp() * (kinetic - net.loss(*split(x, net.theta)))

            t = torch.tensor(0.3, dtype=torch.float64)
            momentum = torch.func.grad(lagrangian, argnums=2)
            tangents = (torch.ones_like(t), v, acceleration)
            left = torch.func.jvp(momentum, (t, x, v), tangents)[1]
            right = torch.func.grad(lagrangian, argnums=1)(t, x, v)
            size = float(left.norm() + right.norm() + (acceleration / rate).norm())
            found.append((float((left - right).norm()) / size, net.rounding))
    what = "largest difference of the two sides, relative, 4 values of τ, ε by layers"
    return Evidence(worst(printed, what), worst(corrected, what))


def with_inertia(net: Deep, M: list[Tensor], velocity: Theta, tau: float, horizon: float) -> Path:
    """θ̇ + (τ/2)θ̈ = −∇L, on states of θ, θ̇ and K with K̇ = −(2/τ)K + ⟨M·θ̇, θ̇⟩, K(0) = 0."""
    k = len(net.theta)

    def rate(_: float, state: Theta) -> Theta:
        theta, v, K = state[:k], state[k : 2 * k], state[-1]
        slope = gradient(net.loss, theta)
        force = tuple(-2 / tau * (a + b) for a, b in zip(v, slope, strict=True))
        return (*v, *force, -2 / tau * K + inner(at(net, v).tangent(M), v))

    zero = torch.zeros((), dtype=torch.float64)
    return integrate(rate, (*net.theta, *velocity, zero), horizon)


def at(net: Deep, theta: Theta) -> Deep:
    """The same net elsewhere."""
    return Deep(net.activation, theta, net.X, net.Y)


def current_defects(
    activation: Activation, rng: torch.Generator, tau: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """How far J is from J(0)e^{−t/τ}, and from J(0)e^{−2t/τ} + K, along a random trajectory."""
    net = Deep.sample(activation, rng, WIDTHS)
    M = net.algebra(rng)
    if activation is LINEAR:
        M = [x + x.T for x in M]
    k = len(net.theta)

    def current(*state: Tensor) -> Tensor:
        moving = at(net, state[:k]).tangent(M)
        return (flatten(moving) * flatten(state[k : 2 * k])).sum()

    velocity = tuple(normal(rng, *p.shape) for p in net.theta)
    path = with_inertia(net, M, velocity, tau, 1.0)
    size = max(float(flatten(s).abs().max()) for s in path.thetas)
    scale = size * (1 + max(steepness(current, s) for s in (path.thetas[0], path.thetas[-1])))
    start = float(current(*path.thetas[0]))
    printed, corrected = 0.0, 0.0
    for t, state in zip(path.times, path.thetas, strict=True):
        J, K = float(current(*state)), float(state[-1])
        printed = largest(printed, abs(J - start * math.exp(-t / tau)) / scale)
        corrected = largest(corrected, abs(J - start * math.exp(-2 * t / tau) - K) / scale)
    return (printed, path.error), (corrected, path.error)


@claim(
    "eq-17",
    "Appendix B, eq. (16), (17)",
    "J_M(t) = J_M(0)e^{−t/τ} for J_M = ⟨M·θ, ε⁻¹θ̇⟩: antisymmetric M.",
    documented=Verdict.CORRECTED,
    correction="J_M(t) = J_M(0)e^{−2t/τ}.",
)
def current_of_rotations(rng: torch.Generator) -> Evidence:
    printed, corrected = zip(*(current_defects(RADIAL, rng, t) for t in (0.4, 1.0)), strict=True)
    what = "largest defect of J / its gradient's norm, M in so(h), τ = 0.4, 1"
    return Evidence(worst(printed, what), worst(corrected, what))


@claim(
    "eq-17-symmetric",
    "Appendix B, eq. (16), (17)",
    "J_M(t) = J_M(0)e^{−t/τ} for J_M = ⟨M·θ, ε⁻¹θ̇⟩: symmetric M.",
    documented=Verdict.CORRECTED,
    correction="J_M(t) = J_M(0)e^{−2t/τ} + ∫ e^{−2(t−s)/τ}⟨M·θ̇, θ̇⟩ ds.",
)
def current_of_scalings(rng: torch.Generator) -> Evidence:
    printed, corrected = zip(*(current_defects(LINEAR, rng, t) for t in (0.4, 1.0)), strict=True)
    what = "largest defect of J / its gradient's norm, symmetric M, τ = 0.4, 1"
    return Evidence(worst(printed, what), worst(corrected, what))


@claim(
    "eq-18",
    "Appendix B, eq. (18)",
    "In the limit τ → 0 the current ⟨M·θ, θ̇⟩ vanishes, as ⟨M·θ, ∇L⟩ does.",
    documented=Verdict.HOLDS,
)
def first_order_limit(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    net = Deep.sample(LINEAR, rng, WIDTHS)
    M = [x + x.T for x in net.algebra(rng)]
    k = len(net.theta)
    velocity = tuple(-g for g in gradient(net.loss, net.theta))
    stretch = float(torch.linalg.matrix_norm(M[0], 2))
    for tau in (0.2, 0.1, 0.05):
        path = with_inertia(net, M, velocity, tau, 0.5)
        speed = max(norm(state[k : 2 * k]) for state in path.thetas)
        end = path.thetas[-1]
        J = inner(at(net, end[:k]).tangent(M), end[k : 2 * k])
        pairs.append((abs(J), tau / 2 * stretch * speed**2))
    return Evidence(worst(pairs, "|⟨M·θ, θ̇⟩| against (τ/2)‖M‖ max‖θ̇‖², τ = 0.2, 0.1, 0.05"))


@claim(
    "app-b-charge",
    "Appendix B, first sentence, below eq. (18)",
    "dQ_M/dt = ⟨θ̇, Mθ⟩ for symmetric M.",
    documented=Verdict.CORRECTED,
    correction="dQ_M/dt = 2⟨θ̇, Mθ⟩ for Q_M = ⟨θ, Mθ⟩.",
)
def charge(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for _ in range(10):
        x, v, M = normal(rng, 6), normal(rng, 6), normal(rng, 6, 6)
        M = M + M.T
        rate = float(torch.func.jvp(lambda x, M=M: x @ M @ x, (x,), (v,))[1])
        J = float(v @ M @ x)
        size = float(x.norm() * v.norm() * M.norm())
        printed.append((abs(rate - J) / size, 12 * EPS))
        corrected.append((abs(rate - 2 * J) / size, 12 * EPS))
    what = "largest |dQ/dt − {}⟨θ̇, Mθ⟩| / ‖M‖‖θ‖‖θ̇‖, 10 draws"
    return Evidence(worst(printed, what.format("")), worst(corrected, what.format("2")))
