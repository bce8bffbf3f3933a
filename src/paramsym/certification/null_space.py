"""The null space of a tall matrix, with all the digits that float64 has.

The triangular factor R of a QR factorisation has the singular values of the matrix; the Gram matrix
would have their squares, and lose those below 1e-8.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from scipy import linalg
from torch import Tensor

CLEAR_GAP = 1e3
"""A singular value within this factor above the noise is neither zero nor clearly not."""

SMALL = 256
"""Up to this size the whole singular value decomposition is as fast."""

PROBES = 16
"""Singular values beside the null ones that are computed."""

ITERATIONS = 4
"""Of inverse iteration. Each multiplies the share of a null direction by the squared gap."""


@final
@dataclass(frozen=True)
class SmallSingular:
    """The smallest singular values of a matrix, and their directions.

    Attributes:
        values: Ascending `[k]`: all that are null, and some more.
        vectors: Right singular vectors, orthonormal, `[k, n]`.
        largest: An upper bound of the largest singular value (the Frobenius norm).
    """

    values: Tensor
    vectors: Tensor
    largest: float

    def null(self, noise: float) -> Tensor:
        """The directions of those at most `noise`."""
        return self.vectors[self.values <= noise]

    def between(self, noise: float) -> int:
        """How many are neither null nor clearly not."""
        return int(((self.values > noise) & (self.values <= CLEAR_GAP * noise)).sum())


def triangular(rows: Tensor) -> Tensor:
    """R of the QR factorisation of `[m, n]`, with n rows (zeros where m < n)."""
    R = torch.linalg.qr(rows, mode="r").R
    missing = rows.shape[1] - len(R)
    return torch.cat([R, R.new_zeros(missing, rows.shape[1])]) if missing > 0 else R


def pivoted(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """R of a QR factorisation whose next column is always the longest that is left, and the order
    of the columns. Its diagonal falls where the rank ends."""
    found: Any = linalg.qr(matrix.numpy(), mode="r", pivoting=True, check_finite=False)
    return torch.from_numpy(found[0]).contiguous(), torch.from_numpy(found[1]).long()


def smallest(R: Tensor, noise: float) -> SmallSingular:
    """The singular values of a triangular `[n, n]` matrix that are at most `noise`, and the next.

    By inverse iteration: a few triangular solves. Where pivots are tiny, the columns are pivoted
    first, so that the null directions are set apart and what is solved with is well conditioned.
    """
    n = len(R)
    size = float(R.norm())
    if n <= SMALL or size == 0:
        _, values, vectors = torch.linalg.svd(R)
        return SmallSingular(values.flip(0), vectors.flip(0), size)
    if float(R.diagonal().abs().min()) > CLEAR_GAP * noise:
        found = _inverse_iteration(R, R.new_empty(0, n))
        if float(found[0][0]) > noise:
            return SmallSingular(*found, size)
    R, order = pivoted(R)
    rank = int((R.diagonal().abs() > noise).sum())
    # A x = 0 with the last entries free.
    solved = torch.linalg.solve_triangular(R[:rank, :rank], R[:rank, rank:], upper=True)
    free = torch.eye(n - rank, dtype=R.dtype)
    null = torch.linalg.qr(torch.cat([-solved, free])).Q.mT
    values, vectors = _inverse_iteration(R, null, rank)
    unpivoted = torch.empty_like(vectors)
    unpivoted[:, order] = vectors
    return SmallSingular(values, unpivoted, size)


def _inverse_iteration(R: Tensor, null: Tensor, rank: int | None = None) -> tuple[Tensor, Tensor]:
    """Smallest singular values and vectors of R, given directions `null` `[k, n]` that are null and
    the order `rank` of its leading block, which is invertible."""
    n = R.shape[1]
    rank = n if rank is None else rank
    block = R[:rank, :rank]
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(rank, min(PROBES, rank), generator=generator, dtype=R.dtype)
    for _ in range(ITERATIONS):
        X = torch.linalg.solve_triangular(block.mT, X, upper=False)
        X = torch.linalg.qr(torch.linalg.solve_triangular(block, X, upper=True)).Q
    lifted = torch.cat([X, X.new_zeros(n - rank, X.shape[1])]).mT
    span = torch.linalg.qr(torch.cat([null, lifted]).mT).Q
    _, values, mix = torch.linalg.svd(R @ span, full_matrices=False)
    return values.flip(0), (mix @ span.mT).flip(0)
