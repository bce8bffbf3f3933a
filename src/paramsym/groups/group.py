"""What every group can do: elements, algebra, sampler, projections.

A group is a small frozen value. Its elements and algebra elements are plain tensors of
`group.shape`; `copies` independent copies of the group (attention heads, RoPE pairs) stack along a
leading axis, which is absent when there is one copy.

Every group splits into a *linear part*, which acts on the coordinates of the hidden space, and a
*translation part*, which shifts them; most groups have only one of the two.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from paramsym.groups.low_rank import LowRank


@dataclass(frozen=True)
class Group(ABC):
    """A Lie group acting on `copies` independent copies of R^n.

    Attributes:
        n: Dimension of the space that one copy acts on.
        copies: Number of independent copies.
    """

    n: int
    copies: int = 1

    diagonal: ClassVar[bool] = False
    """Whether the linear part is a vector of scales (a diagonal matrix)."""
    translates: ClassVar[bool] = False
    """Whether the group has a translation part."""
    splits: ClassVar[bool] = True
    """Whether the linear part of the algebra is the sum of its symmetric and its antisymmetric
    elements, as it is where it contains all adjoints."""
    symbol: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.n < 1 or self.copies < 1:
            raise ValueError(
                f"{type(self).__name__}: `n` and `copies` must be positive integers; "
                f"got n={self.n}, copies={self.copies}."
            )

    def __str__(self) -> str:
        return f"{self.symbol}({self.n})" + (f" × {self.copies}" if self.copies > 1 else "")

    # -- shape and dimension ---------------------------------------------------------------

    @property
    @abstractmethod
    def entry_shape(self) -> tuple[int, ...]:
        """Shape of an element of one copy."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an element, and of an algebra element."""
        return self.entry_shape if self.copies == 1 else (self.copies, *self.entry_shape)

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension of the group."""

    @property
    @abstractmethod
    def symmetric_dim(self) -> int:
        """Dimension of the symmetric part of the algebra, which carries conserved quantities."""

    # -- elements --------------------------------------------------------------------------

    @abstractmethod
    def identity(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """The unit, a tensor of `shape`."""

    @abstractmethod
    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        """The product `gh`: first `h`, then `g`."""

    @abstractmethod
    def inverse(self, g: Tensor) -> Tensor:
        """The inverse of `g`."""

    @abstractmethod
    def exp(self, M: Tensor) -> Tensor:
        """The exponential of an algebra element."""

    @abstractmethod
    def contains(self, g: Tensor) -> bool:
        """Whether `g` is an element, to rounding. Reads values: not for use under `vmap`."""

    def sample(
        self,
        scale: float = 0.1,
        *,
        generator: torch.Generator | None = None,
        discrete: bool = False,
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """Draw an element: the exponential of a random algebra element, or what is close to it.

        Args:
            scale: Spread of the generator; its spectral size does not grow with `n`.
            generator: Source of randomness.
            discrete: Also draw the connected component, uniformly. `exp` alone reaches only the
                component of the unit: it never meets a reflection.
            dtype: Floating dtype of the result.
        """
        g = self.exp(self.sample_algebra(scale, generator=generator, dtype=dtype))
        return self.compose(g, self._component(generator, dtype)) if discrete else g

    def _component(self, generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
        """A random representative of the components; the unit for a connected group."""
        return self.identity(dtype)

    # -- algebra ---------------------------------------------------------------------------

    @abstractmethod
    def project(self, P: Tensor) -> Tensor:
        """Orthogonal projection of a tensor of `shape` onto the Lie algebra."""

    @abstractmethod
    def symmetric(self, M: Tensor) -> Tensor:
        """The symmetric part of an algebra element: the projection to the symmetric elements."""

    def antisymmetric(self, M: Tensor) -> Tensor:
        """The antisymmetric part of an algebra element; a translation has none."""
        return self.linear_only(M) - self.linear_only(self.symmetric(M))

    def linear_only(self, M: Tensor) -> Tensor:
        """`M` without its translation part."""
        return M

    def contains_algebra(self, M: Tensor) -> bool:
        """Whether `M` lies in the Lie algebra, to rounding."""
        if tuple(M.shape) != self.shape or not bool(torch.isfinite(M).all()):
            return False
        return bool((M - self.project(M)).norm() <= 16 * machine_epsilon(M) * self.n * M.norm())

    def sample_algebra(
        self,
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """A Gaussian algebra element; matrices are divided by √n so that size is free of `n`."""
        noise = torch.randn(
            self.shape, generator=generator, dtype=dtype, device=device_of(generator)
        )
        width = 1.0 if self.diagonal or len(self.entry_shape) == 1 else math.sqrt(self.n)
        return self.project(noise) * (scale / width)

    def sample_low_rank_algebra(
        self, scale: float = 1.0, *, generator: torch.Generator | None = None
    ) -> LowRank | None:
        """A random algebra element of the least rank, in float64, of which the orbits under
        conjugation span the algebra; `None` where elements are small, or no such matrices."""
        return None

    def sample_low_rank(
        self, scale: float = 0.1, *, generator: torch.Generator | None = None
    ) -> LowRank | None:
        """As `sample` with `discrete=True`, of low rank beside the unit; such elements generate the
        group."""
        M = self.sample_low_rank_algebra(scale, generator=generator)
        return None if M is None else M.cayley()

    def basis(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """A basis of the algebra, of shape `[dim, *shape]`, orthogonal in the trace product."""
        size = math.prod(self.shape)
        units = torch.eye(size, dtype=dtype).reshape(size, *self.shape)
        projector = torch.stack([self.project(unit).flatten() for unit in units])
        if self.dim == size:
            return units
        # Orthonormal eigenvectors of the projector to eigenvalue 1, in closed form by eigh.
        values, vectors = torch.linalg.eigh((projector + projector.T) / 2)
        return vectors.T[values > 0.5].reshape(self.dim, *self.shape)

    # -- the two parts, as the ports and terms of a family use them ------------------------

    def linear(self, g: Tensor) -> Tensor | None:
        """Linear part of an element or algebra element: `[copies, n]` scales when diagonal,
        otherwise `[copies, n, n]` matrices; `None` for a pure translation."""
        entry = (self.n,) if self.diagonal else (self.n, self.n)
        return g.reshape(self.copies, *entry)

    def translation(self, g: Tensor) -> Tensor | None:
        """Translation part of an element or algebra element, shaped like a `Translation` of the
        same `n` and `copies`; `None` where the group has none."""
        return None

    @property
    def translation_shape(self) -> tuple[int, ...]:
        """Shape of the translation part, where there is one."""
        return (self.n,) if self.copies == 1 else (self.copies, self.n)

    def from_parts(self, linear: Tensor | None, translation: Tensor | None) -> Tensor:
        """The tensor of `shape` with this linear part (zero in the rest of a matrix)."""
        assert linear is not None
        assert translation is None
        return linear.reshape(self.shape)

    def require(self, g: Tensor, argument: str) -> None:
        """Raise unless `g` has this group's shape and a floating dtype.

        Raises:
            ValueError: If the shape differs.
            TypeError: If `g` is not a floating-point tensor.
        """
        if not isinstance(g, Tensor) or not g.is_floating_point():
            got = g.dtype if isinstance(g, Tensor) else type(g).__name__
            raise TypeError(f"{argument} must be a floating-point tensor; got {got}.")
        if tuple(g.shape) != self.shape:
            raise ValueError(
                f"{argument} must have shape {self.shape}, because the family's group is {self}; "
                f"got {tuple(g.shape)}. Draw it with `symmetry.sample(...)`."
            )


def machine_epsilon(x: Tensor) -> float:
    """Of the tensor's dtype."""
    return torch.finfo(x.dtype).eps


def device_of(generator: torch.Generator | None) -> torch.device | None:
    """Where a generator draws; `None` for torch's own.

    Raises:
        TypeError: If it is none.
    """
    if generator is None:
        return None
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"`generator` must be a torch.Generator; got {type(generator).__name__}. "
            "Write `torch.Generator().manual_seed(0)`."
        )
    return generator.device
