"""How the eigenvalues of a large Hessian are spread: stochastic Lanczos quadrature."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from paramsym.landscape.expansion import Loss, expand
from paramsym.landscape.extremes import random_start
from paramsym.landscape.lanczos import lanczos


@final
@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """An estimate of the density of eigenvalues (1/d) Σ δ(λ − λ_i), one for each probe.

    Each probe is a random unit vector v, and its nodes and weights are the Gauss quadrature of the
    measure Σ_i ⟨v, e_i⟩² δ(λ − λ_i) over unit eigenvectors e_i: it integrates polynomials of degree
    up to 2·steps − 1 exactly (Golub and Welsch, Calculation of Gauss quadrature rules, 1969). The
    mean over v of the measure is the density.

    Attributes:
        nodes: Where the mass sits, `[probes, steps]`, float64.
        weights: How much, `[probes, steps]`; the sum over steps is 1.
        dim: The number of eigenvalues d.
    """

    nodes: Tensor
    weights: Tensor
    dim: int

    def __call__(self, at: Tensor, width: float) -> Tensor:
        """The density at given points, smoothed by normal curves of that standard deviation.

        Args:
            at: Points, of any shape.
            width: Positive; nothing finer than this is resolved.

        Raises:
            ValueError: If `width` is not positive.
        """
        if not width > 0:
            raise ValueError(f"`width` must be positive; got {width}.")
        offsets = (at[..., None, None].double() - self.nodes) / width
        bumps = (-offsets.square() / 2).exp() / (width * math.sqrt(2 * math.pi))
        return (bumps * self.weights).sum(-1).mean(-1)

    def trace(self) -> tuple[float, float]:
        """The trace of the Hessian, and the standard error over probes."""
        return self._total(self.nodes)

    def count_above(self, threshold: float) -> tuple[float, float]:
        """How many eigenvalues exceed a threshold, and the standard error over probes.

        The threshold should lie in a gap of the spectrum: the quadrature places the mass near it
        only as finely as its nodes are spaced.
        """
        return self._total((self.nodes > threshold).double())

    def _total(self, values: Tensor) -> tuple[float, float]:
        found = self.dim * (self.weights * values).sum(1)
        error = found.std() / math.sqrt(len(found)) if len(found) > 1 else math.inf
        return float(found.mean()), float(error)


def spectral_density(
    loss: Loss,
    params: Mapping[str, Tensor],
    *,
    probes: int = 4,
    steps: int = 64,
    generator: torch.Generator | None = None,
) -> SpectralDensity:
    """The density of the Hessian's eigenvalues, from `probes`·`steps` products with vectors.

    Memory is steps·d numbers: the vectors of a probe are all kept.

    Args:
        loss: As for `hessian`.
        params: As for `hessian`, of any size.
        probes: Number of random vectors; the error falls with its root.
        steps: Number of nodes; at most d are used. Isolated eigenvalues at the ends come out first.
        generator: Source of the probes; a fixed one when absent.

    Raises:
        TypeError: As `hessian`.
        ValueError: As `hessian`, but for the size; or if `probes` or `steps` is not positive.
    """
    for name, value in (("probes", probes), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"`{name}` must be a positive whole number; got {value!r}.")
    expansion = expand(loss, params)
    d = expansion.coordinates.dim
    steps = min(steps, d)
    nodes, weights = torch.zeros(2, probes, steps, dtype=torch.float64)

    def product(vector: Tensor) -> Tensor:
        return expansion.hessian_products(vector[None])[0]

    for i, start in enumerate(random_start(probes, d, generator).to(expansion.theta)):
        diagonal, beside = lanczos(product, start, steps)
        found: Any = eigh_tridiagonal(diagonal.cpu().numpy(), beside.cpu().numpy())
        nodes[i] = torch.from_numpy(found[0])
        weights[i] = torch.from_numpy(found[1][0]).square()
    return SpectralDensity(nodes, weights, d)
