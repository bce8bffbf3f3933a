"""Translations."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from paramsym.groups.group import Group, machine_epsilon


@final
@dataclass(frozen=True)
class Translation(Group):
    """The additive group R^n: a shift along directions that the family's terms spell out.

    Attributes:
        mean_free: Only shifts of mean zero, in every copy: n − 1 dimensions. What shifts all
            coordinates alike is left to other families then.
    """

    mean_free: bool = False
    translates: ClassVar[bool] = True
    symbol: ClassVar[str] = "R"

    def __str__(self) -> str:
        return f"R^{self.n - self.mean_free}" + (f" × {self.copies}" if self.copies > 1 else "")

    @property
    def entry_shape(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def dim(self) -> int:
        return (self.n - self.mean_free) * self.copies

    @property
    def symmetric_dim(self) -> int:
        return self.dim

    def identity(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.zeros(self.shape, dtype=dtype)

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return g + h

    def inverse(self, g: Tensor) -> Tensor:
        return -g

    def exp(self, M: Tensor) -> Tensor:
        return M

    def contains(self, g: Tensor) -> bool:
        if tuple(g.shape) != self.shape or not bool(torch.isfinite(g).all()):
            return False
        tolerance = 16 * machine_epsilon(g) * self.n * float(g.abs().max())
        return not self.mean_free or bool((g - self.project(g)).abs().max() <= tolerance)

    def project(self, P: Tensor) -> Tensor:
        return P - P.mean(-1, keepdim=True) if self.mean_free else P

    def symmetric(self, M: Tensor) -> Tensor:
        return M

    def linear(self, g: Tensor) -> Tensor | None:
        return None

    def linear_only(self, M: Tensor) -> Tensor:
        return torch.zeros_like(M)

    def translation(self, g: Tensor) -> Tensor:
        return g

    def from_parts(self, linear: Tensor | None, translation: Tensor | None) -> Tensor:
        assert linear is None
        assert translation is not None
        return translation.reshape(self.shape)
