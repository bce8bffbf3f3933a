"""How many directions of parameter space leave all outputs alone, to first order."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.laws.subject import Subject, flatten

GAP = 1e-9
"""Separates null singular values (rounding, ~1e-13) from small ones (~1e-5), relative to the
largest; the tests assert that nothing lies near it."""


def output_jacobian(subject: Subject, inputs: Tensor) -> Tensor:
    """∂(all outputs)/∂θ, `[outputs, parameters]`, columns in the order of `subject.params`."""
    with sdpa_kernel(SDPBackend.MATH):  # the fused CPU kernel has no batching rule
        jacobian = torch.func.jacrev(
            lambda p: subject.forward(p, inputs).flatten(), chunk_size=512
        )(subject.params)
    return torch.cat([jacobian[k].flatten(1) for k in subject.params], 1)


def tangents(subject: Subject) -> Tensor:
    """The fields of a basis of every family's algebra, `[generators, parameters]`, normalised."""
    rows = []
    for family in subject.symmetry:
        part = subject.symmetry.select(family.name)
        for generator in family.group.basis():
            field = part.tangent({family.name: generator}, subject.params)
            rows.append(flatten(field, subject.params))
    return torch.nn.functional.normalize(torch.stack(rows), dim=1)


@dataclass(frozen=True)
class NullSpace:
    """Null space of a matrix with normalised columns (columns of rounding noise stay small).

    Attributes:
        dim: Its dimension.
        kept: Smallest singular value that is retained, relative to the largest.
        null: Largest singular value that is not.
    """

    dim: int
    kept: float
    null: float

    @classmethod
    def of(cls, matrix: Tensor) -> "NullSpace":
        sizes = matrix.norm(dim=0)
        units = torch.where(sizes > GAP * sizes.max(), sizes, sizes.max())
        values = torch.linalg.svdvals(matrix / units)
        relative = values / values[0]
        kept, null = relative[relative > GAP], relative[relative <= GAP]
        missing = matrix.shape[1] - len(values)
        return cls(
            len(null) + max(0, missing), float(kept[-1]), float(null[0]) if len(null) else 0.0
        )
