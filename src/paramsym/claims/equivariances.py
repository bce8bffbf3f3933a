"""Section 3.3 and Examples C.3 to C.6: equivariances of activations."""

from collections.abc import Sequence

import torch

from paramsym.activations import equivariance
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
from paramsym.residuals import largest

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
            worst = largest(worst, size(error) / (spectral(represented) * size(pair.sigma(z))))
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
            worst = largest(worst, size(error) / terms)
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
        counterexample = largest(counterexample, size(defect) / size(torch.tanh(V @ X)))

        z, g, represented = normal(rng, h, 1), normal(rng, h, h), orthogonal(rng, h)
        before, after = torch.tanh(z), represented.T @ torch.tanh(g @ z)
        targets = torch.cat([torch.zeros(h, 1, dtype=z.dtype), torch.eye(h, dtype=z.dtype)], 1)
        change = ((targets - after) ** 2).sum(0) - ((targets - before) ** 2).sum(0)
        error = (change[0] - change[1:]) / 2 - (after - before)[:, 0]
        recovered = largest(recovered, size(error) / (1 + size(after) ** 2 + size(before) ** 2))
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
        printed = largest(printed, size(value - terms.sum()) / size(value))
        vectors = sum((terms[j] * torch.eye(5, dtype=z.dtype)[j] for j in range(5)), z[:, 0] * 0)
        corrected = largest(corrected, size(value[:, 0] - vectors) / size(value))
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
        "tanh r": lambda z: z * torch.linalg.vector_norm(z, dim=0).tanh(),
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
        printed = largest(printed, abs(norm - product) / norm)
        corrected = largest(corrected, abs(norm**2 - product) / norm**2)
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
            worst = largest(worst, size(sigma(g @ z) - g @ sigma(z)))
    # Vectorised kernels may round the same number differently at different places.
    return Evidence(Residual(worst, rounding(8), "largest ‖σ(gz) − gσ(z)‖, 12 draws"))


@claim(
    "sec-4-groups",
    "Section 4, first paragraph",
    "For ReLU, g in (4) must be in the positive scaling group; for the sigmoid, (4) holds only for "
    "g = 1.",
    documented=Verdict.CORRECTED,
    correction="So it is for the identity component; permutations satisfy (4), too.",
)
def small_groups(rng: torch.Generator) -> Evidence:
    """Permutations that are equivariances, and the Lie algebra of all of them, at h = 4."""
    others, wrong, h = 0, 0, 4
    for sigma, scalings in ((torch.relu, h), (torch.sigmoid, 0)):
        for shift in range(1, h):
            g = torch.eye(h, dtype=torch.float64).roll(shift, 0)
            z = normal(rng, h, SAMPLES)
            others += size(sigma(g @ z) - g @ sigma(z)) <= rounding(8) * size(sigma(z))
        M = equivariance(sigma, h, generator=rng).pairs.inputs
        diagonal = torch.diag_embed(M.diagonal(dim1=1, dim2=2))
        wrong += len(M) != scalings or size(M - diagonal) > 1e-8
    return Evidence(
        Residual(others, 0, "cyclic permutations of 3 that are equivariances, ReLU and sigmoid"),
        Residual(wrong, 0, "of 2 activations whose Lie algebra is not all diagonal matrices, or 0"),
    )
