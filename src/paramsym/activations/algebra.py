"""The linear system behind an equivariance, and its null space.

A pair (M, N), with shifts (a, b) in the affine case, is equivariant where
J_σ(z)(M z + a) = N σ(z) + b for all z: linear in the pair, one equation for each sample and output.
"""

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from paramsym.activations.sampling import Sample

THRESHOLD = 1e-8
"""Singular values below this part of the largest are null: the square root of float64's rounding,
halfway between what rounding leaves (1e-15) and what a function without the symmetry has."""

CLEAR = 1e-12
"""What rounding leaves of a null singular value and of a zero in a unit vector of the null space:
1e-15 times the condition of the system. A null value between this and the threshold is that of a
symmetry of something near σ."""

TINY = torch.finfo(torch.float64).tiny


@final
@dataclass(frozen=True, eq=False)
class Pairs:
    """A list of pairs.

    Attributes:
        inputs: M, `[d, h, h]`.
        outputs: N, `[d, p, p]`.
        input_shifts: a, `[d, h]`; zero in the linear case.
        output_shifts: b, `[d, p]`.
    """

    inputs: Tensor
    outputs: Tensor
    input_shifts: Tensor
    output_shifts: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def combined(self, coefficients: Tensor) -> "Pairs":
        """Linear combinations, one for each row of `[k, d]` coefficients."""
        parts = (self.inputs, self.outputs, self.input_shifts, self.output_shifts)
        return Pairs(*(torch.tensordot(coefficients, part, 1) for part in parts))

    def joined(self, other: "Pairs") -> "Pairs":
        """Both lists in one."""
        return Pairs(
            torch.cat([self.inputs, other.inputs]),
            torch.cat([self.outputs, other.outputs]),
            torch.cat([self.input_shifts, other.input_shifts]),
            torch.cat([self.output_shifts, other.output_shifts]),
        )

    def input_part(self) -> Tensor:
        """(M, a) flattened, `[d, h² + h]`."""
        return torch.cat([self.inputs.flatten(1), self.input_shifts], 1)

    def output_part(self) -> Tensor:
        """(N, b) flattened, `[d, p² + p]`."""
        return torch.cat([self.outputs.flatten(1), self.output_shifts], 1)


@final
@dataclass(frozen=True, eq=False)
class NullSpace:
    """Solutions of the system, in units in which its columns have norm 1.

    Attributes:
        vectors: An orthonormal basis, `[unknowns, d]`.
        units: Norms of the columns, `[unknowns]`; 1 where a column is zero.
        retained: Smallest singular value that is not null, as a part of the largest.
        null: Largest null one.
    """

    vectors: Tensor
    units: Tensor
    retained: float
    null: float

    @property
    def dimension(self) -> int:
        """Number of independent pairs."""
        return self.vectors.shape[1]

    def surviving(self, rows: Tensor) -> "NullSpace":
        """Those solutions that solve other equations, too."""
        rows = rows / self.units
        rows = rows / rows.norm(dim=1, keepdim=True)
        if self.dimension == 0 or len(rows) == 0:
            return self
        defects = rows @ self.vectors
        _, values, right = torch.linalg.svd(defects, full_matrices=len(rows) < self.dimension)
        rank = int((values > THRESHOLD).sum())
        return replace(self, vectors=self.vectors @ right[rank:].T)

    def pairs(self, h: int, p: int) -> Pairs:
        """The solutions as pairs; shifts that were not looked for are zero."""
        basis = torch.linalg.qr(self.vectors / self.units[:, None]).Q.T
        d, missing = len(basis), h * h + p * p + h + p - basis.shape[1]
        basis = torch.nn.functional.pad(basis, (0, missing))
        m, n, *shifts = basis.split([h * h, p * p, h, p], 1)
        # Rounding left as a shift would move points near a singularity of σ, such as 0.
        a, b = (torch.where(shift.abs() > CLEAR, shift, 0.0) for shift in shifts)
        return Pairs(m.reshape(d, h, h), n.reshape(d, p, p), a, b)


def system(sample: Sample, *, affine: bool) -> Tensor:
    """The equations, `[rows, unknowns]`, of norm 1 each; those without finite derivatives are left
    out. Unknowns are M, N by rows, and in the affine case a, b."""
    k, p, h = sample.jacobian.shape
    unit = torch.eye(p, dtype=torch.float64)
    blocks = [
        torch.einsum("kij,kl->kijl", sample.jacobian, sample.points).reshape(k * p, h * h),
        -torch.einsum("ij,kl->kijl", unit, sample.values).reshape(k * p, p * p),
    ]
    if affine:
        blocks += [sample.jacobian.reshape(k * p, h), -unit.repeat(k, 1)]
    rows = torch.cat(blocks, 1)
    norms = rows.norm(dim=1)
    kept = torch.isfinite(norms) & (norms > TINY)
    return rows[kept] / norms[kept, None]


def null_space(rows: Tensor) -> NullSpace:
    """The solutions of the equations, columns equilibrated.

    Raises:
        ValueError: If there are fewer equations than unknowns.
    """
    unknowns = rows.shape[1]
    if 0 < len(rows) < unknowns:
        raise ValueError(
            f"`samples` must give at least as many equations with finite derivatives as there are "
            f"unknowns; got {len(rows)} for {unknowns}. Raise it, or pass a function whose "
            "derivative is finite almost everywhere."
        )
    norms = rows.norm(dim=0)
    units = torch.where(norms > 0, norms, torch.ones_like(norms))
    if len(rows) == 0:
        return NullSpace(torch.eye(unknowns, dtype=torch.float64), units, 1.0, 0.0)
    triangle = torch.linalg.qr(rows / units, mode="r").R
    _, values, right = torch.linalg.svd(triangle)
    rank = int((values > THRESHOLD * values[0]).sum())
    null = float(values[rank] / values[0]) if rank < unknowns else 0.0
    return NullSpace(right[rank:].T, units, float(values[rank - 1] / values[0]), null)


def reduced(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """A readable basis: the pairs that act on the input, each with a 1 where the others have 0, and
    the pairs with M = 0 and a = 0 (redundancies of the output)."""
    if len(pairs) == 0:
        return pairs, pairs
    left, values, _ = torch.linalg.svd(pairs.input_part())
    rank = int((values > THRESHOLD * 10).sum())
    acting, redundant = pairs.combined(left.T[:rank]), pairs.combined(left.T[rank:])
    redundant = _pivoted(redundant, redundant.output_part())
    if len(redundant) and rank:
        unit = torch.linalg.qr(redundant.output_part().T).Q
        overlap = acting.output_part() @ unit
        clean = acting.output_part() - overlap @ unit.T
        p = acting.outputs.shape[-1]
        n, b = clean.split([p * p, p], 1)
        acting = Pairs(acting.inputs, n.reshape(-1, p, p), acting.input_shifts, b)
    return _pivoted(acting, acting.input_part()), redundant


def _pivoted(pairs: Pairs, vectors: Tensor) -> Pairs:
    """The basis whose vectors have unit matrices at well-chosen places, in their order."""
    if len(pairs) == 0:
        return pairs
    places = torch.zeros(len(pairs), dtype=torch.int64)
    rest = vectors.clone()
    for i in range(len(pairs)):
        # The first of the largest columns, so that the choice does not hang on rounding.
        sizes = rest.norm(dim=0)
        places[i] = torch.nonzero(sizes >= (1 - THRESHOLD) * sizes.max())[0, 0]
        unit = rest[:, places[i]] / sizes[places[i]]
        rest = rest - torch.outer(unit, unit @ rest)
    places = places.sort().values
    return pairs.combined(torch.linalg.inv(vectors[:, places]))


def symmetric_part(pairs: Pairs) -> Pairs:
    """Combinations with M and N symmetric and no shift of the output: their vector field on the
    parameters, θ ↦ (MV, Mb + a, −UN), is a gradient, so that each gives a conserved quantity."""
    if len(pairs) == 0:
        return pairs
    skew = torch.cat(
        [
            (pairs.inputs - pairs.inputs.mT).flatten(1),
            (pairs.outputs - pairs.outputs.mT).flatten(1),
            pairs.output_shifts,
        ],
        1,
    )
    left, values, _ = torch.linalg.svd(skew)
    rank = int((values > THRESHOLD * 10).sum())
    return pairs.combined(left.T[rank:])
