"""Appendix F: the distribution of Q at the start, and Q for elementwise activations."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Verdict, claim
from paramsym.claims.flow import EPS, drift, gradient, gradient_flow, worst
from paramsym.claims.sampling import normal
from paramsym.laws.potentials import potential

SHAPES = ((100, 100, 100), (100, 200, 100), (200, 100, 100))
"""(m, h, n) of Figure 4."""

DRAWS = 200
"""Nets drawn for each shape."""

ERRORS = 5.0
"""Standard errors within which a mean counts as equal to a number."""


def start(rng: torch.Generator, variances: Callable[[int, int, int], tuple[float, float]]):
    """½Tr[UᵀU − VVᵀ] of `DRAWS` random nets, for each of `SHAPES`."""
    for m, h, n in SHAPES:
        var_u, var_v = variances(m, h, n)
        found = torch.stack(
            [
                var_u * normal(rng, m, h).square().sum() / 2
                - var_v * normal(rng, h, n).square().sum() / 2
                for _ in range(DRAWS)
            ]
        )
        yield (m, h, n), found


def off_mean(values: Tensor, expected: float) -> tuple[float, float]:
    """Distance of the mean from a number in standard errors, and the bound on it."""
    error = float(values.std()) / math.sqrt(len(values))
    return abs(float(values.mean()) - expected) / error, ERRORS


def fan_in(m: int, h: int, n: int) -> tuple[float, float]:
    """Variances 1/h of U and 1/n of V, eq. (51)."""
    return 1 / h, 1 / n


@claim(
    "eq-52",
    "Appendix F, eq. (50) to (52), Figure 4",
    "E[½Tr(UᵀU − VVᵀ)] = Var(U)·mh + Var(V)·hn = m − h under eq. (51).",
    documented=Verdict.CORRECTED,
    correction="½(Var(U)·mh − Var(V)·hn) = (m − h)/2.",
)
def mean_at_the_start(rng: torch.Generator) -> Evidence:
    draws = list(start(rng, fan_in))
    what = f"distance of the mean in standard errors, largest of 3 shapes, {DRAWS} nets each"
    return Evidence(
        worst([off_mean(Q, m - h) for (m, h, _), Q in draws], what),
        worst([off_mean(Q, (m - h) / 2) for (m, h, _), Q in draws], what),
    )


@claim(
    "app-f-range",
    "Appendix F, Figures 4, 5",
    "The value of Q is usually concentrated around a small range of values.",
    documented=Verdict.HOLDS,
)
def concentration(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for (m, h, n), Q in start(rng, fan_in):
        # The standard deviation of a sample's standard deviation is about σ/√(2N).
        expected = math.sqrt((m / h + h / n) / 2)
        error = expected / math.sqrt(2 * DRAWS)
        pairs.append((abs(float(Q.std()) - expected) / error, ERRORS))
        pairs.append((float(Q.std()) / ((m + h) / 2), 0.02))
    what = "Std[Q] against √((m/h + h/n)/2) in standard errors, and to 2 % of E[‖U‖² + ‖V‖²]/2"
    return Evidence(worst(pairs, what))


@claim(
    "xavier",
    "Appendix F, above eq. (51)",
    "Under Xavier initialization (Glorot & Bengio, 2010) the variance is the inverse of the "
    "layer's input dimension.",
    documented=Verdict.CORRECTED,
    correction="Glorot's is 2/(fan_in + fan_out), with E[Q] = mh/(m+h) − hn/(h+n); "
    "1/fan_in is LeCun's.",
)
def xavier(rng: torch.Generator) -> Evidence:
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for m, n in ((100, 200), (200, 100), (50, 400)):
        W = torch.empty(m, n, dtype=torch.float64)
        torch.nn.init.xavier_normal_(W, generator=rng)
        squares = W.square().reshape(-1)
        printed.append(off_mean(squares, 1 / n))
        corrected.append(off_mean(squares, 2 / (m + n)))
    for (m, h, n), Q in start(rng, lambda m, h, n: (2 / (m + h), 2 / (h + n))):
        printed.append(off_mean(Q, (m - h) / 2))
        corrected.append(off_mean(Q, m * h / (m + h) - h * n / (h + n)))
    what = "variances and E[Q], distance in standard errors, 3 layers and 3 nets"
    return Evidence(worst(printed, what), worst(corrected, what))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": torch.nn.functional.softplus,
    "elu": torch.nn.functional.elu,
    "sin": torch.sin,
}
"""Those of the paper, and more."""

SMOOTH = ("identity", "sigmoid", "tanh", "softplus")
"""Activations whose trajectories are integrated."""


@claim(
    "eq-53",
    "Appendix F, eq. (53)",
    "½Tr[UᵀU] − Σ_aj ∫₀^{V_aj} σ/σ' is conserved for elementwise activations and X = I.",
    documented=Verdict.HOLDS,
)
def elementwise_law(rng: torch.Generator) -> Evidence:
    X = torch.eye(5, dtype=torch.float64)
    pairs = [rate_of_sum(name, X, rng) for name in ACTIVATIONS for _ in range(4)]
    pairs += [drift_of_neurons(name, rng) for name in SMOOTH]
    what = "⟨∇Q, ∇L⟩ / ‖∇Q‖‖∇L‖ at 28 points, change along 4 trajectories, per neuron"
    return Evidence(worst(pairs, what))


@claim(
    "eq-53-whitened",
    "Appendix F, above eq. (53); E.2, G.3",
    "Whitened input suffices: XXᵀ = I.",
    documented=Verdict.CORRECTED,
    correction="It must be the samples that are orthonormal, XᵀX = I; X = I is a case of that.",
)
def whitened(rng: torch.Generator) -> Evidence:
    wide = torch.linalg.qr(normal(rng, 9, 5)).Q.T
    tall = torch.linalg.qr(normal(rng, 7, 5)).Q
    nonlinear = [name for name in ACTIVATIONS if name != "identity"]
    what = "largest |⟨∇Q, ∇L⟩| / ‖∇Q‖‖∇L‖, 6 activations, {}"
    return Evidence(
        worst((rate_of_sum(a, wide, rng) for a in nonlinear), what.format("XXᵀ = I, k > n")),
        worst((rate_of_sum(a, tall, rng) for a in nonlinear), what.format("XᵀX = I, k < n")),
    )


def rate_of_sum(name: str, X: Tensor, rng: torch.Generator) -> tuple[float, float]:
    """|⟨∇Q, ∇L⟩| / ‖∇Q‖‖∇L‖ of eq. (53) with VX for V, at a random point, and its bound."""
    sigma, phi = ACTIVATIONS[name], potential(name)
    n, k = X.shape
    U, V, Y = normal(rng, 3, 4, scale=0.6), normal(rng, 4, n, scale=0.4), normal(rng, 3, k)

    def loss(U: Tensor, V: Tensor) -> Tensor:
        return (U @ sigma(V @ X) - Y).square().sum() / 2

    slope = gradient(loss, (U, V))
    # ∇Q, with Φ' = σ/σ' as the potential has it.
    steep = (U, -phi.ratio(V @ X) @ X.T)
    size = math.prod(math.sqrt(sum(float(x.square().sum()) for x in a)) for a in (slope, steep))
    rate = float(sum((a * b).sum() for a, b in zip(slope, steep, strict=True)))
    return abs(rate) / size, EPS * 16 * (3 + 4 + n + k)


def drift_of_neurons(name: str, rng: torch.Generator) -> tuple[float, float]:
    """Change of each ½‖U_:a‖² − Σ_j Φ(V_aj) along a trajectory, and its bound."""
    sigma, phi = ACTIVATIONS[name], potential(name)
    U, V, Y = normal(rng, 2, 3, scale=0.6), normal(rng, 3, 3, scale=0.4), normal(rng, 2, 3)
    path = gradient_flow(lambda U, V: (U @ sigma(V) - Y).square().sum() / 2, (U, V), 0.5)
    return drift(lambda U, V: U.square().sum(0) / 2 - phi(V).sum(1), path), path.error
