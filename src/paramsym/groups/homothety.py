"""Scalings of lines about a point."""

from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor

from paramsym.groups.group import machine_epsilon
from paramsym.groups.matrix_group import MatrixGroup


@final
@dataclass(frozen=True)
class Homothety(MatrixGroup):
    """Positive scalings x ↦ c + a (x − c) of lines about a point c, one line a copy.

    A gain 1 + γ may be scaled as any other gain: γ moves by a homothety about c = −1, and what
    stands beside it by the ratio a. Elements are the matrices [[a, c (1 − a)], [0, 1]]; no
    generator is symmetric, unless c = 0.

    With c = 1 the terms of a family say what 1 − a is multiplied by: a point for every line, such
    as the running means of a batch norm, or amounts that other parameters give. It then prints as
    any group of scalings.

    Attributes:
        centre: The point that stays.
    """

    n: int = field(default=1, init=False)
    centre: float = -1.0

    translates: ClassVar[bool] = True
    splits: ClassVar[bool] = False
    symbol: ClassVar[str] = "T₊"

    def __str__(self) -> str:
        about = f" about {self.centre:g}" if self.centre != 1 else ""
        return f"{self.symbol}({self.copies}){about}"

    @property
    def entry_shape(self) -> tuple[int, ...]:
        return (2, 2)

    @property
    def dim(self) -> int:
        return self.copies

    @property
    def symmetric_dim(self) -> int:
        return 0

    def identity(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.eye(2, dtype=dtype).expand(self.shape).clone()

    def inverse(self, g: Tensor) -> Tensor:
        return self._with_ratio(1 / g[..., :1, :1])

    def exp(self, M: Tensor) -> Tensor:
        return self._with_ratio(M[..., :1, :1].exp())

    def _with_ratio(self, a: Tensor) -> Tensor:
        """[[a, c (1 − a)], [0, 1]]."""
        top = torch.cat([a, self.centre * (1 - a)], -1)
        return torch.cat([top, torch.cat([torch.zeros_like(a), torch.ones_like(a)], -1)], -2)

    def contains(self, g: Tensor) -> bool:
        if not super().contains(g):
            return False
        near = self.contains_algebra(g - self.identity(g.dtype).to(g))
        return near and bool((g[..., 0, 0] > 0).all())

    def contains_algebra(self, M: Tensor) -> bool:
        if tuple(M.shape) != self.shape or not bool(torch.isfinite(M).all()):
            return False
        # Both are differences from the unit: what is left over is rounding of numbers near 1.
        size = max(1.0, float(M.norm()))
        return bool((M - self.project(M)).norm() <= 32 * machine_epsilon(M) * size)

    def project(self, P: Tensor) -> Tensor:
        unit = torch.tensor([[1.0, -self.centre], [0.0, 0.0]], dtype=P.dtype, device=P.device)
        return (P * unit).sum((-2, -1), keepdim=True) / unit.square().sum() * unit

    def symmetric(self, M: Tensor) -> Tensor:
        return torch.zeros_like(M)

    def antisymmetric(self, M: Tensor) -> Tensor:
        return torch.zeros_like(M)

    def linear_only(self, M: Tensor) -> Tensor:
        mask = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=M.dtype, device=M.device)
        return M * mask

    def linear(self, g: Tensor) -> Tensor:
        return g[..., :1, :1].reshape(self.copies, 1, 1)

    def translation(self, g: Tensor) -> Tensor:
        return g[..., :1, 1]

    def from_parts(self, linear: Tensor | None, translation: Tensor | None) -> Tensor:
        assert linear is not None
        assert translation is not None
        top = torch.cat([linear, translation.reshape(self.copies, 1, 1)], -1)
        return torch.nn.functional.pad(top, (0, 0, 0, 1)).reshape(self.shape)
