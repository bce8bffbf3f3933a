"""The conserved quantity of one linear hidden space, brought to a target (docs/derivations.md §17).

With A = W Wᵀ and B = R Rᵀ an element turns Q = A − B into gAgᵀ − g⁻ᵀBg⁻¹. Everything is batched
over copies, such as heads, and costs O(h³) for each.
"""

import torch
from torch import Tensor

NEWTON_STEPS = 60
LARGEST_STEP = 2.0
"""Largest eigenvalue of a step M, in exp(M)."""

DEFINITE = 1e-10
"""Smallest eigenvalue, relative to the mean, from which A and B count as positive definite."""

SINGULAR = 1e-13
"""Sums of two eigenvalues of A + B below this, relative to the largest, are directions in which Q
does not move to first order."""


def definite(S: Tensor) -> Tensor:
    """For every matrix of a batch, whether it is positive definite, safely beyond rounding."""
    mean = S.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    one = torch.eye(S.shape[-1], dtype=S.dtype)
    return (torch.linalg.cholesky_ex(S - DEFINITE * mean * one).info == 0) & (mean[..., 0, 0] > 0)


def scalar_target(A: Tensor, B: Tensor, q: Tensor) -> Tensor:
    """The symmetric positive g with Q = qI, for A and B positive definite.

    P = gᵀg solves PAP − B = qP. With A = LLᵀ and Z = LᵀPL this is Z² − qZ = LᵀBL; for q = 0, P is
    the geometric mean of A⁻¹ and B.

    Args:
        A: `[copies, h, h]`.
        B: `[copies, h, h]`.
        q: `[copies]`.
    """
    L = torch.linalg.cholesky(A)
    mu, inner = torch.linalg.eigh(_even(L.mT @ B @ L))
    mu, half = mu.clamp(min=0), q[..., None] / 2
    distance = torch.hypot(half, mu.sqrt())
    # Of q/2 ± the root, the form without cancellation.
    Z = torch.where(half >= 0, half + distance, mu / (distance - half))
    factor = torch.linalg.solve_triangular(L.mT, inner * Z[..., None, :].sqrt(), upper=True)
    values, vectors = torch.linalg.eigh(_even(factor @ factor.mT))
    return _rebuilt(vectors, values.clamp(min=0).sqrt())


def newton(A: Tensor, B: Tensor, target: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """g with Q = target by damped Newton steps, and the gap left, relative to A + B.

    Along exp(tM)g with M symmetric dQ/dt = MC + CM, C = A + B, so that a step solves a Lyapunov
    equation; each is shortened until the gap falls.

    Args:
        A: `[copies, h, h]`.
        B: `[copies, h, h]`.
        target: Symmetric, `[copies, h, h]`.
        eps: Relative accuracy to stop at.

    Returns:
        `[copies, h, h]`, and the gaps `[copies]`.
    """
    g = torch.eye(A.shape[-1], dtype=A.dtype).expand(A.shape).clone()
    X, Y = A, B
    gap = _size(target - X + Y)
    for _ in range(NEWTON_STEPS):
        if bool((gap <= eps * _size(X + Y)).all()):
            break
        M = lyapunov(X + Y, target - X + Y)
        values, vectors = torch.linalg.eigh(M)
        largest = values.abs().amax(-1).clamp(min=torch.finfo(A.dtype).tiny)
        t = (LARGEST_STEP / largest).clamp(max=1.0)
        accepted = torch.zeros(len(A), dtype=torch.bool)
        for _ in range(12):
            stretch = (t[:, None] * values).exp()
            step, back = _rebuilt(vectors, stretch), _rebuilt(vectors, 1 / stretch)
            P, N = _even(step @ X @ step), _even(back @ Y @ back)
            tried = _size(target - P + N)
            better = ~accepted & (tried <= (1 - t / 4) * gap)
            X, Y = _chosen(better, P, X), _chosen(better, N, Y)
            g, gap = _chosen(better, step @ g, g), torch.where(better, tried, gap)
            accepted = accepted | better
            if bool((accepted | (gap <= eps * _size(X + Y))).all()):
                break
            t = torch.where(accepted, t, t / 2)
        if not bool(accepted.any()):
            break
    return g, gap / _size(X + Y).clamp(min=torch.finfo(A.dtype).tiny)


def lyapunov(C: Tensor, right: Tensor) -> Tensor:
    """Symmetric M with MC + CM = right, least squares where C is singular; batched."""
    values, vectors = torch.linalg.eigh(C)
    sums = values[..., :, None] + values[..., None, :]
    solvable = sums > SINGULAR * values[..., -1:, None].clamp(min=torch.finfo(C.dtype).tiny)
    inner = vectors.mT @ right @ vectors
    return _even(
        vectors @ torch.where(solvable, inner / torch.where(solvable, sums, 1.0), 0.0) @ vectors.mT
    )


def symmetric_exp(M: Tensor) -> Tensor:
    """exp of symmetric matrices, symmetric to the last bit."""
    values, vectors = torch.linalg.eigh(M)
    return _even(_rebuilt(vectors, values.exp()))


def _rebuilt(vectors: Tensor, values: Tensor) -> Tensor:
    return (vectors * values[..., None, :]) @ vectors.mT


def _even(S: Tensor) -> Tensor:
    return (S + S.mT) / 2


def _size(S: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(S)


def _chosen(where: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(where[:, None, None], a, b)
