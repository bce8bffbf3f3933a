"""How many directions in parameter space leave the function as it is, and are they explained?

The functional dimension of a network at θ is the rank of the Jacobian of its outputs on generic
inputs. What is missing to d is the number of flat directions; a symmetry that explains all of them
is complete near θ.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from paramsym.certification.parametric import Function, Inputs, Parametric, draw, hold, parametric
from paramsym.symmetry import Symmetry

ENTRY_LIMIT = 40_000_000
"""Largest Jacobian, in entries (320 MB in float64), that is built."""

MIN_ROWS = 2000
"""Rows to start with, so that inputs meet the narrow regions of a ReLU network too."""

ROUNDING = 2**7
"""Rounding errors of one entry of a Jacobian, in units of eps: those of a pass forward and a pass
back through a few layers of a few dozen terms."""


@final
@dataclass(frozen=True)
class FunctionalDimension:
    """The rank of the function's Jacobian, and how much of its kernel a symmetry explains.

    Attributes:
        parameters: Number d of parameters.
        rank: The functional dimension.
        kept: Smallest singular value that was counted, as a fraction of the largest.
        dropped: Largest one that was not; 0 if the rank is full.
        rows: Number of rows of the Jacobian: outputs on all inputs.
        orbit_dim: Dimension of the symmetry's orbit through θ; 0 without a symmetry.
        residual: |J·(M·θ)| for a random generator M, relative to |J| and |M·θ|. Rounding, if the
            symmetry is one.
    """

    parameters: int
    rank: int
    kept: float
    dropped: float
    rows: int
    orbit_dim: int
    residual: float

    @property
    def nullity(self) -> int:
        """The number of flat directions."""
        return self.parameters - self.rank

    @property
    def extra(self) -> int:
        """Flat directions that the symmetry does not explain."""
        return self.nullity - self.orbit_dim


def functional_dimension(
    function: nn.Module | Function,
    inputs: Inputs,
    params: Mapping[str, Tensor] | None = None,
    *,
    symmetry: Symmetry | None = None,
    fixed: bool = False,
    max_rows: int = 200_000,
    seed: int = 0,
) -> FunctionalDimension:
    """The functional dimension at θ, from the Jacobian on random inputs, in float64.

    Columns are normalised. Inputs are added, from 2d rows on, until twice as many do not raise the
    rank. Regions of a ReLU network that no input meets are not seen, and count as flat directions:
    so do two units whose hyperplanes almost coincide.

    Args:
        function: A module, or a function of a parameter dict and inputs that returns a tensor.
        inputs: One example of an input (or a tuple of inputs), as the function takes it; fresh
            normal inputs of its shape are drawn. Or a sampler, which is given a `torch.Generator`
            and returns one input (or a tuple).
        params: The parameters θ; of a module by default its own, frozen ones included.
        symmetry: A symmetry, discovered or written by hand, whose orbit is to be compared.
        fixed: Whether these inputs are the only ones that count.
        max_rows: Largest number of rows to try.
        seed: Seed of every draw.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the function is not differentiable or not finite, the Jacobian would have
            more than `ENTRY_LIMIT` entries, or the rank still grows at `max_rows`.
    """
    network = parametric(function, params, frozen=True)
    generator = torch.Generator().manual_seed(seed)
    theta = network.theta()
    example = hold(inputs, 1) if fixed else draw(inputs, 1, generator)
    outputs = network.output_count(theta, example)
    count = 1 if fixed else math.ceil(max(MIN_ROWS, 2 * network.dim) / outputs)
    jacobian = _jacobian(network, theta, inputs, count, outputs, fixed, generator)
    rank, values = _rank(jacobian)
    while not fixed and rank < network.dim:
        if 2 * jacobian.shape[0] > max_rows:
            raise ValueError(
                f"the rank still grew at {jacobian.shape[0]} rows (to {rank}), more than half of "
                f"`max_rows`={max_rows}. Raise it, or pass a sampler that meets more regions."
            )
        more = _jacobian(network, theta, inputs, count, outputs, fixed, generator)
        jacobian, before, count = torch.cat([jacobian, more]), rank, 2 * count
        rank, values = _rank(jacobian)
        if rank == before:
            break
    orbit_dim, residual = (0, 0.0) if symmetry is None else _explained(symmetry, network, jacobian)
    return FunctionalDimension(
        parameters=network.dim,
        rank=rank,
        kept=float(values[rank - 1]) if rank else 0.0,
        dropped=float(values[rank]) if rank < len(values) else 0.0,
        rows=jacobian.shape[0],
        orbit_dim=orbit_dim,
        residual=residual,
    )


def _jacobian(
    network: Parametric,
    theta: Tensor,
    inputs: Inputs,
    count: int,
    outputs: int,
    fixed: bool,
    generator: torch.Generator,
) -> Tensor:
    """Derivatives of the outputs on `count` inputs, `[count·outputs, d]`."""
    d = network.dim
    if count * outputs * d > ENTRY_LIMIT:
        raise ValueError(
            f"`functional_dimension` needs a dense Jacobian of {count * outputs} rows × {d} "
            f"parameters, more than {ENTRY_LIMIT:.0e} entries. Use a smaller network of the same "
            "kind."
        )
    xs = hold(inputs, count) if fixed else draw(inputs, count, generator)
    derivative = vmap(jacrev(network), in_dims=(None, *[0] * len(xs)))
    jacobian = network.batched(derivative, theta, *xs).flatten(0, 1)
    if not bool(torch.isfinite(jacobian).all()):
        raise ValueError(
            "the derivative of the outputs of `function` is not finite at these parameters. Look "
            "for square roots, norms or divisions at zero."
        )
    return jacobian


def _rank(jacobian: Tensor) -> tuple[int, Tensor]:
    """Rank with normalised columns, and singular values as fractions of the largest."""
    norms = jacobian.norm(dim=0)
    scaled = jacobian / torch.where(norms > 0, norms, 1)
    values = torch.linalg.svdvals(scaled)
    if values[0] == 0:
        return 0, values
    values = values / values[0]
    threshold = ROUNDING * max(jacobian.shape) * torch.finfo(torch.float64).eps
    return int((values > threshold).sum()), values


def _explained(symmetry: Symmetry, network: Parametric, jacobian: Tensor) -> tuple[int, float]:
    """Dimension of the orbit through θ, and how far it leaves the Jacobian's kernel."""
    params = network.params
    M = symmetry.sample_algebra(generator=torch.Generator().manual_seed(0))
    tangent = symmetry.tangent(M, params)
    direction = torch.cat([tangent[name].flatten() for name in params])
    size = jacobian.norm() * direction.norm()
    residual = float((jacobian @ direction).norm() / size) if size > 0 else 0.0
    return symmetry.orbit_dim(params), residual
