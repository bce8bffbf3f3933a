"""Rotations and reflections."""

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from paramsym.groups.group import device_of, machine_epsilon
from paramsym.groups.low_rank import LowRank
from paramsym.groups.matrix_group import MatrixGroup


@final
@dataclass(frozen=True)
class Orthogonal(MatrixGroup):
    """O(n), the symmetry of radial activations (Example 3.5).

    Attributes:
        fixes_mean: Only the subgroup O(n−1) that fixes the all-ones vector, which is what
            LayerNorm leaves of the rotations of its input.
    """

    fixes_mean: bool = False
    symbol: ClassVar[str] = "O"

    def __str__(self) -> str:
        if not self.fixes_mean:
            return super().__str__()
        return f"O({self.n - 1})" + (f" × {self.copies}" if self.copies > 1 else "")

    @property
    def _free(self) -> int:
        return self.n - self.fixes_mean

    @property
    def dim(self) -> int:
        return self._free * (self._free - 1) // 2 * self.copies

    @property
    def symmetric_dim(self) -> int:
        return 0

    def inverse(self, g: Tensor) -> Tensor:
        return g.mT

    def sample(
        self,
        scale: float = 0.1,
        *,
        generator: torch.Generator | None = None,
        discrete: bool = False,
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """Draw an element: the Cayley transform (1 − A/2)⁻¹ (1 + A/2) of a random algebra element
        A, which is exp(A) up to third order, and costs one solve.
        """
        half = self.sample_algebra(scale, generator=generator, dtype=dtype) / 2
        unit = self.identity(dtype).to(half.device)
        g = torch.linalg.solve(unit - half, unit + half)
        return self.compose(g, self._component(generator, dtype)) if discrete else g

    def _component(self, generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
        if not self.fixes_mean:
            return self._reflection(generator, dtype)
        if self.n == 1:
            return self.identity(dtype)
        coin = torch.randint(0, 2, (self.copies,), generator=generator, device=device_of(generator))
        # The reflection that exchanges the first two coordinates fixes the mean.
        v = torch.zeros(self.n, dtype=dtype)
        v[0], v[1] = math.sqrt(0.5), -math.sqrt(0.5)
        reflections = 2 * coin.to(v)[:, None, None] * torch.outer(v, v)
        return self.identity(dtype) - reflections.reshape(self.shape)

    def contains(self, g: Tensor) -> bool:
        if tuple(g.shape) != self.shape or not bool(torch.isfinite(g).all()):
            return False
        tolerance = 32 * machine_epsilon(g) * self.n
        orthogonal = bool((g @ g.mT - self.identity(g.dtype).to(g)).abs().max() <= tolerance)
        if not (orthogonal and self.fixes_mean):
            return orthogonal
        return bool((g.sum(-1) - 1).abs().max() <= tolerance)

    def project(self, P: Tensor) -> Tensor:
        if self.fixes_mean:
            P = P - P.mean(-1, keepdim=True)
            P = P - P.mean(-2, keepdim=True)
        return (P - P.mT) / 2

    def symmetric(self, M: Tensor) -> Tensor:
        return torch.zeros_like(M)

    def sample_low_rank_algebra(
        self, scale: float = 1.0, *, generator: torch.Generator | None = None
    ) -> LowRank:
        pair = self._moved_vectors(2, generator)
        a, b = pair[..., :1], pair[..., 1:]
        return LowRank(0.0, scale * torch.cat([a, -b], -1), torch.cat([b, a], -1))

    def sample_low_rank(
        self, scale: float = 0.1, *, generator: torch.Generator | None = None
    ) -> LowRank | None:
        g = super().sample_low_rank(scale, generator=generator)
        return self._reflected(g, self._moved_vectors(1, generator), generator)

    def _moved_vectors(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Vectors of the space that the group moves."""
        vectors = self._vectors(count, generator)
        return vectors - vectors.mean(-2, keepdim=True) if self.fixes_mean else vectors
