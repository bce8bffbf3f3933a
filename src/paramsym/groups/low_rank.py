"""Matrices that differ from a multiple of the unit by little rank, kept as factors."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class LowRank:
    """Matrices c·1 + U Vᵀ, one a copy, that multiply without being formed.

    Elements of this kind generate every matrix group here, so what holds for a random one holds for
    the group, at a cost of O(n) and not O(n²) a vector (docs/derivations.md §32).

    Attributes:
        unit: c: 1 for elements of a group, 0 for those of its algebra.
        left: U, of shape `[copies, n, rank]`.
        right: V, of the same shape.
    """

    unit: float
    left: Tensor
    right: Tensor

    @property
    def mT(self) -> "LowRank":
        """The transposes."""
        return LowRank(self.unit, self.right, self.left)

    def __neg__(self) -> "LowRank":
        return LowRank(-self.unit, -self.left, self.right)

    def __matmul__(self, rows: Tensor) -> Tensor:
        """The products with `rows`, of shape `[copies, n, width]`."""
        if rows.stride(-1) != 1:
            # Laid out as the rows are: those of a column port lie one apart.
            return self._times(rows.mT, self.right, self.left).mT
        change = self.left @ (self.right.mT @ rows)
        return change.add_(rows, alpha=self.unit) if self.unit else change

    def _times(self, columns: Tensor, right: Tensor, left: Tensor) -> Tensor:
        change = (columns @ right) @ left.mT
        return change.add_(columns, alpha=self.unit) if self.unit else change

    def then(self, other: "LowRank") -> "LowRank":
        """The product: first `self`, then `other`; both of a group."""
        # (1 + AB)(1 + UV) = 1 + (U + AB U)V + AB
        left = torch.cat([other @ self.left, other.left], -1)
        return LowRank(1.0, left, torch.cat([self.right, other.right], -1))

    def inverse(self) -> "LowRank":
        """The inverse of elements of a group, by Woodbury's identity."""
        assert self.unit == 1.0
        return LowRank(1.0, -self._solved(1.0), self.right)

    def cayley(self) -> "LowRank":
        """(1 − M/2)⁻¹ (1 + M/2) of elements M of an algebra: exp(M) up to third order, and in the
        group wherever exp(M) is one of its Cayley transforms."""
        assert self.unit == 0.0
        return LowRank(1.0, self._solved(-0.5), self.right)

    def _solved(self, factor: float) -> Tensor:
        """U (1 + factor·VᵀU)⁻¹."""
        core = self.right.mT @ self.left
        unit = torch.eye(core.shape[-1], dtype=core.dtype, device=core.device)
        return torch.linalg.solve(unit + factor * core, self.left, left=False)

    def conjugated(self, gain: Tensor) -> "LowRank":
        """diag(γ) g diag(γ)⁻¹ for gains of shape `[copies or 1, n, 1]`."""
        return LowRank(self.unit, gain * self.left, self.right / gain)

    def to(self, like: Tensor) -> "LowRank":
        """On the device and in the dtype of a tensor."""
        return LowRank(self.unit, self.left.to(like), self.right.to(like))

    def pairing(self, covectors: Tensor, vectors: Tensor) -> Tensor:
        """Σ ⟨y, M x⟩ over corresponding columns y and x of two tensors `[copies, n, width]`."""
        share = ((self.left.mT @ covectors) * (self.right.mT @ vectors)).sum()
        return share + self.unit * (covectors * vectors).sum() if self.unit else share

    def condition(self) -> float:
        """An upper bound of the condition number of elements of a group."""
        return self._size() * self.inverse()._size()

    def _size(self) -> float:
        """An upper bound of the spectral norm."""
        norms = torch.linalg.matrix_norm(self.left) * torch.linalg.matrix_norm(self.right)
        return abs(self.unit) + float(norms.max())

    def formed(self) -> Tensor:
        """The matrices, `[copies, n, n]`."""
        unit = torch.eye(self.left.shape[1], dtype=self.left.dtype, device=self.left.device)
        return self.unit * unit + self.left @ self.right.mT


def reflections(normals: Tensor, coin: Tensor) -> LowRank:
    """Per copy, the reflection along a vector where the coin shows 1, else the unit.

    Args:
        normals: Vectors of shape `[copies, n, 1]`; one that is zero gives the unit.
        coin: Zeros and ones, of shape `[copies]`.
    """
    squares = normals.square().sum(-2, keepdim=True)
    weights = (
        2 * coin.to(normals)[:, None, None] / squares.clamp_min(torch.finfo(normals.dtype).tiny)
    )
    return LowRank(1.0, -weights * normals, normals)
