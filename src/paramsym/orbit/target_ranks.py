"""Which targets a linear hidden space can reach, by ranks and inertia (docs/derivations.md §17)."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Ranks:
    """Ranks of a hidden space R^h with writers W and readers R, which no group element changes.

    Attributes:
        h: Dimension of the space.
        writers: rk W.
        readers: rk R.
        passed: rk RᵀW, of the linear map that the space passes on.
    """

    h: int
    writers: int
    readers: int
    passed: int

    @classmethod
    def of(cls, W: Tensor, R: Tensor, eps: float) -> "Ranks":
        """Ranks of `[h, a]` and `[h, b]` whose entries are known to a relative `eps`."""
        written, read = span(W, eps), span(R, eps)
        common = torch.linalg.svdvals(read.mT @ written) if written.numel() and read.numel() else W
        # Cosines between the spans; both bases are known to about eps · condition.
        passed = int((common > 1e3 * len(W) * eps).sum()) if common is not W else 0
        return cls(len(W), written.shape[1], read.shape[1], passed)

    def allow(self, plus: int, minus: int) -> bool:
        """Whether a Q* with so many positive and negative eigenvalues is reached."""
        return (
            self.writers - self.passed <= plus <= self.writers
            and self.readers - self.passed <= minus <= self.readers
        )

    def refusal(self, plus: int, minus: int) -> str:
        """Why not, for an error."""
        return (
            f"it has {plus} positive and {minus} negative eigenvalues; here the writers have rank "
            f"{self.writers}, the readers {self.readers}, and their product {self.passed}, so that "
            f"every Q of this orbit has {self.writers - self.passed} to {self.writers} positive "
            f"and {self.readers - self.passed} to {self.readers} negative ones"
        )


def span(W: Tensor, eps: float) -> Tensor:
    """An orthonormal basis of the column space, `[h, rank]`."""
    if not W.numel():
        return W.new_zeros(len(W), 0)
    U, values, _ = torch.linalg.svd(W, full_matrices=False)
    return U[:, values > max(W.shape) * eps * values[0]]


def inertia(target: Tensor) -> tuple[int, int]:
    """Numbers of positive and negative eigenvalues of a symmetric matrix, to rounding."""
    values = torch.linalg.eigvalsh(target)
    zero = 8 * len(target) * torch.finfo(target.dtype).eps * values.abs().max()
    return int((values > zero).sum()), int((values < -zero).sum())
