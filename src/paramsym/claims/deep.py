"""Deep nets with equivariant activations, as functions of their parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor

from paramsym.claims.flow import EPS, Theta
from paramsym.claims.sampling import normal, radial

Map = Callable[[Tensor], Tensor]


@final
@dataclass(frozen=True)
class Activation:
    """An activation with π(g) = g^α, and the projection of matrices onto its Lie algebra.

    Attributes:
        sigma: Acts on columns.
        degree: α, with dπ(M) = αM.
        project: Maps any square matrix into the algebra.
    """

    sigma: Map
    degree: float
    project: Map


def power(degree: float, slope: float = 0.3) -> Activation:
    """Homogeneous of degree α: z^α on the right of 0, −slope·|z|^α on the left."""

    def sigma(z: Tensor) -> Tensor:
        return torch.where(z > 0, z, -slope * z).abs() ** degree * torch.where(z > 0, 1.0, -1.0)

    return Activation(sigma, degree, lambda M: M.diagonal().diag())


LINEAR = Activation(lambda z: z, 1, lambda M: M)
RELU = Activation(torch.relu, 1, lambda M: M.diagonal().diag())
LEAKY = Activation(lambda z: torch.where(z > 0, z, 0.2 * z), 1, lambda M: M.diagonal().diag())
RADIAL = Activation(radial, 1, lambda M: M - M.T)


@final
@dataclass(frozen=True)
class Deep:
    """W_L σ(… σ(W_1 X + b_1) …) + b_L with mean squared loss, at a random point.

    Attributes:
        activation: That of every hidden layer.
        theta: W_1, b_1, …, W_L, b_L.
        X: Samples in columns.
        Y: Targets in columns.
    """

    activation: Activation
    theta: Theta
    X: Tensor
    Y: Tensor

    @staticmethod
    def sample(
        activation: Activation, rng: torch.Generator, widths: tuple[int, ...] = (3, 4, 5, 2)
    ) -> "Deep":
        """Gaussian weights of variance 1/fan_in, biases and data."""
        theta: list[Tensor] = []
        for n, m in pairwise(widths):
            theta += [normal(rng, m, n, scale=n**-0.5), normal(rng, m, scale=0.3)]
        return Deep(activation, tuple(theta), normal(rng, widths[0], 8), normal(rng, widths[-1], 8))

    def forward(self, *theta: Tensor) -> Tensor:
        """F(X), by columns."""
        z = theta[0] @ self.X + theta[1][:, None]
        for W, b in zip(theta[2::2], theta[3::2], strict=True):
            z = W @ self.activation.sigma(z) + b[:, None]
        return z

    def loss(self, *theta: Tensor) -> Tensor:
        """Half the squared distance to the targets, per sample."""
        return (self.forward(*theta) - self.Y).square().sum() / (2 * self.X.shape[1])

    def algebra(self, rng: torch.Generator) -> list[Tensor]:
        """A random element (M_1, …, M_{L−1}) of the Lie algebra."""
        sizes = [len(b) for b in self.theta[1:-2:2]]
        return [self.activation.project(normal(rng, h, h)) for h in sizes]

    def tangent(self, M: list[Tensor]) -> Theta:
        """M·θ, eq. (24)."""
        moved: list[Tensor] = []
        for i in range(len(self.theta) // 2):
            W, b = self.theta[2 * i : 2 * i + 2]
            inner = -self.activation.degree * W @ M[i - 1] if i > 0 else torch.zeros_like(W)
            last = i == len(M)
            moved += [
                inner if last else M[i] @ W + inner,
                torch.zeros_like(b) if last else M[i] @ b,
            ]
        return tuple(moved)

    def moved(self, M: list[Tensor]) -> Theta:
        """exp(M)·θ, eq. (23)."""
        moved: list[Tensor] = []
        for i in range(len(self.theta) // 2):
            W, b = self.theta[2 * i : 2 * i + 2]
            if i > 0:
                W = W @ torch.linalg.matrix_exp(-self.activation.degree * M[i - 1])
            if i < len(M):
                g = torch.linalg.matrix_exp(M[i])
                W, b = g @ W, g @ b
            moved += [W, b]
        return tuple(moved)

    def moments(self, *theta: Tensor) -> list[Tensor]:
        """W_i W_iᵀ + b_i b_iᵀ − α W_{i+1}ᵀ W_{i+1} of every hidden layer."""
        degree = self.activation.degree
        return [
            V @ V.T + b.outer(b) - degree * U.T @ U
            for V, b, U in zip(theta[:-2:2], theta[1:-2:2], theta[2::2], strict=True)
        ]

    def laws(self, *theta: Tensor) -> Tensor:
        """The conserved entries of the moments: all where the algebra is gl, or the diagonals."""
        moments = self.moments(*theta)
        if self.activation is LINEAR:
            return torch.cat([Q.reshape(-1) for Q in moments])
        return torch.cat([Q.diagonal() for Q in moments])

    @property
    def rounding(self) -> float:
        """Rounding of one loss or gradient, relative to its parts: eps for each term summed."""
        return EPS * (sum(max(p.shape) for p in self.theta) + self.X.shape[1] + 8)
