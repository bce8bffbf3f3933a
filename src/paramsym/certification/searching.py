"""The null space of columns of a Jacobian, with as many rows as it takes."""

import math
from typing import final

import torch
from torch import Tensor

from paramsym.certification.jacobian import Jacobian
from paramsym.certification.null_space import CLEAR_GAP, smallest, triangular
from paramsym.certification.pilot import EPS, PILOT, SAFETY, Pilot, column_scales

OVERSAMPLING = 1.1
"""Rows, as a multiple of the directions that may be left."""

SPARE = 64
"""Rows beyond that."""


@final
class Search:
    """The null space of some columns of the Jacobian, with as many rows as it takes.

    Columns that are zero in all rows are idle and left out; the others are live.
    """

    def __init__(
        self,
        jacobian: Jacobian,
        params: dict[str, Tensor],
        pilot: Pilot,
        columns: Tensor,
        seed: int,
        max_rows: int,
    ) -> None:
        self.jacobian, self.params, self.pilot = jacobian, params, pilot
        self.columns, self.seed, self.max_rows = columns, seed, max_rows
        self.rows = 0
        self.idle = torch.ones(len(columns), dtype=torch.bool)
        self.live = torch.empty(0, dtype=torch.int64)
        self.R = torch.empty(0, 0, dtype=torch.float64)
        self.null = torch.empty(0, 0, dtype=torch.float64)
        self.undecided, self.kept, self.dropped, self.grew = 0, 0.0, 0.0, False

    def run(self) -> None:
        """Add rows until fresh ones leave every null direction alone."""
        expected = int(self.pilot.alive[self.columns].sum())
        self._take(math.ceil(OVERSAMPLING * expected) + SPARE)
        self._solve()
        while len(self.null) or bool(self.idle.any()):
            count = max(PILOT, len(self.live) // 2)
            if self.rows + count > self.max_rows:
                self.grew = True
                return
            before = self.live
            fresh = self._take(count, keep=False)
            felt = self._scaled(fresh[:, before]) @ self._normalised_null.mT
            noise = CLEAR_GAP * self.noise
            unmoved = not felt.numel() or float(torch.linalg.matrix_norm(felt, 2)) <= noise
            if unmoved and len(self.live) == len(before):
                return
            self._stack(fresh[:, self.live])
            self._solve()

    def _take(self, count: int, *, keep: bool = True) -> Tensor:
        """More rows; which columns are idle is seen anew."""
        rows = self.jacobian.rows(self.params, count, self.seed + self.rows, self.columns)
        lengths = (rows * self.pilot.scale[self.columns]).norm(dim=1, keepdim=True)
        rows /= torch.where(lengths > 0, lengths, 1.0)
        self.rows += count
        seen = (rows != 0).any(0) | self.pilot.alive[self.columns]
        new = (self.idle & seen).nonzero()[:, 0]
        self.idle = self.idle & ~seen
        self.live = torch.cat([self.live, new])
        if keep:
            self._stack(rows[:, self.live])
        return rows

    def _stack(self, rows: Tensor) -> None:
        width = rows.shape[1]
        before = self.R.new_zeros(len(self.R), width)
        before[:, : self.R.shape[1]] = self.R
        self.R = triangular(torch.cat([before, rows]) if len(before) else rows)

    def _solve(self) -> None:
        norms = self.R.norm(dim=0)
        chosen = self.columns[self.live]
        error = self.pilot.error[:, chosen]
        relative = error.norm(dim=0) * math.sqrt(self.rows / PILOT)
        self.scale = column_scales(norms, relative)
        A = self.R * self.scale
        size = float(A.norm())
        spread = float((relative * self.scale).norm())
        self.noise = SAFETY * (spread + math.sqrt(max(1, self.rows)) * EPS * size)
        found = smallest(A, self.noise)
        self._normalised_null = found.null(self.noise)
        self.null = self._normalised_null * self.scale
        self.undecided = found.between(self.noise)
        largest = float(torch.linalg.matrix_norm(A, 2)) if len(A) <= 256 else _power(A)
        largest = largest or 1.0
        kept, dropped = (
            found.values[found.values > self.noise],
            found.values[found.values <= self.noise],
        )
        self.kept = float(kept[0]) / largest if len(kept) else 0.0
        self.dropped = float(dropped[-1]) / largest if len(dropped) else 0.0

    def _scaled(self, rows: Tensor) -> Tensor:
        return rows * self.scale


def _power(A: Tensor) -> float:
    """The largest singular value, by power iteration; a lower bound."""
    x = torch.ones(A.shape[1], dtype=A.dtype)
    size = 0.0
    for _ in range(10):
        x = A.mT @ (A @ (x / x.norm()))
        size = float(x.norm()) ** 0.5
    return size
