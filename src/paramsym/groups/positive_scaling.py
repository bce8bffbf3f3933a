"""Positive diagonal scalings."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from paramsym.groups.group import Group


@final
@dataclass(frozen=True)
class PositiveScaling(Group):
    """T₊(n): positive diagonal scalings, the symmetry of homogeneous activations (Example 3.3).

    Elements hold the scale factors, algebra elements their logarithms.
    """

    diagonal: ClassVar[bool] = True
    symbol: ClassVar[str] = "T₊"

    @property
    def entry_shape(self) -> tuple[int, ...]:
        return (self.n,)

    @property
    def dim(self) -> int:
        return self.n * self.copies

    @property
    def symmetric_dim(self) -> int:
        return self.dim

    def identity(self, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.ones(self.shape, dtype=dtype)

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return g * h

    def inverse(self, g: Tensor) -> Tensor:
        return 1 / g

    def exp(self, M: Tensor) -> Tensor:
        return M.exp()

    def power(self, g: Tensor, degree: float) -> Tensor:
        """The representation π(g) = g^α behind an activation homogeneous of degree α."""
        return g if degree == 1 else g**degree

    def contains(self, g: Tensor) -> bool:
        return tuple(g.shape) == self.shape and bool((torch.isfinite(g) & (g > 0)).all())

    def project(self, P: Tensor) -> Tensor:
        return P

    def symmetric(self, M: Tensor) -> Tensor:
        return M
