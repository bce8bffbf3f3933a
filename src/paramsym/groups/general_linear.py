"""All invertible matrices."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from paramsym.groups.low_rank import LowRank
from paramsym.groups.matrix_group import MatrixGroup


@final
@dataclass(frozen=True)
class GeneralLinear(MatrixGroup):
    """GL(n), the symmetry of a hidden space with no activation (Example 3.2)."""

    symbol: ClassVar[str] = "GL"

    @property
    def dim(self) -> int:
        return self.n**2 * self.copies

    @property
    def symmetric_dim(self) -> int:
        return self.n * (self.n + 1) // 2 * self.copies

    def _component(self, generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
        return self._reflection(generator, dtype)

    def project(self, P: Tensor) -> Tensor:
        return P

    def symmetric(self, M: Tensor) -> Tensor:
        return (M + M.mT) / 2

    def sample_low_rank_algebra(
        self, scale: float = 1.0, *, generator: torch.Generator | None = None
    ) -> LowRank:
        return LowRank(0.0, scale * self._vectors(1, generator), self._vectors(1, generator))

    def sample_low_rank(
        self, scale: float = 0.1, *, generator: torch.Generator | None = None
    ) -> LowRank | None:
        g = super().sample_low_rank(scale, generator=generator)
        return self._reflected(g, self._vectors(1, generator), generator)
