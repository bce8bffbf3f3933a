"""Matrix Lie groups that act on hidden spaces: elements, algebras, samplers, projections.

A group is a small frozen value. Its elements and algebra elements are plain tensors of
`group.shape`; `copies` independent copies of the group (attention heads, RoPE pairs) stack along a
leading axis, which is absent when there is one copy.

Every group splits into a *linear part*, which acts on the coordinates of the hidden space, and a
*translation part*, which shifts them; most groups have only one of the two.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor


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
        """Draw an element: the exponential of a random algebra element.

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
        """The symmetric part of an algebra element (its adjoint lies in the algebra too)."""

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
        return bool((M - self.project(M)).norm() <= 16 * _eps(M) * self.n * M.norm())

    def sample_algebra(
        self,
        scale: float = 1.0,
        *,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """A Gaussian algebra element; matrices are divided by √n so that size is free of `n`."""
        noise = torch.randn(self.shape, generator=generator, dtype=dtype, device=_device(generator))
        width = 1.0 if self.diagonal or len(self.entry_shape) == 1 else math.sqrt(self.n)
        return self.project(noise) * (scale / width)

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
        return bool((torch.linalg.cond(g) < 1 / _eps(g)).all())

    def _reflection(self, generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
        """Per copy, the unit or the reflection of the last coordinate, with probability ½."""
        coin = torch.randint(0, 2, (self.copies,), generator=generator, device=_device(generator))
        reflection = self.identity(dtype).reshape(self.copies, *self.entry_shape)
        reflection[:, self.n - 1, self.n - 1] = 1 - 2 * coin.to(reflection)
        return reflection.reshape(self.shape)


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

    def _component(self, generator: torch.Generator | None, dtype: torch.dtype) -> Tensor:
        if not self.fixes_mean:
            return self._reflection(generator, dtype)
        if self.n == 1:
            return self.identity(dtype)
        coin = torch.randint(0, 2, (self.copies,), generator=generator, device=_device(generator))
        # The reflection that exchanges the first two coordinates fixes the mean.
        v = torch.zeros(self.n, dtype=dtype)
        v[0], v[1] = math.sqrt(0.5), -math.sqrt(0.5)
        reflections = 2 * coin.to(v)[:, None, None] * torch.outer(v, v)
        return self.identity(dtype) - reflections.reshape(self.shape)

    def contains(self, g: Tensor) -> bool:
        if tuple(g.shape) != self.shape or not bool(torch.isfinite(g).all()):
            return False
        tolerance = 32 * _eps(g) * self.n
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
        tolerance = 32 * _eps(g) * self.n * max(1.0, float(g.abs().max()))
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


@final
@dataclass(frozen=True)
class Translation(Group):
    """The additive group R^n: a shift along directions that the family's terms spell out."""

    translates: ClassVar[bool] = True
    symbol: ClassVar[str] = "R"

    def __str__(self) -> str:
        return f"R^{self.n}" + (f" × {self.copies}" if self.copies > 1 else "")

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
        return torch.zeros(self.shape, dtype=dtype)

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return g + h

    def inverse(self, g: Tensor) -> Tensor:
        return -g

    def exp(self, M: Tensor) -> Tensor:
        return M

    def contains(self, g: Tensor) -> bool:
        return tuple(g.shape) == self.shape and bool(torch.isfinite(g).all())

    def project(self, P: Tensor) -> Tensor:
        return P

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


GROUPS: dict[str, type[Group]] = {
    cls.__name__: cls
    for cls in (PositiveScaling, GeneralLinear, Orthogonal, ComplexScaling, Affine, Translation)
}
"""Every group by its class name, for files and for tests that walk over all of them."""


def _affine_mask(n: int, like: Tensor) -> Tensor:
    mask = torch.ones(n + 1, n + 1, dtype=like.dtype, device=like.device)
    mask[-1] = 0
    return mask


def _eps(x: Tensor) -> float:
    return torch.finfo(x.dtype).eps


def _device(generator: torch.Generator | None) -> torch.device | None:
    return generator.device if generator is not None else None
