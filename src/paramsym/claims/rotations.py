"""Section 4 and Appendix D.1: the matrices R_z with first column z."""

from math import atan2, cos, hypot, prod, sin

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.sampling import normal, rounding, size, spectral
from paramsym.data_dependent.frames import Cumulative
from paramsym.residuals import largest

WIDTHS = (2, 3, 5, 9)
DRAWS = 8


def rotation(angles: list[float]) -> Tensor:
    """R(β) entry by entry as in Definition D.1, with β₀ = β_h = 0."""
    h, beta = len(angles) + 1, [0.0, *angles, 0.0]
    R = torch.zeros(h, h, dtype=torch.float64)
    for i in range(1, h + 1):
        for j in range(1, i + 1):
            tail = prod(sin(b) for b in beta[j:i])
            R[i - 1, j - 1] = cos(beta[j - 1]) * tail * cos(beta[i])
        if i < h:
            R[i - 1, i] = -sin(beta[i])
    return R


def spherical(z: Tensor) -> list[float]:
    """Spherical coordinates α of footnote 5; 0 where a tail vanishes."""
    x = z.tolist()
    tails = [hypot(*x[j:]) for j in range(len(x))]
    return [*(atan2(tails[j + 1], x[j]) for j in range(len(x) - 2)), atan2(x[-1], x[-2])]


def frame(z: Tensor) -> Tensor:
    """R_z = ‖z‖R(α), as in the proof of Proposition D.3."""
    return size(z) * rotation(spherical(z))


def printed_frame(z: Tensor) -> Tensor:
    """R_z by the entry formula of Section 4."""
    h, x, norm = len(z), z.tolist(), size(z)
    alpha = [0.0, *spherical(z), 0.0]
    R = torch.zeros(h, h, dtype=torch.float64)
    for i in range(1, h + 1):
        for j in range(1, i + 1):
            if prod(sin(a) for a in alpha[1:i]) != 0:
                below = prod(sin(a) for a in alpha[1:j])
                R[i - 1, j - 1] = x[i - 1] * cos(alpha[j - 1]) / below
        if i < h:
            R[i - 1, i] = -norm * sin(alpha[i])
    return R


def generic(rng: torch.Generator) -> list[Tensor]:
    """Vectors without special position, of all widths."""
    return [normal(rng, h) for h in WIDTHS for _ in range(DRAWS)]


def with_zero_tails(rng: torch.Generator) -> list[Tensor]:
    """Vectors whose last coordinates, two or more, are 0."""
    vectors = []
    for h in (3, 4, 6):
        for kept in range(1, h - 1):
            z = normal(rng, h)
            z[kept:] = 0
            vectors.append(z)
    return vectors


def _condition(z: Tensor) -> float:
    """How much dividing by sines enlarges the rounding of Section 4's formula."""
    return size(z) / min(size(z[j:]) for j in range(len(z)))


def _far(R: Tensor, z: Tensor) -> float:
    """‖RᵀR/|z|² − I‖: how far R is from an orthogonal matrix times |z|."""
    return spectral(R.T @ R / size(z) ** 2 - torch.eye(len(z), dtype=z.dtype))


@claim(
    "def-d.1",
    "Definition D.1",
    "R(β) for n = 1 and n = 2 is the rotation by β and the 3×3 matrix shown.",
    documented=Verdict.HOLDS,
)
def examples(rng: torch.Generator) -> Evidence:
    """The formula against the two matrices written out, and the fast R_z against the formula."""
    worst = 0.0
    for _ in range(DRAWS):
        a, b = (normal(rng, 2) * 3).tolist()
        plane = [[cos(a), -sin(a)], [sin(a), cos(a)]]
        space = [
            [cos(a), -sin(a), 0],
            [sin(a) * cos(b), cos(a) * cos(b), -sin(b)],
            [sin(a) * sin(b), cos(a) * sin(b), cos(b)],
        ]
        worst = largest(worst, size(rotation([a]) - torch.tensor(plane, dtype=torch.float64)))
        worst = largest(worst, size(rotation([a, b]) - torch.tensor(space, dtype=torch.float64)))
    for z in generic(rng) + with_zero_tails(rng):
        fast = Cumulative().apply(z, torch.eye(len(z), dtype=z.dtype)).T
        worst = largest(worst, size(fast - frame(z)) / size(z))
    what = "largest difference of the formula, the examples and the fast R_z"
    return Evidence(Residual(worst, rounding(64), what))


@claim(
    "lemma-d.2-1",
    "Lemma D.2 (1)",
    "Σ_i cos²β_i Π_{k<i} sin²β_k + Π_k sin²β_k = 1.",
    documented=Verdict.HOLDS,
)
def partition(rng: torch.Generator) -> Evidence:
    """The identity at random angles."""
    worst = 0.0
    for h in WIDTHS:
        for _ in range(DRAWS):
            beta = (normal(rng, h - 1) * 3).tolist()
            squares = [sin(b) ** 2 for b in beta]
            total = sum(cos(b) ** 2 * prod(squares[:i]) for i, b in enumerate(beta))
            worst = largest(worst, abs(total + prod(squares) - 1))
    return Evidence(Residual(worst, rounding(64), f"largest |sum − 1|, {4 * DRAWS} draws"))


@claim(
    "lemma-d.2-2",
    "Lemma D.2 (2)",
    "R(β) is orthogonal.",
    documented=Verdict.HOLDS,
)
def orthogonality(rng: torch.Generator) -> Evidence:
    """RᵀR = I, and det R = 1, which the paper calls a rotation."""
    worst = 0.0
    for h in WIDTHS:
        for _ in range(DRAWS):
            R = rotation((normal(rng, h - 1) * 3).tolist())
            worst = largest(worst, spectral(R.T @ R - torch.eye(h, dtype=R.dtype)))
            worst = largest(worst, abs(float(torch.linalg.det(R)) - 1))
    what = f"largest ‖RᵀR − I‖ and |det R − 1|, {4 * DRAWS} draws"
    return Evidence(Residual(worst, rounding(64), what))


@claim(
    "prop-d.3",
    "Proposition D.3 (1–3)",
    "R_z has first column z, norm |z|, and is orthogonal if |z| = 1; R_z⁻¹ = R_zᵀ/|z|².",
    documented=Verdict.HOLDS,
)
def frames(rng: torch.Generator) -> Evidence:
    """At random vectors, and at vectors with zero tails."""
    worst = 0.0
    for z in generic(rng) + with_zero_tails(rng):
        R, norm = frame(z), size(z)
        worst = largest(worst, size(R[:, 0] - z) / norm, abs(spectral(R) - norm) / norm)
        worst = largest(worst, abs(spectral(torch.linalg.inv(R)) * norm - 1))
        worst = largest(worst, _far(R, z))
    what = "largest relative error of the column, both norms, and R_zᵀR_z = |z|²I"
    return Evidence(Residual(worst, rounding(64), what))


@claim(
    "sec-4-entries-generic",
    "Section 4, before Theorem 4.1",
    "The entries (R_z)_ij given by z_i cos(α_{j−1})/Π_{k<j} sin α_k are those of |z|R(α).",
    documented=Verdict.HOLDS,
)
def entries(rng: torch.Generator) -> Evidence:
    """Both formulas at vectors without zeros."""
    worst = 0.0
    for z in generic(rng):
        worst = largest(worst, size(printed_frame(z) - frame(z)) / size(z) / _condition(z))
    what = "largest relative difference, over the ratio of |z| to its shortest tail"
    return Evidence(Residual(worst, rounding(64), what))


@claim(
    "sec-4-entries",
    "Section 4, before Theorem 4.1",
    "For any nonzero z, the matrix with these entries is a rotation times |z|.",
    documented=Verdict.CORRECTED,
    correction="Where sines vanish take |z|R(α), whose entries r·cos α_{j−1}·Π_{j≤k<i} sin α_k"
    "·cos α_i need no division; the printed matrix is singular there.",
)
def degenerate_entries(rng: torch.Generator) -> Evidence:
    """R_zᵀR_z against |z|²I at vectors with zero tails, by both formulas."""
    printed, corrected = 0.0, 0.0
    for z in with_zero_tails(rng):
        printed = largest(printed, _far(printed_frame(z), z))
        corrected = largest(corrected, _far(frame(z), z))
    what = "largest ‖R_zᵀR_z/|z|² − I‖ at z with zero tails"
    bound = rounding(64)
    return Evidence(Residual(printed, bound, what), Residual(corrected, bound, what))


@claim(
    "sec-4-first-column",
    "Section 4, before Theorem 4.1",
    "The first column of R_z is the unit vector z/|z|.",
    documented=Verdict.CORRECTED,
    correction="It is z, as in Proposition D.3.",
)
def first_column(rng: torch.Generator) -> Evidence:
    """The first column of Section 4's own formula."""
    printed, corrected = 0.0, 0.0
    for z in generic(rng):
        column = printed_frame(z)[:, 0]
        printed = largest(printed, size(column - z / size(z)))
        corrected = largest(corrected, size(column - z) / size(z))
    bound = rounding(64)
    return Evidence(
        Residual(printed, bound, f"largest ‖R_z e₁ − z/|z|‖, {4 * DRAWS} draws"),
        Residual(corrected, bound, f"largest ‖R_z e₁ − z‖ / |z|, {4 * DRAWS} draws"),
    )


def multiplication(z: Tensor) -> Tensor:
    """w ↦ zw in the real numbers, complex numbers, quaternions or octonions (Cayley–Dickson).

    Its first column is z, it is orthogonal times |z|, and it is linear in z.
    """
    unit = torch.eye(len(z), dtype=z.dtype)
    return torch.stack([_product(z, e) for e in unit], 1)


def _conjugate(x: Tensor) -> Tensor:
    return torch.cat([x[:1], -x[1:]])


def _product(x: Tensor, y: Tensor) -> Tensor:
    if len(x) == 1:
        return x * y
    (a, b), (c, d) = x.chunk(2), y.chunk(2)
    first = _product(a, c) - _product(_conjugate(d), b)
    return torch.cat([first, _product(d, a) + _product(b, _conjugate(c))])


NEAR = 1e-9
"""Distance of the points between which a jump is measured, relative to their size."""


@claim(
    "prop-d.3-continuity",
    "Proposition D.3",
    "There is a continuous map z ↦ R_z with these properties, in any dimension h.",
    documented=Verdict.CORRECTED,
    correction="Only for h = 1, 2, 4, 8 (Bott and Milnor, Kervaire 1958), by multiplication with "
    "z; for h ≥ 3 the paper's R_z jumps where z_{h−1} = z_h = 0.",
)
def continuity(rng: torch.Generator) -> Evidence:
    """Jumps of R_z between points 2e-9 apart; a Lipschitz map of constant 100 has 2e-7."""
    jump = 0.0
    for h in (3, 4, 6):
        z = normal(rng, h)
        z[-2:] = 0
        for _ in range(DRAWS):
            x, y = z.clone(), z.clone()
            turn = NEAR * size(z) * torch.nn.functional.normalize(normal(rng, 2), dim=0)
            x[-2:], y[-2:] = turn, -turn
            jump = largest(jump, spectral(frame(x) - frame(y)) / size(z))
    corrected = 0.0
    for h in (1, 2, 4, 8):
        z, step = normal(rng, h), NEAR * normal(rng, h)
        R = multiplication(z)
        corrected = largest(corrected, size(R[:, 0] - z) / size(z))
        corrected = largest(corrected, _far(R, z))
        change = multiplication(z + step) - R - multiplication(step)
        corrected = largest(corrected, spectral(change) / size(z))
    return Evidence(
        Residual(jump, 200 * NEAR, "largest ‖R_x − R_y‖/|x| over points with |x − y| = 2e-9|x|"),
        Residual(corrected, rounding(64), "error of column, norm, linearity for h = 1, 2, 4, 8"),
    )
