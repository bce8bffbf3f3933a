"""Section 5 and Appendix C.8: how many Q_M there are, and how a symmetry moves them."""

import torch
from torch import Tensor

from paramsym.claims.claim import Evidence, Residual, Verdict, claim
from paramsym.claims.flow import EPS, worst
from paramsym.claims.sampling import normal

SIZES = (3, 4, 2)
"""n, h and m of the two-layer linear nets here."""


def quantity(U: Tensor, V: Tensor, M: Tensor) -> float:
    """Q_M(U, V) = Tr[(VVᵀ − UᵀU)M], eq. (12)."""
    return float(((V @ V.T - U.T @ U) * M.T).sum())


def near_identity(rng: torch.Generator, h: int) -> Tensor:
    """A random element of GL(h), of moderate condition."""
    return torch.linalg.matrix_exp(normal(rng, h, h, scale=0.4))


def on_parameters(A: Tensor, B: Tensor, n: int, m: int) -> Tensor:
    """The linear map (U, V) → (UB, AV) as a matrix on the flattened pair."""
    eye_n = torch.eye(n, dtype=A.dtype)
    eye_m = torch.eye(m, dtype=A.dtype)
    return torch.block_diag(torch.kron(eye_m, B.T.contiguous()), torch.kron(A.contiguous(), eye_n))


@claim(
    "sec-5-orbit",
    "Section 5, footnote 8",
    "Q_M(g·θ) = Q_{gᵀMg}(θ) for M in g and g in G.",
    documented=Verdict.CORRECTED,
    correction="True of g and M as matrices that act on Param; in gl(h) only if g is orthogonal.",
)
def transported(rng: torch.Generator) -> Evidence:
    n, h, m = SIZES
    printed: list[tuple[float, float]] = []
    corrected: list[tuple[float, float]] = []
    for _ in range(12):
        U, V, M = normal(rng, m, h), normal(rng, h, n), normal(rng, h, h)
        M, g = M + M.T, near_identity(rng, h)
        inverse = torch.linalg.inv(g)
        moved = quantity(U @ inverse, g @ V, M)
        theta = torch.cat([U.reshape(-1), V.reshape(-1)])
        G, dM = on_parameters(g, inverse, n, m), on_parameters(M, -M, n, m)
        size = float((G @ theta).square().sum() * M.norm())
        bound = EPS * len(theta) * float(torch.linalg.cond(g)) ** 2
        printed.append((abs(moved - quantity(U, V, g.T @ M @ g)) / size, bound))
        corrected.append((abs(moved - float(theta @ G.T @ dM @ G @ theta)) / size, bound))
    return Evidence(
        worst(printed, "largest |Q_M(gθ) − Q_{gᵀMg}(θ)| / ‖M‖‖gθ‖², 12 g in GL(4)"),
        worst(corrected, "the same, with gᵀMg of the matrices that act on Param"),
    )


@claim(
    "fn-8",
    "Footnote 8",
    "gᵀMg belongs to the Lie algebra, which is the case in the examples we consider.",
    documented=Verdict.CORRECTED,
    correction="So it is, as a matrix that acts on Param, if g is orthogonal.",
)
def transported_generator(rng: torch.Generator) -> Evidence:
    n, h, m = SIZES
    basis = torch.stack(
        [
            on_parameters(E, -E, n, m).reshape(-1)
            for E in torch.eye(h * h, dtype=torch.float64).reshape(-1, h, h)
        ]
    ).T
    unit = torch.linalg.qr(basis).Q
    residuals: dict[str, list[tuple[float, float]]] = {"GL(4)": [], "O(4)": []}
    for _ in range(6):
        M, general = normal(rng, h, h), near_identity(rng, h)
        for name, g in (("GL(4)", general), ("O(4)", torch.linalg.qr(general).Q)):
            G = on_parameters(g, torch.linalg.inv(g), n, m)
            x = (G.T @ on_parameters(M, -M, n, m) @ G).reshape(-1)
            outside = float((x - unit @ (unit.T @ x)).norm() / x.norm())
            residuals[name].append((outside, EPS * h * h * float(torch.linalg.cond(g)) ** 2))
    what = "largest part of gᵀMg outside of the algebra, relative, 6 g in {}"
    return Evidence(*(worst(pairs, what.format(name)) for name, pairs in residuals.items()))


@claim(
    "sec-5-count",
    "Section 5",
    "The number of independent nonzero Q_M of a linear net is h(h+1)/2.",
    documented=Verdict.CORRECTED,
    correction="h(h+1)/2 − k(k+1)/2 with k = max(0, h − n − m).",
)
def independent(rng: torch.Generator) -> Evidence:
    wrong, missed, shapes = 0, 0, 0
    for n in range(1, 5):
        for m in range(1, 5):
            for h in range(1, 11):
                rank = independent_quantities(normal(rng, m, h), normal(rng, h, n))
                k = max(0, h - n - m)
                wrong += rank != triangle(h)
                missed += rank != triangle(h) - triangle(k)
                shapes += 1
    what = f"shapes (n, h, m) of {shapes} with another rank of the differential of Q"
    return Evidence(Residual(wrong, 0, what), Residual(missed, 0, what))


def triangle(k: int) -> int:
    """k(k+1)/2."""
    return k * (k + 1) // 2


def independent_quantities(U: Tensor, V: Tensor) -> int:
    """Rank of the differential of VVᵀ − UᵀU at a point."""
    h = len(V)
    N = torch.cat([V, U.T], dim=1)
    signed = torch.cat([V, -U.T], dim=1)
    # Entry ij of Q moves by δN_i·S_j + S_i·δN_j, for S = [V, −Uᵀ].
    i, j = torch.triu_indices(h, h)
    rows = torch.zeros(len(i), h, N.shape[1], dtype=N.dtype)
    at = torch.arange(len(i))
    rows[at, i] += signed[j]
    rows[at, j] += signed[i]
    return int(torch.linalg.matrix_rank(rows.reshape(len(i), -1), rtol=1e-9))


@claim(
    "cor-c.6",
    "Corollary C.6",
    "M ↦ Q_M is an isomorphism of vector spaces from the symmetric part of g to the conserved "
    "quantities of the infinitesimal action.",
    documented=Verdict.HOLDS,
)
def isomorphism(rng: torch.Generator) -> Evidence:
    exceptions = 0
    shapes = [(n, h, m) for n in (1, 2, 3) for m in (1, 2) for h in (1, 2, 4, 7)]
    for n, h, m in shapes:
        i, j = torch.triu_indices(h, h)
        points = 2 * len(i)
        V, U = normal(rng, points, h, n), normal(rng, points, m, h)
        values = (V @ V.mT - U.mT @ U)[:, i, j]
        exceptions += int(torch.linalg.matrix_rank(values, rtol=1e-9)) != len(i)
    what = f"shapes of {len(shapes)} where the Q_M, as functions, span less than the symmetric M"
    return Evidence(Residual(exceptions, 0, what))


@claim(
    "c.8",
    "Appendix C.8",
    "Q_M(exp(tM')·θ) = Q_M + t θᵀ(M'ᵀM + MM')θ + O(t²).",
    documented=Verdict.HOLDS,
)
def expansion(rng: torch.Generator) -> Evidence:
    pairs: list[tuple[float, float]] = []
    for _ in range(5):
        d = 8
        theta, M, X = normal(rng, d), normal(rng, d, d), normal(rng, d, d, scale=d**-0.5)
        first = X.T @ M + M @ X
        second = X.T @ X.T @ M / 2 + X.T @ M @ X + M @ X @ X / 2
        Q, linear, quadratic = (float(theta @ A @ theta) for A in (M, first, second))
        speed = 2 * float(torch.linalg.matrix_norm(X, 2))
        size = float(torch.linalg.matrix_norm(M, 2) * theta.square().sum())
        for t in (1e-1, 1e-2, 1e-3):
            moved = torch.linalg.matrix_exp(t * X) @ theta
            rest = float(moved @ M @ moved) - Q - t * linear
            # Taylor's remainder, and the rounding of Q.
            bound = size * ((t * speed) ** 2 / 2 * torch.e ** (t * speed) + 2 * d * EPS)
            pairs.append((abs(rest), bound))
            cubic = size * ((t * speed) ** 3 / 6 * torch.e ** (t * speed) + 2 * d * EPS)
            pairs.append((abs(rest - t * t * quadratic), cubic))
    return Evidence(worst(pairs, "remainders of 1st and 2nd order, against Taylor's bounds"))
