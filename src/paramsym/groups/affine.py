"""Invertible affine maps."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from paramsym.groups.group import machine_epsilon
from paramsym.groups.matrix_group import MatrixGroup


@final
@dataclass(frozen=True)
class Affine(MatrixGroup):
    """Aff(n): invertible affine maps z ↦ Az + t, as (n+1)×(n+1) matrices [[A, t], [0, 1]].

    The symmetry of a linear hidden space whose bias can absorb a shift.
    """

    translates: ClassVar[bool] = True
    symbol: ClassVar[str] = "Aff"

    @property
    def entry_shape(self) -> tuple[int, ...]:
        return (self.n + 1, self.n + 1)

    @property
    def dim(self) -> int:
        return self.n * (self.n + 1) * self.copies

    @property
    def symmetric_dim(self) -> int:
        return self.n * (self.n + 1) // 2 * self.copies

    def _component(self, generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
        return self._reflection(generator, dtype)

    def contains(self, g: Tensor) -> bool:
        if not super().contains(g):
            return False
        last = self.identity(g.dtype)[..., -1, :].to(g)
        tolerance = 32 * machine_epsilon(g) * self.n * max(1.0, float(g.abs().max()))
        return bool((g[..., -1, :] - last).abs().max() <= tolerance)

    def project(self, P: Tensor) -> Tensor:
        return P * _affine_mask(self.n, P)

    def symmetric(self, M: Tensor) -> Tensor:
        linear = self.linear_only(M)
        return (linear + linear.mT) / 2

    def linear_only(self, M: Tensor) -> Tensor:
        mask = _affine_mask(self.n, M)
        return M * (mask * mask.mT)

    def linear(self, g: Tensor) -> Tensor:
        return g[..., : self.n, : self.n].reshape(self.copies, self.n, self.n)

    def translation(self, g: Tensor) -> Tensor:
        return g[..., : self.n, self.n]

    def from_parts(self, linear: Tensor | None, translation: Tensor | None) -> Tensor:
        assert linear is not None
        assert translation is not None
        top = torch.cat([linear, translation.reshape(self.copies, self.n, 1)], -1)
        return torch.nn.functional.pad(top, (0, 0, 0, 1)).reshape(self.shape)


def _affine_mask(n: int, like: Tensor) -> Tensor:
    mask = torch.ones(n + 1, n + 1, dtype=like.dtype, device=like.device)
    mask[-1] = 0
    return mask
