"""An orthogonal h×h matrix with k given first columns, applied in O(hk)."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class BlockReflector:
    """Q = I − X M Xᵀ with X = E − W, M = (I − WᵀE)⁻¹, E the first k columns of I.

    For W with orthonormal columns Q is orthogonal, and QE = W: XᵀX = M⁻¹ + M⁻ᵀ gives both. It is
    the compact form of a product of k Householder reflections, differentiable in W.

    Attributes:
        columns: W, `[..., h, k]`, with I − WᵀE invertible.
    """

    columns: Tensor

    def apply(self, w: Tensor) -> Tensor:
        """Q w, along the last axis of `[..., r, h]`."""
        return self._reflect(w, self._small())

    def transpose(self, w: Tensor) -> Tensor:
        """Qᵀ w."""
        return self._reflect(w, self._small().mT)

    def _small(self) -> Tensor:
        """M⁻¹ = I − WᵀE, `[..., k, k]`."""
        k = self.columns.shape[-1]
        eye = torch.eye(k, dtype=self.columns.dtype, device=self.columns.device)
        return eye - self.columns[..., :k, :].mT

    def _reflect(self, w: Tensor, small: Tensor) -> Tensor:
        """w − X small⁻¹ Xᵀ w, on rows: w − (w X) small⁻ᵀ Xᵀ."""
        k = self.columns.shape[-1]
        parts = w[..., :k] - w @ self.columns
        parts = torch.linalg.solve(small, parts.mT).mT
        head, tail = w[..., :k] - parts, w[..., k:]
        return torch.cat([head, tail.expand(*head.shape[:-1], -1)], -1) + parts @ self.columns.mT
