"""Section 3.4, Appendices C.4 and C.5: actions on deep nets, and infinitesimal actions."""

from itertools import pairwise

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.equivariances import SAMPLES, SHAPES
from paramsym.claims.sampling import (
    EQUIVARIANT,
    HOMOGENEOUS,
    LEAKY,
    RADIAL,
    Equivariant,
    normal,
    rounding,
    size,
)
from paramsym.residuals import largest


def _rates(U: Tensor, V: Tensor, M: Tensor, degree: float) -> tuple[Tensor, Tensor]:
    """Derivatives of Uπ(e^{−tM}) and e^{tM}V at t = 0, where π(e^{tM}) = e^{αtM}."""

    def moved(t: Tensor) -> Tensor:
        read = U @ torch.linalg.matrix_exp(-degree * t * M)
        return torch.cat([read.flatten(), (torch.linalg.matrix_exp(t * M) @ V).flatten()])

    rates = torch.func.jacfwd(moved)(torch.zeros((), dtype=U.dtype))
    return rates[: U.numel()].reshape(U.shape), rates[U.numel() :].reshape(V.shape)


@claim(
    "eq-5",
    "eq (5), (24)",
    "The infinitesimal action of (3) is M·U = −U dπ(M), M·V = MV.",
    documented=Verdict.HOLDS,
)
def infinitesimal_action(rng: torch.Generator) -> Evidence:
    """Derivative of t ↦ (U π(e^{−tM}), e^{tM} V) at 0, by forward differentiation."""
    worst = 0.0
    for pair in EQUIVARIANT:
        for n, h, m in SHAPES:
            U, V = normal(rng, m, h), normal(rng, h, n)
            M, differential = pair.draw_generator(rng, h)

            dU, dV = _rates(U, V, M, pair.degree)
            error = torch.cat([(dU + U @ differential).flatten(), (dV - M @ V).flatten()])
            worst = largest(worst, size(error) / (size(M) * (size(U) + size(V)) * pair.degree))
    what = "largest difference from the derivative of the action, relative"
    return Evidence(Residual(worst, rounding(64), what))


def _move(
    net: list[tuple[Tensor, Tensor]], pairs: list[tuple[Tensor, Tensor]]
) -> list[tuple[Tensor, Tensor]]:
    """The action (23) on layers (W, b) by (g, π(g)) for each, the first of them on the inputs."""
    return [
        (g @ W @ torch.linalg.inv(before), g @ b)
        for (W, b), (g, _), (_, before) in zip(net, pairs[1:], pairs[:-1], strict=True)
    ]


def _unit(width: int) -> tuple[Tensor, Tensor]:
    return torch.eye(width, dtype=torch.float64), torch.eye(width, dtype=torch.float64)


@claim(
    "eq-23",
    "eq (22), (23)",
    "g·W_i = g_i W_i π_{i−1}(g_{i−1}⁻¹), g·b_i = g_i b_i is an action: unit and multiplication.",
    documented=Verdict.HOLDS,
)
def hidden_action(rng: torch.Generator) -> Evidence:
    """Both axioms on three-layer nets with biases; for the identity it is eq (22)."""
    widths, worst = (3, 5, 4, 2), 0.0
    for pair in EQUIVARIANT:
        net = [(normal(rng, b, a), normal(rng, b)) for a, b in pairwise(widths)]
        units = [_unit(w) for w in widths]
        first = [units[0], *(pair.draw(rng, w) for w in widths[1:-1]), units[-1]]
        second = [units[0], *(pair.draw(rng, w) for w in widths[1:-1]), units[-1]]
        product = [(a @ b, p @ q) for (a, p), (b, q) in zip(first, second, strict=True)]
        unmoved, twice, once = (
            _move(net, units),
            _move(_move(net, second), first),
            _move(net, product),
        )
        condition = max(float(torch.linalg.cond(p)) for pairs in (first, second) for _, p in pairs)
        for layers, others in ((unmoved, net), (twice, once)):
            for (W, b), (X, c) in zip(layers, others, strict=True):
                error = largest(size(W - X) / size(X), size(b - c) / size(c))
                worst = largest(worst, error / condition**2)
    what = "largest relative difference of layers, over cond(π(g))²"
    return Evidence(Residual(worst, rounding(64), what))


def _tangents(sigma: Equivariant, z: Tensor, M: Tensor) -> Tensor:
    """dσ_z(Mz) for each column z."""
    return torch.func.jvp(sigma.sigma, (z,), (M @ z,))[1]


@claim(
    "eq-25",
    "eq (25)",
    "dσ_z(Mz) = dπ(M)σ(z) for all M ∈ 𝔤𝔩.",
    documented=Verdict.CORRECTED,
    correction="For all M ∈ 𝔤, the Lie algebra of the group of the equivariance.",
)
def infinitesimal_equivariance(rng: torch.Generator) -> Evidence:
    """For M ∈ 𝔤𝔩 with the matrix dπ(M) that fits best, so that no choice of it helps."""
    printed, corrected, h = 0.0, 0.0, 4
    for pair in (*HOMOGENEOUS, RADIAL):
        z = normal(rng, h, 40)
        values, M = pair.sigma(z), normal(rng, h, h)
        rates = _tangents(pair, z, M)
        fitted = torch.linalg.lstsq(values.T, rates.T).solution.T
        printed = largest(printed, size(rates - fitted @ values) / size(rates))
        M, differential = pair.draw_generator(rng, h)
        error = _tangents(pair, z, M) - differential @ values
        corrected = largest(corrected, size(error) / (size(differential) * size(values)))
    what = "largest ‖dσ_z(Mz) − dπ(M)σ(z)‖, relative"
    return Evidence(
        Residual(printed, rounding(64), what + ", M ∈ 𝔤𝔩 and the best dπ(M)"),
        Residual(corrected, rounding(64), what + ", M ∈ 𝔤"),
    )


@claim(
    "ex-c.4",
    "Example C.4",
    "For homogeneous σ, dπ(M) = αM and Mz ⊙ σ'(z) = αMσ(z).",
    documented=Verdict.HOLDS,
)
def infinitesimal_homogeneity(rng: torch.Generator) -> Evidence:
    """With σ' by automatic differentiation, at entries of both signs."""
    worst = 0.0
    for pair in HOMOGENEOUS:
        for _, h, _ in SHAPES:
            z, (M, differential) = normal(rng, h, SAMPLES), pair.draw_generator(rng, h)
            slope = torch.func.jvp(pair.sigma, (z,), (torch.ones_like(z),))[1]
            error = (M @ z) * slope - differential @ pair.sigma(z)
            worst = largest(worst, size(error) / (size(differential) * size(pair.sigma(z))))
    what = "largest ‖Mz ⊙ σ'(z) − αMσ(z)‖ / ‖αM‖‖σ(z)‖, 7 activations"
    return Evidence(Residual(worst, rounding(32), what))


@claim(
    "ex-c.5",
    "Example C.5",
    "Leaky ReLU is σ(z) = max(z,0) − s·min(z,0), s > 0.",
    documented=Verdict.CORRECTED,
    correction="σ(z) = max(z,0) + s·min(z,0), as in Example 3.4.",
)
def leaky_sign(rng: torch.Generator) -> Evidence:
    """Both formulas against torch's leaky ReLU."""
    printed, corrected = 0.0, 0.0
    for slope in (0.01, 0.1, 0.5):
        z = normal(rng, 50)
        truth = torch.nn.functional.leaky_relu(z, slope)
        low, high = slope * z.clamp(max=0), z.clamp(min=0)
        printed = largest(printed, size(high - low - truth) / size(truth))
        corrected = largest(corrected, size(high + low - truth) / size(truth))
    what = "largest ‖σ(z) − leaky ReLU‖ / ‖leaky ReLU‖, s = 0.01, 0.1, 0.5"
    return Evidence(Residual(printed, rounding(2), what), Residual(corrected, rounding(2), what))


@claim(
    "ex-c.5-derivative",
    "Example C.5",
    "σ(z) = zσ'(z) for leaky ReLU, so Mz ⊙ σ'(z) = Mσ(z).",
    documented=Verdict.HOLDS,
)
def leaky_derivative(rng: torch.Generator) -> Evidence:
    """Both identities, for M in the Lie algebra of T₊(h)."""
    worst = 0.0
    for pair in LEAKY:
        z, (M, _) = normal(rng, 6, SAMPLES), pair.draw_generator(rng, 6)
        slope = torch.func.jvp(pair.sigma, (z,), (torch.ones_like(z),))[1]
        values = pair.sigma(z)
        worst = largest(worst, size(z * slope - values) / size(values))
        worst = largest(worst, size((M @ z) * slope - M @ values) / (size(M) * size(values)))
    return Evidence(Residual(worst, rounding(16), "largest difference of the sides, relative"))
