"""What groups of matrices have in common."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from paramsym.groups.group import Group, device_of, machine_epsilon
from paramsym.groups.low_rank import LowRank, reflections


@dataclass(frozen=True)
class MatrixGroup(Group):
    """A group of n×n matrices under multiplication."""

    @property
    def entry_shape(self) -> tuple[int, ...]:
        return (self.n, self.n)

    def identity(self, dtype: torch.dtype = torch.float64) -> Tensor:
        size = self.entry_shape[0]
        return torch.eye(size, dtype=dtype).expand(self.shape).clone()

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return g @ h

    def inverse(self, g: Tensor) -> Tensor:
        return torch.linalg.inv(g)

    def exp(self, M: Tensor) -> Tensor:
        # A pair, because torch evaluates a matrix that is alone in its range of norms (about 0.01
        # to 0.1 in float64) by a polynomial with a wrong coefficient, to 1e-10 only
        # (pytorch#196592).
        return torch.linalg.matrix_exp(torch.stack([M, M]))[0]

    def contains(self, g: Tensor) -> bool:
        if tuple(g.shape) != self.shape or not bool(torch.isfinite(g).all()):
            return False
        return bool((torch.linalg.cond(g) < 1 / machine_epsilon(g)).all())

    def _reflection(self, generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
        """Per copy, the unit or the reflection of the last coordinate, with probability ½."""
        coin = torch.randint(0, 2, (self.copies,), generator=generator, device=device_of(generator))
        reflection = self.identity(dtype).reshape(self.copies, *self.entry_shape)
        reflection[:, self.n - 1, self.n - 1] = 1 - 2 * coin.to(reflection)
        return reflection.reshape(self.shape)

    def _vectors(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Random vectors of length about 1, `[copies, n, count]`."""
        noise = torch.randn(
            (self.copies, self.n, count),
            generator=generator,
            dtype=torch.float64,
            device=device_of(generator),
        )
        return noise / math.sqrt(self.n)

    def _reflected(
        self, g: LowRank | None, normals: Tensor, generator: torch.Generator | None
    ) -> LowRank | None:
        """In every copy after a reflection, with probability ½."""
        coin = torch.randint(0, 2, (self.copies,), generator=generator, device=device_of(generator))
        return None if g is None else reflections(normals, coin).then(g)
