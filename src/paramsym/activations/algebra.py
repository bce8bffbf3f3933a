"""The linear system behind an equivariance, and its null space.

A pair (M, N), with shifts (a, b) in the affine case, is equivariant where
J_σ(z)(M z + a) = N σ(z) + b for all z: linear in the pair, one equation for each sample and output.
"""

from dataclasses import dataclass
from typing import final

import scipy.linalg
import torch
from torch import Tensor

from paramsym.activations.sampling import Sample

THRESHOLD = 1e-8
"""Singular values below this part of the largest are null: the square root of float64's rounding,
halfway between what rounding leaves (1e-15) and what a function without the symmetry has."""


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

    def input_part(self) -> Tensor:
        """(M, a) flattened, `[d, h² + h]`."""
        return torch.cat([self.inputs.flatten(1), self.input_shifts], 1)

    def output_part(self) -> Tensor:
        """(N, b) flattened, `[d, p² + p]`."""
        return torch.cat([self.outputs.flatten(1), self.output_shifts], 1)


@final
@dataclass(frozen=True, eq=False)
class Solution:
    """A null space.

    Attributes:
        pairs: A basis.
        retained: Smallest singular value that is not null, as a part of the largest.
        null: Largest null one.
    """

    pairs: Pairs
    retained: float
    null: float


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
    rows = rows[torch.isfinite(rows).all(1)]
    norms = rows.norm(dim=1)
    # A row far below the others is the rounding of a larger one.
    kept = norms > ROW_FLOOR * norms.max() if len(norms) else norms > 0
    return rows[kept] / norms[kept, None]


ROW_FLOOR = 1e-12


def null_space(rows: Tensor, h: int, p: int, *, affine: bool) -> Solution:
    """Pairs that solve all equations, columns equilibrated.

    Raises:
        ValueError: If there are fewer equations than unknowns.
    """
    unknowns = h * h + p * p + (h + p if affine else 0)
    if 0 < len(rows) < unknowns:
        raise ValueError(
            f"only {len(rows)} of the equations have finite derivatives, for {unknowns} unknowns. "
            "Raise `samples`, or pass a function whose derivative is finite almost everywhere."
        )
    sizes = rows.norm(dim=0)
    seen = sizes > 0
    scaled = rows[:, seen] / sizes[seen]
    basis = torch.eye(unknowns, dtype=torch.float64)[:, ~seen]
    retained, null = 1.0, 0.0
    if bool(seen.any()):
        triangle = torch.linalg.qr(scaled, mode="r").R
        values, right = torch.linalg.svd(triangle)[1:]
        rank = int((values > THRESHOLD * values[0]).sum())
        retained = float(values[rank - 1] / values[0])
        null = float(values[rank] / values[0]) if rank < len(values) else 0.0
        inside = torch.zeros(unknowns, len(values) - rank, dtype=torch.float64)
        inside[seen] = right[rank:].T / sizes[seen, None]
        basis = torch.cat([inside, basis], 1)
    basis = torch.linalg.qr(basis).Q.T
    return Solution(_unflatten(basis, h, p, affine=affine), retained, null)


def _unflatten(basis: Tensor, h: int, p: int, *, affine: bool) -> Pairs:
    d = len(basis)
    if not affine:
        basis = torch.nn.functional.pad(basis, (0, h + p))
    m, n, a, b = basis.split([h * h, p * p, h, p], 1)
    return Pairs(m.reshape(d, h, h), n.reshape(d, p, p), a, b)


def surviving(pairs: Pairs, sample: Sample) -> Pairs:
    """Those combinations of pairs that hold on a sample, too."""
    if len(pairs) == 0:
        return pairs
    z, s, jac = sample.points, sample.values, sample.jacobian
    moved = torch.einsum("dij,kj->kdi", pairs.inputs, z) + pairs.input_shifts
    left = torch.einsum("kij,kdj->kid", jac, moved)
    right = torch.einsum("dij,kj->kid", pairs.outputs, s) + pairs.output_shifts.T
    # What the terms are before they cancel; sizes of a row, alike for all pairs.
    size = jac.abs().sum(-1) * moved.abs().amax((1, 2))[:, None]
    size = size + torch.einsum("dij,kj->kid", pairs.outputs.abs(), s.abs()).amax(-1)
    size = size + pairs.output_shifts.abs().amax(0)
    rows = ((left - right) / size[..., None]).reshape(-1, len(pairs))
    rows = rows[torch.isfinite(rows).all(1)]
    if len(rows) == 0:
        return pairs
    _, values, right_vectors = torch.linalg.svd(rows, full_matrices=len(rows) < len(pairs))
    rank = int((values > THRESHOLD).sum())
    return pairs.combined(right_vectors[rank:])


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
    order = scipy.linalg.qr(vectors.numpy(), mode="r", pivoting=True)[1][: len(pairs)]
    places = torch.as_tensor(sorted(order.tolist()))
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
