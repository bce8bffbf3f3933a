"""Discrete groups that act on hidden spaces: permutations and signs of coordinates.

Elements are plain tensors of `group.shape`, as those of the Lie groups are; `copies` independent
copies stack along a leading axis, which is absent when there is one copy.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor


@dataclass(frozen=True)
class DiscreteGroup(ABC):
    """A finite group acting on `copies` independent sets of n coordinates.

    Attributes:
        n: Number of coordinates that one copy acts on. A coordinate may stand for a whole block of
            rows, as an attention head does.
        copies: Number of independent copies.
    """

    n: int
    copies: int = 1

    symbol: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.n < 1 or self.copies < 1:
            raise ValueError(
                f"{type(self).__name__}: `n` and `copies` must be positive integers; "
                f"got n={self.n}, copies={self.copies}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an element."""
        return (self.n,) if self.copies == 1 else (self.copies, self.n)

    @property
    @abstractmethod
    def log10_order(self) -> float:
        """log₁₀ of the number of elements."""

    @abstractmethod
    def identity(self) -> Tensor:
        """The unit, a tensor of `shape`."""

    @abstractmethod
    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """The product `gh`: first `h`, then `g`."""

    @abstractmethod
    def inverse(self, g: Tensor) -> Tensor:
        """The inverse of `g`."""

    @abstractmethod
    def contains(self, g: Tensor) -> bool:
        """Whether `g` is an element. Reads values: not for use under `vmap`."""

    @abstractmethod
    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw an element, uniformly."""

    @abstractmethod
    def apply(self, g: Tensor, rows: Tensor) -> Tensor:
        """The rows of coordinates `[copies, n, width]`, moved by `g`."""

    @abstractmethod
    def require(self, g: Tensor, argument: str) -> None:
        """Raise unless `g` has this group's shape and kind of dtype.

        Raises:
            ValueError: If the shape differs.
            TypeError: If `g` is no tensor of such a dtype.
        """

    def _require_shape(self, g: Tensor, argument: str) -> None:
        if tuple(g.shape) != self.shape:
            raise ValueError(
                f"{argument} must have shape {self.shape}, because the family's group is {self}; "
                f"got {tuple(g.shape)}. Draw it with `symmetry.sample(..., discrete=True)`."
            )


@final
@dataclass(frozen=True)
class Permutations(DiscreteGroup):
    """S(n): coordinate i of what is moved is coordinate g[i] of what was there; int64 elements."""

    symbol: ClassVar[str] = "S"

    def __str__(self) -> str:
        return f"S({self.n})" + (f" × {self.copies}" if self.copies > 1 else "")

    @property
    def log10_order(self) -> float:
        return self.copies * math.lgamma(self.n + 1) / math.log(10)

    def identity(self) -> Tensor:
        return torch.arange(self.n).expand(self.shape).clone()

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return h.gather(-1, g)

    def inverse(self, g: Tensor) -> Tensor:
        return g.argsort(-1)

    def contains(self, g: Tensor) -> bool:
        return tuple(g.shape) == self.shape and bool(
            (g.sort(-1).values == self.identity().to(g.device)).all()
        )

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        device = generator.device if generator is not None else None
        noise = torch.rand(self.shape, generator=generator, dtype=torch.float64, device=device)
        return noise.argsort(-1)

    def apply(self, g: Tensor, rows: Tensor) -> Tensor:
        starts = self.n * torch.arange(self.copies, device=g.device)[:, None]
        order = (g.reshape(self.copies, self.n) + starts).flatten().to(rows.device)
        flat = rows.reshape(self.copies * self.n, -1)
        return flat.index_select(0, order).reshape(rows.shape)

    def require(self, g: Tensor, argument: str) -> None:
        if not isinstance(g, Tensor) or g.dtype != torch.int64:
            got = g.dtype if isinstance(g, Tensor) else type(g).__name__
            raise TypeError(f"{argument} must be an int64 tensor, a permutation; got {got}.")
        self._require_shape(g, argument)


@final
@dataclass(frozen=True)
class Signs(DiscreteGroup):
    """Z₂ⁿ: coordinates are multiplied by 1 or −1; floating-point elements."""

    symbol: ClassVar[str] = "Z₂"

    def __str__(self) -> str:
        return f"Z₂^{self.n}" + (f" × {self.copies}" if self.copies > 1 else "")

    @property
    def log10_order(self) -> float:
        return self.copies * self.n * math.log10(2)

    def identity(self) -> Tensor:
        return torch.ones(self.shape, dtype=torch.float64)

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return g * h

    def inverse(self, g: Tensor) -> Tensor:
        return g

    def contains(self, g: Tensor) -> bool:
        return tuple(g.shape) == self.shape and bool((g.abs() == 1).all())

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        device = generator.device if generator is not None else None
        coins = torch.randint(0, 2, self.shape, generator=generator, device=device)
        return 1 - 2 * coins.to(torch.float64)

    def apply(self, g: Tensor, rows: Tensor) -> Tensor:
        return rows * g.reshape(self.copies, self.n, 1).to(rows)

    def require(self, g: Tensor, argument: str) -> None:
        if not isinstance(g, Tensor) or not g.is_floating_point():
            got = g.dtype if isinstance(g, Tensor) else type(g).__name__
            raise TypeError(f"{argument} must be a floating-point tensor of signs; got {got}.")
        self._require_shape(g, argument)


DISCRETE_GROUPS: dict[str, type[DiscreteGroup]] = {
    cls.__name__: cls for cls in (Permutations, Signs)
}
"""Every discrete group by its class name, for files and for tests that walk over all of them."""
