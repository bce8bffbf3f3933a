"""Sections 3.1, 3.3 and C.4, C.5: actions on the parameters, and equivariances behind them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.sampling import (
    EQUIVARIANT,
    HOMOGENEOUS,
    LEAKY,
    LINEAR,
    RADIAL,
    Equivariant,
    leaky,
    normal,
    orthogonal,
    rounding,
    size,
    spectral,
)

SHAPES = ((3, 5, 2), (4, 2, 3), (2, 6, 4))
"""(n, h, m) of the two-layer nets that are drawn."""
SAMPLES = 7


def _defect(pairs: Sequence[Equivariant], rng: torch.Generator) -> Residual:
    """How far activations are from equivariance (4), at random columns."""
    worst = 0.0
    for pair in pairs:
        for _, h, _ in SHAPES:
            (g, represented), z = pair.draw(rng, h), 2 * normal(rng, h, SAMPLES)
            error = pair.sigma(g @ z) - represented @ pair.sigma(z)
            worst = max(worst, size(error) / (spectral(represented) * size(pair.sigma(z))))
    what = f"largest ‖σ(gz) − π(g)σ(z)‖ / ‖π(g)‖‖σ(z)‖, {len(pairs) * len(SHAPES)} draws"
    return Residual(worst, rounding(32), what)


@claim(
    "eq-4-if",
    "eq (3), (4)",
    "If σ(gz) = π(g)σ(z) for all g and z, the action gU = Uπ(g⁻¹), gV = gV is a symmetry of 𝓛.",
    documented=Verdict.HOLDS,
)
def equivariance_gives_symmetry(rng: torch.Generator) -> Evidence:
    """Outputs of two-layer nets before and after the action."""
    worst = 0.0
    for pair in EQUIVARIANT:
        for n, h, m in SHAPES:
            U, V, X = normal(rng, m, h), normal(rng, h, n), normal(rng, n, SAMPLES)
            g, represented = pair.draw(rng, h)
            moved = U @ torch.linalg.inv(represented)
            hidden = pair.sigma(g @ V @ X)
            error = moved @ hidden - U @ pair.sigma(V @ X)
            terms = size(U) * spectral(torch.linalg.inv(represented)) * size(hidden)
            worst = max(worst, size(error) / terms)
    what = "largest change of Uσ(VX) relative to ‖U‖‖π(g)⁻¹‖‖σ(gVX)‖"
    return Evidence(Residual(worst, rounding(64), what))


@claim(
    "eq-4-only-if",
    "eq (3), (4)",
    "The action is a symmetry of 𝓛 only if σ(gz) = π(g)σ(z) for all g and z.",
    documented=Verdict.CORRECTED,
    correction="Only if 𝓛 is unchanged for all data, not for a fixed batch.",
)
def symmetry_gives_equivariance(rng: torch.Generator) -> Evidence:
    """A loss that is invariant without an equivariance; and the equivariance read off losses.

    Printed: Y = 0, σ odd, g = −1, π(g) = 1. Corrected: with U = I, the losses at the targets
    0, e₁, …, e_h determine π(g)⁻¹σ(gz) − σ(z); so if they are all unchanged, (4) holds.
    """
    counterexample, recovered = 0.0, 0.0
    for n, h, m in SHAPES:
        U, V, X = normal(rng, m, h), normal(rng, h, n), normal(rng, n, SAMPLES)
        loss, moved = size(U @ torch.tanh(V @ X)) ** 2, size(U @ torch.tanh(-V @ X)) ** 2
        assert abs(moved - loss) <= rounding(64) * loss
        defect = torch.tanh(-V @ X) - torch.tanh(V @ X)
        counterexample = max(counterexample, size(defect) / size(torch.tanh(V @ X)))

        z, g, represented = normal(rng, h, 1), normal(rng, h, h), orthogonal(rng, h)
        before, after = torch.tanh(z), represented.T @ torch.tanh(g @ z)
        targets = torch.cat([torch.zeros(h, 1, dtype=z.dtype), torch.eye(h, dtype=z.dtype)], 1)
        change = ((targets - after) ** 2).sum(0) - ((targets - before) ** 2).sum(0)
        error = (change[0] - change[1:]) / 2 - (after - before)[:, 0]
        recovered = max(recovered, size(error) / (1 + size(after) ** 2 + size(before) ** 2))
    printed = Residual(
        counterexample, rounding(32), "‖σ(gz) − π(g)σ(z)‖ / ‖σ(z)‖ where the loss is invariant"
    )
    what = "equivariance defect against what changes of the loss over all targets say it is"
    return Evidence(printed, Residual(recovered, rounding(32), what))


@claim(
    "ex-3.2",
    "Example 3.2, C.3",
    "For σ = identity, (4) holds with G = GL_h and π(g) = g.",
    documented=Verdict.HOLDS,
)
def identity(rng: torch.Generator) -> Evidence:
    """Equivariance of the identity."""
    return Evidence(_defect([LINEAR], rng))


@claim(
    "ex-3.3",
    "Example 3.3, C.4",
    "Homogeneous activations of degree α satisfy (4) for positive diagonal g with π(g) = g^α.",
    documented=Verdict.HOLDS,
)
def homogeneous(rng: torch.Generator) -> Evidence:
    """Equivariance of seven homogeneous activations of degrees 0.5 to 2.7."""
    return Evidence(_defect(HOMOGENEOUS, rng))


@claim(
    "ex-3.3-sum",
    "Example 3.3, C.4",
    "σ(gz) = Σ_j σ(c_j z_j) = Σ_j c_j^α σ(z_j) = g^α σ(z).",
    documented=Verdict.CORRECTED,
    correction="The sums need basis vectors: Σ_j σ(c_j z_j) e_j = Σ_j c_j^α σ(z_j) e_j.",
)
def homogeneous_sum(rng: torch.Generator) -> Evidence:
    """The sums as numbers, and as vectors, against σ(gz)."""
    printed, corrected = 0.0, 0.0
    for pair in HOMOGENEOUS:
        g, represented = pair.draw(rng, 5)
        z = normal(rng, 5, 1)
        z[0] = z[0].abs()  # some entry of relu^α is not 0
        value, terms = pair.sigma(g @ z), represented.diagonal()[:, None] * pair.sigma(z)
        printed = max(printed, size(value - terms.sum()) / size(value))
        vectors = sum((terms[j] * torch.eye(5, dtype=z.dtype)[j] for j in range(5)), z[:, 0] * 0)
        corrected = max(corrected, size(value[:, 0] - vectors) / size(value))
    what = "largest ‖σ(gz) − sum‖ / ‖σ(gz)‖, 7 activations"
    bound = rounding(32)
    return Evidence(Residual(printed, bound, what), Residual(corrected, bound, what))


@claim(
    "ex-3.4",
    "Example 3.4",
    "Leaky ReLU, max(z,0) + s·min(z,0) with s ≥ 0, satisfies (4) with α = 1 and π(g) = g.",
    documented=Verdict.HOLDS,
)
def leaky_relu(rng: torch.Generator) -> Evidence:
    """Equivariance for s = 0.1, 0 and 2."""
    return Evidence(_defect(LEAKY, rng))


@claim(
    "ex-3.5",
    "Example 3.5, C.6",
    "Radial rescalings σ(z) = f(‖z‖)z satisfy (4) for G = O(h) with π(g) = g.",
    documented=Verdict.HOLDS,
)
def radial_rescaling(rng: torch.Generator) -> Evidence:
    """Equivariance under rotations and reflections for four profiles."""
    norms = {
        "1/(1+r²)": RADIAL.sigma,
        "r²": lambda z: z * (z * z).sum(0),
        "sin r": lambda z: z * torch.linalg.vector_norm(z, dim=0).sin(),
        "1/r": lambda z: z / torch.linalg.vector_norm(z, dim=0),
    }
    return Evidence(_defect([Equivariant(k, f, RADIAL.group) for k, f in norms.items()], rng))


@claim(
    "ex-3.5-norm",
    "Example 3.5, C.6",
    "‖gz‖ = zᵀgᵀgz = zᵀz = ‖z‖ for g ∈ O(h).",
    documented=Verdict.CORRECTED,
    correction="The outer terms are squared: ‖gz‖² = zᵀgᵀgz = zᵀz = ‖z‖².",
)
def norm_of_rotated(rng: torch.Generator) -> Evidence:
    """Both sides of the chain."""
    printed, corrected = 0.0, 0.0
    for _, h, _ in SHAPES:
        g, z = orthogonal(rng, h), normal(rng, h)
        product, norm = float(z @ g.T @ g @ z), size(g @ z)
        printed = max(printed, abs(norm - product) / norm)
        corrected = max(corrected, abs(norm**2 - product) / norm**2)
    bound = rounding(32)
    return Evidence(
        Residual(printed, bound, "largest |‖gz‖ − zᵀgᵀgz| / ‖gz‖"),
        Residual(corrected, bound, "largest |‖gz‖² − zᵀgᵀgz| / ‖gz‖²"),
    )


@claim(
    "permutations",
    "Section 3.3, after Theorem 3.3",
    "For pointwise σ and permutation matrices g, (4) holds with π(g) = g.",
    documented=Verdict.HOLDS,
)
def permutations(rng: torch.Generator) -> Evidence:
    """Equivariance under random permutations; equal to the last bit."""
    worst = 0.0
    for sigma in (torch.tanh, torch.sigmoid, torch.sin, leaky):
        for _, h, _ in SHAPES:
            g = torch.eye(h, dtype=torch.float64)[torch.randperm(h, generator=rng)]
            z = normal(rng, h, SAMPLES)
            worst = max(worst, size(sigma(g @ z) - g @ sigma(z)))
    # Vectorised kernels may round the same number differently at different places.
    return Evidence(Residual(worst, rounding(8), "largest ‖σ(gz) − gσ(z)‖, 12 draws"))


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

            def moved(
                t: Tensor, U: Tensor = U, V: Tensor = V, M: Tensor = M, pair: Equivariant = pair
            ) -> tuple[Tensor, Tensor]:
                # On each of these groups π(exp(tM)) = exp(αtM).
                return (
                    U @ torch.linalg.matrix_exp(-pair.degree * t * M),
                    torch.linalg.matrix_exp(t * M) @ V,
                )

            zero = torch.zeros((), dtype=torch.float64)
            _, (dU, dV) = torch.func.jvp(moved, (zero,), (torch.ones_like(zero),))
            error = torch.cat([(dU + U @ differential).flatten(), (dV - M @ V).flatten()])
            worst = max(worst, size(error) / (size(M) * (size(U) + size(V)) * pair.degree))
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
        net = [(normal(rng, b, a), normal(rng, b)) for a, b in zip(widths, widths[1:], strict=False)]
        units = [(torch.eye(w, dtype=torch.float64),) * 2 for w in widths]
        first = [units[0], *(pair.draw(rng, w) for w in widths[1:-1]), units[-1]]
        second = [units[0], *(pair.draw(rng, w) for w in widths[1:-1]), units[-1]]
        product = [(a @ b, p @ q) for (a, p), (b, q) in zip(first, second, strict=True)]
        unmoved, twice, once = _move(net, units), _move(_move(net, second), first), _move(net, product)
        condition = max(float(torch.linalg.cond(p)) for pairs in (first, second) for _, p in pairs)
        for layers, others in ((unmoved, net), (twice, once)):
            for (W, b), (X, c) in zip(layers, others, strict=True):
                error = max(size(W - X) / size(X), size(b - c) / size(c))
                worst = max(worst, error / condition**2)
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
        printed = max(printed, size(rates - fitted @ values) / size(rates))
        M, differential = pair.draw_generator(rng, h)
        error = _tangents(pair, z, M) - differential @ values
        corrected = max(corrected, size(error) / (size(differential) * size(values)))
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
            worst = max(worst, size(error) / (size(differential) * size(pair.sigma(z))))
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
        printed = max(printed, size(high - low - truth) / size(truth))
        corrected = max(corrected, size(high + low - truth) / size(truth))
    what = "largest ‖σ(z) − leaky ReLU‖ / ‖leaky ReLU‖, s = 0.01, 0.1, 0.5"
    return Evidence(
        Residual(printed, rounding(2), what), Residual(corrected, rounding(2), what)
    )


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
        worst = max(worst, size(z * slope - values) / size(values))
        worst = max(worst, size((M @ z) * slope - M @ values) / (size(M) * size(values)))
    return Evidence(Residual(worst, rounding(16), "largest difference of the sides, relative"))
