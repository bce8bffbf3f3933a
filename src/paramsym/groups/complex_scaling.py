"""Complex numbers, acting on planes."""

from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor

from paramsym.groups.matrix_group import MatrixGroup


@final
@dataclass(frozen=True)
class ComplexScaling(MatrixGroup):
    """Scale and rotation of a coordinate pair, one pair a copy: the commutant of RoPE.

    Elements are the 2×2 matrices [[a, −b], [b, a]] of non-zero complex numbers a + ib.
    """

    n: int = field(default=2, init=False)
    symbol: ClassVar[str] = "ℂˣ"

    def __str__(self) -> str:
        return self.symbol + (f" × {self.copies}" if self.copies > 1 else "")

    @property
    def dim(self) -> int:
        return 2 * self.copies

    @property
    def symmetric_dim(self) -> int:
        return self.copies

    def project(self, P: Tensor) -> Tensor:
        turned = torch.stack([torch.stack([P[..., 1, 1], -P[..., 1, 0]], -1),
                              torch.stack([-P[..., 0, 1], P[..., 0, 0]], -1)], -2)  # fmt: skip
        return (P + turned) / 2

    def symmetric(self, M: Tensor) -> Tensor:
        return (M + M.mT) / 2

    def contains(self, g: Tensor) -> bool:
        return super().contains(g) and self.contains_algebra(g)
