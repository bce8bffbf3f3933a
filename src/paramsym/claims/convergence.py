"""Appendix G: conserved quantities and the rate of convergence."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.flow import EPS, Theta, drift, gradient, gradient_flow, norm, worst
from paramsym.claims.sampling import normal


def uniform(rng: torch.Generator, low: float, high: float) -> float:
    """A uniform random number."""
    return low + (high - low) * float(torch.rand((), generator=rng, dtype=torch.float64))


@claim(
    "eq-58",
    "Appendix G.1, eq. (57), (58)",
    "w₁ = w₁(0)e^{−2t}, w₂ = w₂(0)e^{−2at}, and w₁^{2a}/w₂² is conserved on w₁² + aw₂².",
    documented=Verdict.HOLDS,
)
def ellipse(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for a in (0.5, 2.0, 3.7):
        w = normal(rng, 2).abs() + 0.5
        path = gradient_flow(lambda w, a=a: w[0] ** 2 + a * w[1] ** 2, (w,), 0.5)
        pairs.append((drift(lambda w, a=a: w[0] ** (2 * a) / w[1] ** 2, path), path.error))
        for t, (x,) in zip(path.times, path.thetas, strict=True):
            exact = w * torch.tensor([-2 * t, -2 * a * t], dtype=w.dtype).exp()
            pairs.append((float((x - exact).norm() / w.norm()), path.error))
    return Evidence(worst(pairs, "largest change of Q / ‖∇Q‖, error of w(t), a = 0.5, 2, 3.7"))


def loss_on_ellipse(w2: Tensor, a: float, start: float, t: float) -> Tensor:
    """L(t), eq. (59), with L(0) fixed."""
    return (start - a * w2**2) * math.exp(-4 * t) + a * w2**2 * math.exp(-4 * a * t)


@claim(
    "eq-64",
    "Appendix G.1, eq. (59) to (64)",
    "∂_Q L(t) is as in (64), and 0 for a = 1, a = 0 and w₂(0) = 0.",
    documented=Verdict.HOLDS,
)
def sensitivity(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    start = 2.0
    for a in (0.0, 0.5, 1.0, 2.0, 3.7):
        w, t = uniform(rng, 0.1, 0.5), uniform(rng, 0.1, 1)
        x = torch.tensor(w, dtype=torch.float64)
        rate = torch.func.grad(lambda x, a=a, t=t: loss_on_ellipse(x, a, start, t))(x)
        Q = torch.func.grad(lambda x, a=a: (start - a * x**2) ** a / x**2)(x)
        top = 2 * a * w**5 * (math.exp(-4 * a * t) - math.exp(-4 * t))
        rest = start - a * w**2
        printed = top / (2 * w * rest ** (a - 1) * (-(a**2) * w**2 - rest))
        size = max(abs(printed), abs(w**3 / rest**a))
        pairs.append((abs(float(rate / Q) - printed) / size, 64 * EPS))
        if a in (0.0, 1.0):
            pairs.append((abs(printed) / size, 64 * EPS))
    return Evidence(worst(pairs, "largest relative difference, a = 0, 0.5, 1, 2, 3.7"))


@claim(
    "g.1-maximum",
    "Appendix G.1, below eq. (64)",
    "w₂(0) = 0 is a local maximum of the gradient's magnitude at fixed L(0).",
    documented=Verdict.CORRECTED,
    correction="It is one if 0 < a < 1; for a > 1 it is a minimum.",
)
def steepest_start(rng: torch.Generator) -> Evidence:
    wrong, missed = 0, 0
    draws = [uniform(rng, 0.1, 0.9) for _ in range(20)] + [uniform(rng, 1.1, 4) for _ in range(20)]
    for a in draws:
        x = torch.zeros((), dtype=torch.float64)
        start = uniform(rng, 0.5, 2)

        def square(x: Tensor, a: float = a, start: float = start) -> Tensor:
            return 4 * (start - a * x**2) + 4 * a**2 * x**2

        maximum = float(torch.func.grad(torch.func.grad(square))(x)) < 0
        wrong += not maximum
        missed += maximum is not (a < 1)
    what = "draws of a, of 20 in (0, 1) and 20 in (1, 4), with another second derivative"
    return Evidence(Residual(wrong, 0, what), Residual(missed, 0, what))


Profile = Callable[[Tensor], Tensor]
"""h(r) of eq. (65)."""


@final
@dataclass(frozen=True)
class Rows:
    """½‖Y − U g(Vᵀ)‖² with g radial on rows, eq. (65), (66).

    Attributes:
        profile: h.
        Y: Target, square.
    """

    profile: Profile
    Y: Tensor

    def g(self, W: Tensor) -> Tensor:
        """h(|W_i|) W_ij."""
        return self.profile(W.norm(dim=1, keepdim=True)) * W

    def loss(self, U: Tensor, V: Tensor) -> Tensor:
        """L of eq. (66)."""
        return (self.Y - U @ self.g(V.T)).square().sum() / 2

    def spectral(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """U₀ = Φ diag(u), V₀ = Ψ diag(v), and the singular values of Y."""
        phi, sigma, psi = torch.linalg.svd(self.Y)
        return phi @ u.diag(), psi.T @ v.diag(), sigma


PROFILES: tuple[tuple[Profile, Profile], ...] = (
    (lambda r: r**-2, lambda r: -r.square() / 2),
    (lambda r: r.tanh() / r, lambda r: r.sinh().square() / 2),
    (lambda r: r**2, lambda r: r.square() / 6),
)
"""h(r), and ∫ρ/ρ' for ρ = r h(r)."""


def row_law(integral: Profile) -> Callable[[Tensor, Tensor], Tensor]:
    """½‖U_:a‖² − ∫ρ/ρ' up to ‖V_:a‖, for each a."""
    return lambda U, V: U.square().sum(0) / 2 - integral(V.norm(dim=0))


@claim(
    "prop-g.1",
    "Proposition G.1, eq. (67)",
    "½Tr[UᵀU] − Σ_i ∫^{V̄_ii} g/g' is conserved from a spectral initialization.",
    documented=Verdict.HOLDS,
)
def radial_rows(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for profile, integral in PROFILES:
        net = Rows(profile, normal(rng, 3, 3))
        U, V, _ = net.spectral(normal(rng, 3).abs() + 0.3, normal(rng, 3).abs() + 0.8)
        # Any start will do, with the norm of a column of V for V̄_ii, and term by term.
        anywhere = (normal(rng, 3, 4), normal(rng, 3, 4) + 0.5)
        for theta in ((U, V), anywhere):
            path = gradient_flow(net.loss, theta, 0.2)
            pairs.append((drift(row_law(integral), path), path.error))
    what = "largest change / ‖∇Q‖ of a term, 3 spectral and 3 random starts"
    return Evidence(worst(pairs, what))


@claim(
    "eq-72",
    "Appendix G.2, eq. (68) to (75)",
    "From a spectral initialization L = ½‖Σ − Ū g(V̄ᵀ)‖², and Φ and Ψ are not changed: ΦᵀU and ΨᵀV "
    "stay diagonal.",
    documented=Verdict.HOLDS,
)
def spectral_form(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for profile, _ in PROFILES:
        net = Rows(profile, normal(rng, 4, 4))
        U, V, sigma = net.spectral(normal(rng, 4), normal(rng, 4).abs() + 0.5)
        phi, _, psi = torch.linalg.svd(net.Y)
        reduced = Rows(profile, sigma.diag()).loss(phi.T @ U, psi @ V)
        size = float(net.Y.norm() + norm((U, V))) ** 2
        pairs.append((abs(float(reduced - net.loss(U, V))) / size, 64 * EPS))
        path = gradient_flow(net.loss, (U, V), 0.2)
        scale = norm(path.thetas[0])
        for U, V in path.thetas:
            for turned in (phi.T @ U, psi @ V):
                off = turned - turned.diagonal().diag()
                pairs.append((float(off.norm()) / scale, path.error))
    return Evidence(worst(pairs, "difference of the losses, off-diagonal entries on 3 paths"))


@claim(
    "eq-76",
    "Appendix G.2, eq. (76), (77)",
    "∂L/∂U = ∂L/∂Ū Φᵀ and ∂L/∂V = ∂L/∂V̄ Ψᵀ.",
    documented=Verdict.CORRECTED,
    correction="∂L/∂U = Φ ∂L/∂Ū and ∂L/∂V = Ψ ∂L/∂V̄.",
)
def reduced_gradient(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for profile, _ in PROFILES:
        net = Rows(profile, normal(rng, 4, 4))
        u, v = normal(rng, 4), normal(rng, 4).abs() + 0.5
        U, V, sigma = net.spectral(u, v)
        phi, _, psi = torch.linalg.svd(net.Y)
        full = gradient(net.loss, (U, V))
        reduced = gradient(Rows(profile, sigma.diag()).loss, (u.diag(), v.diag()))
        size = norm(full)
        bound = 64 * EPS * float(net.Y.norm() + norm((U, V))) ** 3 / size
        for left, bar, frame in zip(full, reduced, (phi, psi.T), strict=True):
            printed.append((float((left - bar @ frame.T).norm()) / size, bound))
            corrected.append((float((left - frame @ bar).norm()) / size, bound))
    what = "largest difference of the two sides / ‖∇L‖, 3 profiles"
    return Evidence(worst(printed, what), worst(corrected, what))


INVERSE = PROFILES[0][0]
"""h(r) = r^−2, that of Proposition G.2."""


def spectral_start(rng: torch.Generator, d: int = 3) -> tuple[Rows, Theta, Tensor]:
    """A net of Proposition G.2, its parameters, and the singular values of Y."""
    net = Rows(INVERSE, normal(rng, d, d))
    u, v = (torch.rand(2, d, generator=rng, dtype=torch.float64) + 0.4).unbind()
    U, V, sigma = net.spectral(u, v)
    return net, (U, V), sigma


@claim(
    "prop-g.2",
    "Proposition G.2, eq. (84), (92), (94)",
    "dσ_X/dt = (σ_Y − σ_X)(σ_X² + 1)²/λ with λ = ū² + v̄² conserved.",
    documented=Verdict.HOLDS,
)
def singular_values(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for _ in range(4):
        net, theta, sigma = spectral_start(rng)
        phi, _, psi = torch.linalg.svd(net.Y)
        slope = gradient(net.loss, theta)
        (u, v), (du, dv) = (
            ((phi.T @ U).diagonal(), (psi @ V).diagonal()) for U, V in (theta, slope)
        )
        rate = -(du / v - u * dv / v**2)
        x, law = u / v, u**2 + v**2
        printed = (sigma - x) * (x**2 + 1) ** 2 / law
        size = float(((sigma + x) * (x**2 + 1) ** 2 / law).max())
        pairs.append((float((rate - printed).abs().max()) / size, 64 * EPS))
        squares = torch.cat([law * x**2 / (x**2 + 1) - u**2, law / (x**2 + 1) - v**2])
        pairs.append((float(squares.abs().max() / law.max()), 16 * EPS))
    net, theta, _ = spectral_start(rng)
    path = gradient_flow(net.loss, theta, 0.3)
    pairs.append((drift(lambda U, V: U.square().sum(0) + V.square().sum(0), path), path.error))
    return Evidence(worst(pairs, "relative difference at 4 spectral points, change of λ on a path"))


@claim(
    "prop-g.3",
    "Proposition G.3, eq. (102)",
    "|σ_X − σ_Y| ≤ |σ_X(0) − σ_Y| e^{−t/λ}.",
    documented=Verdict.HOLDS,
)
def exponential_bound(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for _ in range(4):
        net, theta, sigma = spectral_start(rng)
        phi, _, psi = torch.linalg.svd(net.Y)
        path = gradient_flow(net.loss, theta, 0.5)
        law = theta[0].square().sum(0) + theta[1].square().sum(0)
        size = float(sigma.max())
        gaps = [
            ((phi.T @ U).diagonal() / (psi @ V).diagonal() - sigma).abs() for U, V in path.thetas
        ]
        for t, gap in zip(path.times, gaps, strict=True):
            excess = gap - gaps[0] * (-t / law).exp()
            pairs.append((float(excess.max()) / size, path.error))
    return Evidence(worst(pairs, "largest excess over the bound / σ_Y, 4 trajectories"))


@claim(
    "eq-103",
    "Appendix G.2, eq. (103)",
    "(σ_Y − σ_X)(σ_X² + 1)²/λ ≥ (σ_Y − σ_X)/λ.",
    documented=Verdict.CORRECTED,
    correction="It is so for σ_Y ≥ σ_X, and reversed below; the absolute values always obey it.",
)
def comparison(rng: torch.Generator) -> Evidence:
    x, y, law = torch.rand(3, 200, generator=rng, dtype=torch.float64) * 2 + 0.1
    left, right = (y - x) * (x**2 + 1) ** 2 / law, (y - x) / law
    what = "violations among 200 draws of σ_X, σ_Y, λ"
    return Evidence(
        Residual(int((left < right).sum()), 0, what),
        Residual(int((left.abs() < right.abs()).sum()), 0, what),
    )
