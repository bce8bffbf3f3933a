"""The infinitesimal action of a symmetry at a point, as a matrix of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.certification.jacobian import Jacobian
from paramsym.certification.null_space import pivoted
from paramsym.family import Family
from paramsym.orbit_dimension import fields

ROUNDING = 2**6
"""Rounding errors of one entry of a tangent, in units of eps: products of a few parameters."""


@final
@dataclass(frozen=True)
class Tangents:
    """Fields of a basis of every family's algebra, of length 1.

    Attributes:
        families: The families.
        matrix: Their fields, one a row, `[generators, d]`; rows of families in order.
        owner: Number of the family of each row; their number for rows of several together.
    """

    families: tuple[Family, ...]
    matrix: Tensor
    owner: Tensor

    def keep(self, sound: Sequence[bool]) -> "Tangents":
        """Those of some families only."""
        chosen = torch.tensor(sound, dtype=torch.bool)
        rows = chosen[self.owner] if len(self.owner) else self.owner.bool()
        numbers = chosen.cumsum(0) - 1
        return Tangents(
            tuple(f for f, good in zip(self.families, sound, strict=True) if good),
            self.matrix[rows],
            numbers[self.owner[rows]] if len(self.owner) else self.owner,
        )

    def joined(self, rows: Tensor) -> "Tangents":
        """With more rows, of length 1, that are of several families together."""
        owner = torch.full((len(rows),), len(self.families))
        return Tangents(
            self.families, torch.cat([self.matrix, rows]), torch.cat([self.owner, owner])
        )

    def own_rank(self, k: int) -> int:
        """The rank of one family's fields: the dimension of its own orbit here."""
        rows = self.matrix[self.owner == k]
        return echelon(rows[:, (rows != 0).any(0)]).rank


@final
@dataclass(frozen=True)
class Echelon:
    """A numerical rank, by QR with pivoting.

    Attributes:
        rank: The rank.
        pivots: As many columns that are independent.
        kept: Smallest pivot that counts, relative to the largest.
        dropped: Largest that does not.
    """

    rank: int
    pivots: Tensor
    kept: float
    dropped: float


def tangents_at(
    families: Sequence[Family], params: dict[str, Tensor], jacobian: Jacobian
) -> Tangents:
    """The fields at θ of all generators of the families, without those that vanish there."""
    rows = [torch.empty(0, jacobian.dim, dtype=torch.float64)]
    owners = [torch.empty(0, dtype=torch.int64)]
    for k, family in enumerate(families):
        found = fields(family, family.group.basis().double(), params, jacobian.sizes)
        lengths = found.norm(dim=1)
        rows.append(found[lengths > 0] / lengths[lengths > 0, None])
        owners.append(torch.full((len(rows[-1]),), k))
    return Tangents(tuple(families), torch.cat(rows), torch.cat(owners))


def echelon(rows: Tensor) -> Echelon:
    """The rank of rows of length about 1, and columns in which it shows.

    A pivot counts above ROUNDING·eps·‖rows‖, the rounding of the rows themselves.
    """
    if rows.numel() == 0:
        return Echelon(0, torch.empty(0, dtype=torch.int64), 0.0, 0.0)
    R, order = pivoted(rows)
    pivots = R.diagonal().abs()
    largest = float(pivots[0]) or 1.0
    noise = ROUNDING * torch.finfo(torch.float64).eps * float(rows.norm())
    rank = int((pivots > noise).sum())
    return Echelon(
        rank,
        order[:rank],
        float(pivots[rank - 1]) / largest if rank else 0.0,
        float(pivots[rank]) / largest if rank < len(pivots) else 0.0,
    )
