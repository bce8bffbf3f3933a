"""The flat directions at a point: those of a symmetry, those of idle entries, and all others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from paramsym.certification.jacobian import Jacobian
from paramsym.certification.null_space import CLEAR_GAP
from paramsym.certification.pilot import EPS, Pilot
from paramsym.certification.searching import Search
from paramsym.certification.tangents import Tangents, echelon, tangents_at
from paramsym.certification.within import combinations
from paramsym.family import Family


@final
@dataclass(frozen=True)
class Measured:
    """What the Jacobian at one point says.

    Attributes:
        rows: Rows of the Jacobian that were computed.
        families: The families, in order, that leave the outputs alone here.
        residuals: For every family asked about, the largest cosine between a row and a generator.
        tolerance: What rounding explains of it.
        tangents: The fields of the families that hold.
        rank: Their rank.
        idle: Entries of θ that no output depends on, as positions in θ.
        idle_dim: How many directions of those the families do not give.
        rest: Orthonormal basis of the flat directions beyond both, orthogonal to them, `[k, d]`.
        undecided: Singular values that are neither clearly zero nor clearly not.
        kept: Smallest singular value that is not zero, relative to the largest.
        dropped: Largest that is.
        grew: Whether the null space still shrank when the rows ran out.
    """

    rows: int
    families: tuple[Family, ...]
    residuals: tuple[float, ...]
    tolerance: float
    tangents: Tangents
    rank: int
    idle: Tensor
    idle_dim: int
    rest: Tensor
    undecided: int
    kept: float
    dropped: float
    grew: bool

    @property
    def nullity(self) -> int:
        """The number of flat directions."""
        return self.rank + self.idle_dim + len(self.rest)

    def known(self) -> Tensor:
        """Orthonormal basis of the directions of families and idle entries, `[k, d]`."""
        return known_basis(self.tangents, self.idle)


def measure(
    jacobian: Jacobian,
    families: Sequence[Family],
    params: dict[str, Tensor],
    *,
    across: Sequence[Family] = (),
    seed: int,
    max_rows: int,
) -> Measured:
    """Measure the flat directions at θ.

    Where θ is a block of the model's parameters, families `across` move others as well; what counts
    are combinations of theirs that do not.

    The directions of families are known to be flat once a few rows have confirmed it. Entries of θ
    in which their rank shows (pivots) can be moved to any value along them, so that the Jacobian of
    the other entries has a null direction for every flat direction beyond, and its smallest
    singular value bounds that of the whole on the complement from below (docs/derivations.md §23).
    """
    pilot = Pilot.of(jacobian, params, seed)
    asked = tangents_at(families, params, jacobian)
    cosines = pilot.cosines(asked.matrix)
    residuals = [
        float(cosines[asked.owner == k].amax()) if bool((asked.owner == k).any()) else 0.0
        for k in range(len(families))
    ]
    sound = [r <= pilot.tolerance for r in residuals]
    tangents = asked.keep(sound)
    if across:
        together = combinations(across, params, jacobian)
        flat = pilot.cosines(together) <= pilot.tolerance
        tangents = tangents.joined(together[flat])

    alive = pilot.alive
    shown = echelon(tangents.matrix[:, alive])
    pivots = alive.nonzero()[:, 0][shown.pivots]
    free = torch.ones(jacobian.dim, dtype=torch.bool)
    free[pivots] = False
    columns = free.nonzero()[:, 0]
    search = Search(jacobian, params, pilot, columns, seed + 1, max_rows)
    search.run()

    known = echelon(tangents.matrix) if bool(tangents.matrix[:, ~alive].any()) else shown
    idle = columns[search.idle]
    gap = known.kept >= CLEAR_GAP * max(known.dropped, EPS) if known.rank else True
    found = Measured(
        rows=search.rows,
        families=tangents.families,
        residuals=tuple(residuals),
        tolerance=pilot.tolerance,
        tangents=tangents,
        rank=known.rank,
        idle=idle,
        idle_dim=len(idle) + shown.rank - known.rank,
        rest=search.null.new_empty(0, jacobian.dim),
        undecided=search.undecided + (not gap),
        kept=search.kept,
        dropped=max(search.dropped, *residuals) if families else search.dropped,
        grew=search.grew,
    )
    if not len(search.null):
        return found
    lifted = search.null.new_zeros(len(search.null), jacobian.dim)
    lifted[:, columns[search.live]] = search.null
    return replace(found, rest=beyond(lifted, found.known()))


def known_basis(tangents: Tangents, idle: Tensor) -> Tensor:
    """Orthonormal basis of fields and idle entries together, `[k, d]`."""
    matrix = tangents.matrix.clone()
    matrix[:, idle] = 0.0
    entries = matrix.new_zeros(len(idle), matrix.shape[1])
    entries[torch.arange(len(idle)), idle] = 1.0
    return torch.cat([entries, row_space(matrix)])


def row_space(rows: Tensor) -> Tensor:
    """Orthonormal basis of the span of rows of length about 1, `[rank, d]`."""
    if not len(rows):
        return rows
    independent = rows[echelon(rows.mT.contiguous()).pivots] if len(rows) > 1 else rows
    return torch.linalg.qr(independent.mT).Q.mT


def beyond(directions: Tensor, known: Tensor) -> Tensor:
    """Orthonormal basis of what directions that are independent modulo `known` add, `[k, d]`."""
    left = directions / directions.norm(dim=1, keepdim=True)
    for _ in range(2):  # twice, as in every Gram–Schmidt
        left = left - (left @ known.mT) @ known
    return torch.linalg.qr(left.mT).Q.mT
