"""Exact elimination over the rationals, of the few equations that are left when all simple ones are
solved."""

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from paramsym.discovery.equations import Equations, Number, Row
from paramsym.discovery.labels import Labels


class Elimination:
    """Exact Gauss–Jordan elimination, one row at a time, over the classes that may scale.

    Attributes:
        dead: A mask of the classes that must not scale.
        spared: A mask of those that are solved for only where nothing else can be.
        solved: Solved classes as combinations of free ones. The combinations are complete: no
            solved class stands in them.
        users: Free class → solved classes that it stands in.
    """

    def __init__(self, equations: Equations, dead: np.ndarray, spared: np.ndarray) -> None:
        self.dead = dead.copy()
        self.spared = spared
        pivots, own, rest = equations.solved_by_own_unknowns(spared)
        self.solved: dict[int, Row] = dict(zip(pivots.tolist(), own.rows(), strict=True))
        self.users: dict[int, set[int]] = own.users(pivots)
        for row in sorted(rest.rows(), key=len):
            self.add(row)

    def add(self, row: Row) -> None:
        """One more equation, Σ coefficient · scale = 0."""
        reduced = self._reduced(row)
        if len(reduced) < 2:
            for k in reduced:
                self.kill(k)
            return
        pivot = self._pivot(reduced)
        scale = -reduced.pop(pivot)
        combination = {k: _ratio(v, scale) for k, v in reduced.items()}
        for other in self.users.pop(pivot, set()):
            self._substitute(other, self.solved[other].pop(pivot), combination)
        self.solved[pivot] = combination
        for k in combination:
            self.users.setdefault(k, set()).add(pivot)

    def kill(self, k: int) -> None:
        """A free class vanishes; so may what was solved by it."""
        self.dead[k] = True
        for pivot in self.users.pop(k, set()):
            del self.solved[pivot][k]
            self._kill_if_zero(pivot)

    def free(self) -> np.ndarray:
        """A mask of the classes that may scale as they like; they say what all others do."""
        free = ~self.dead
        free[list(self.solved)] = False
        return free

    def leave_out(self, alone: Labels, solutions: Iterable[Row], weight: Labels) -> None:
        """Leave some solutions out: what remains has one solution of every coset.

        Args:
            alone: Free classes each of which scales alone in one of them.
            solutions: Others, by the scales of free classes.
            weight: For every class how gladly it vanishes in what remains.
        """
        for k in self.users.keys() & set(alone.tolist()):
            self.kill(k)
        self.dead[alone] = True
        echelon: dict[int, Row] = {}
        for solution in sorted(solutions, key=len):
            rest = {k: v for k, v in solution.items() if v and not self.dead[k]}
            while (pivot := next((k for k in rest if k in echelon), None)) is not None:
                _subtract(rest, rest[pivot], echelon[pivot])
            if rest:
                pivot = max(rest, key=lambda k: (int(weight[k]), -k))
                echelon[pivot] = {k: _ratio(v, rest[pivot]) for k, v in rest.items()}
        for k in echelon:
            self.kill(k)

    def basis(self) -> list[Row]:
        """The solutions, one for every free class."""
        found: dict[int, Row] = {k: {k: 1} for k in np.flatnonzero(self.free()).tolist()}
        for pivot, row in self.solved.items():
            for k, coefficient in row.items():
                found[k][pivot] = coefficient
        return list(found.values())

    def _reduced(self, row: Row) -> Row:
        """The equation between free classes."""
        if self.solved.keys().isdisjoint(row):
            return {k: v for k, v in row.items() if v and not self.dead[k]}
        reduced: Row = {}
        for k, coefficient in row.items():
            if self.dead[k]:
                continue
            for j, c in self.solved.get(k, {k: 1}).items():
                reduced[j] = reduced.get(j, 0) + coefficient * c
        return {k: v for k, v in reduced.items() if v}

    def _pivot(self, row: Row) -> int:
        """The class that stands in the fewest solved rows, which fills in least; the last of
        several."""
        alone = [k for k in row if not self.users.get(k) and not self.spared[k]]
        if alone:
            return max(alone)
        return min(row, key=lambda k: (bool(self.spared[k]), len(self.users.get(k, ())), -k))

    def _substitute(self, pivot: int, factor: Number, combination: Row) -> None:
        row = self.solved[pivot]
        for k, v in combination.items():
            total = row.get(k, 0) + factor * v
            if total:
                row[k] = total
                self.users.setdefault(k, set()).add(pivot)
            else:
                row.pop(k, None)
                self.users.get(k, set()).discard(pivot)
        self._kill_if_zero(pivot)

    def _kill_if_zero(self, pivot: int) -> None:
        if not self.solved[pivot]:
            del self.solved[pivot]
            self.dead[pivot] = True


def _ratio(a: Number, b: Number) -> Number:
    return Fraction(a) / b if a % b else a // b


def _subtract(row: Row, factor: Number, other: Row) -> None:
    """row −= factor · other, in place."""
    for k, v in other.items():
        total = row.get(k, 0) - factor * v
        if total:
            row[k] = total
        else:
            row.pop(k, None)
