"""Random draws that the measurements of claims share, and the rounding that they allow."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.groups import GeneralLinear, Group, Orthogonal, PositiveScaling

Activation = Callable[[Tensor], Tensor]


def normal(rng: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    """Independent normal entries in float64."""
    return scale * torch.randn(shape, generator=rng, dtype=torch.float64)


def invertible(rng: torch.Generator, h: int, spread: float = 0.5) -> Tensor:
    """An element of GL(h) of either sign of the determinant, with singular values e^{±spread}."""
    stretch = (spread * (2 * torch.rand(h, generator=rng, dtype=torch.float64) - 1)).exp()
    return orthogonal(rng, h) * stretch @ orthogonal(rng, h)


def orthogonal(rng: torch.Generator, h: int) -> Tensor:
    """An element of O(h), rotations and reflections."""
    return Orthogonal(h).sample(1.0, generator=rng, discrete=True)


def rounding(operations: float, condition: float = 1.0) -> float:
    """Relative rounding of so many additions and products in a row, times a condition number."""
    return operations * condition * torch.finfo(torch.float64).eps


def size(x: Tensor) -> float:
    """The Frobenius norm."""
    return float(torch.linalg.vector_norm(x))


def spectral(x: Tensor) -> float:
    """The operator norm."""
    return float(torch.linalg.matrix_norm(x, 2))


def leaky(z: Tensor, slope: float = 0.1) -> Tensor:
    """Leaky ReLU as in Example 3.4."""
    return z.clamp(min=0) + slope * z.clamp(max=0)


def radial(z: Tensor) -> Tensor:
    """Radial rescaling of the columns with f(r) = 1/(1 + r²)."""
    return z / (1 + (z * z).sum(0, keepdim=True))


@final
@dataclass(frozen=True)
class Equivariant:
    """An activation with the group and the representation under which it is equivariant.

    Attributes:
        name: Name of the activation.
        sigma: The activation of columns `[h, k]`.
        group: The group for a width h.
        degree: α in π(g) = g^α.
    """

    name: str
    sigma: Activation
    group: Callable[[int], Group]
    degree: float = 1.0

    def draw(self, rng: torch.Generator, h: int) -> tuple[Tensor, Tensor]:
        """A group element g and π(g), as matrices."""
        group = self.group(h)
        g = group.sample(0.7, generator=rng, discrete=True)
        return (torch.diag(g), torch.diag(g**self.degree)) if group.diagonal else (g, g)

    def draw_generator(self, rng: torch.Generator, h: int) -> tuple[Tensor, Tensor]:
        """A generator M of the Lie algebra and dπ(M), as matrices."""
        group = self.group(h)
        M = group.sample_algebra(1.0, generator=rng)
        M = torch.diag(M) if group.diagonal else M
        return M, self.degree * M


def _power(degree: float) -> Equivariant:
    def sigma(z: Tensor) -> Tensor:
        # The derivative of 0^α is not taken; it is infinite for α < 1.
        return torch.where(z > 0, torch.where(z > 0, z, 1.0) ** degree, 0.0)

    return Equivariant(f"relu^{degree:g}", sigma, PositiveScaling, degree)


LINEAR = Equivariant("identity", lambda z: z, GeneralLinear)
RADIAL = Equivariant("radial", radial, Orthogonal)
LEAKY = (
    Equivariant("leaky relu", leaky, PositiveScaling),
    Equivariant("relu", lambda z: leaky(z, 0.0), PositiveScaling),
    Equivariant("leaky relu, s = 2", lambda z: leaky(z, 2.0), PositiveScaling),
)
HOMOGENEOUS = (
    *LEAKY,
    Equivariant("abs", torch.abs, PositiveScaling),
    _power(0.5),
    _power(2.0),
    _power(2.7),
)
EQUIVARIANT = (LINEAR, *HOMOGENEOUS, RADIAL)
