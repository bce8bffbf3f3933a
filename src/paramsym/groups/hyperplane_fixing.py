"""Matrices that fix every vector of a hyperplane."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from paramsym.groups.low_rank import LowRank
from paramsym.groups.matrix_group import MatrixGroup


@final
@dataclass(frozen=True)
class HyperplaneFixing(MatrixGroup):
    """Matrices I + w 1ᵀ with 1ᵀw ≠ −1, which fix every vector of mean zero.

    Seen through its gain, the output of a LayerNorm is such a vector plus the LayerNorm's bias. So
    a reader without a bias of its own can absorb what it does to that bias (docs/derivations.md
    §22). The group has dimension n and does not commute. Of its generators w 1ᵀ, those along w = 1
    are symmetric, and none is antisymmetric.
    """

    splits: ClassVar[bool] = False
    symbol: ClassVar[str] = "Fix"

    @property
    def dim(self) -> int:
        return self.n * self.copies

    @property
    def symmetric_dim(self) -> int:
        return self.copies

    def project(self, P: Tensor) -> Tensor:
        return P.mean(-1, keepdim=True).expand_as(P)

    def symmetric(self, M: Tensor) -> Tensor:
        return M.mean((-2, -1), keepdim=True).expand_as(M)

    def antisymmetric(self, M: Tensor) -> Tensor:
        return torch.zeros_like(M)

    def contains(self, g: Tensor) -> bool:
        if not super().contains(g):
            return False
        return self.contains_algebra(g - self.identity(g.dtype).to(g))

    def sample_low_rank_algebra(
        self, scale: float = 1.0, *, generator: torch.Generator | None = None
    ) -> LowRank:
        w = self._vectors(1, generator)
        return LowRank(0.0, scale * w, torch.full_like(w, 1 / math.sqrt(self.n)))
