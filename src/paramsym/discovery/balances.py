"""Balances of log-scales, solved exactly: Σ exponent · scale[label] = 0.

Nearly all equations say that two labels scale alike or inversely; those are solved as connected
components. The few others go through sparse elimination over the rationals.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from paramsym.discovery.labels import FIXED, Labels

Row = dict[int, Fraction]
Balances = Mapping[tuple[float, ...], list[Labels]]
"""Exponents → label rows of as many columns."""


@final
@dataclass(frozen=True)
class Classes:
    """Labels grouped by signed equality.

    Attributes:
        of: For every label its class.
        sign: For every label ±1 relative to its class.
        degenerate: For every class whether it equals its own negative.
    """

    of: Labels
    sign: Labels
    degenerate: np.ndarray


def signed_classes(count: int, same: Labels, opposite: Labels) -> Classes:
    """Classes of labels under pairs that are equal (`same`) or negatives (`opposite`).

    Connected components of the double cover: label l is the two nodes l and −l.
    """
    left = np.concatenate([same[:, 0], same[:, 0] + count, opposite[:, 0], opposite[:, 0] + count])
    right = np.concatenate([same[:, 1], same[:, 1] + count, opposite[:, 1] + count, opposite[:, 1]])
    edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), (2 * count, 2 * count))
    _, component = connected_components(edges, directed=False)
    plus, minus = component[:count], component[count:]
    # The smaller component number of the two names the class, so the first label has sign +.
    root = np.minimum(plus, minus)
    names, of = np.unique(root, return_inverse=True)
    degenerate = np.zeros(len(names), dtype=bool)
    degenerate[of[plus == minus]] = True
    return Classes(of.astype(np.int64), np.where(plus <= minus, 1, -1), degenerate)


def solve(balances: Balances, count: int) -> tuple[Classes, "Elimination"]:
    """The solutions of balances over `count` labels, over classes of labels."""
    zero, same, opposite, general = _sort(balances)
    classes = signed_classes(count, same, opposite)
    dead = classes.degenerate.copy()
    dead[classes.of[zero]] = True
    elimination = Elimination(len(dead), set(np.flatnonzero(dead).tolist()))
    for row in sorted(_rows_over_classes(general, classes), key=len):
        elimination.add(row)
    return classes, elimination


def _sort(balances: Balances) -> tuple[Labels, Labels, Labels, list[Row]]:
    """Balances as labels that vanish, pairs that are equal, pairs that are opposite, and others."""
    zero: list[Labels] = [np.empty(0, dtype=np.int64)]
    same: list[Labels] = [np.empty((0, 2), dtype=np.int64)]
    opposite: list[Labels] = [np.empty((0, 2), dtype=np.int64)]
    general: list[Row] = []
    for exponents, blocks in balances.items():
        rows = np.concatenate(blocks)
        if len(exponents) == 2 and abs(exponents[0]) == abs(exponents[1]):
            fixed = rows == FIXED
            zero.append(rows[fixed.any(1) & ~fixed.all(1)].max(1))
            pairs = rows[~fixed.any(1)]
            alike = exponents[0] == -exponents[1]
            twice = pairs[:, 0] == pairs[:, 1]
            if alike:
                same.append(pairs[~twice])
            else:
                zero.append(pairs[twice, 0])
                opposite.append(pairs[~twice])
        elif len(exponents) == 1:
            zero.append(rows[rows != FIXED])
        else:
            for row in _rows_of(exponents, rows):
                sizes = set(map(abs, row.values()))
                if len(row) == 1:
                    zero.append(np.array(list(row)))
                elif len(row) == 2 and len(sizes) == 1:
                    alike = sum(row.values()) == 0
                    (same if alike else opposite).append(np.array([list(row)]))
                else:
                    general.append(row)
    return np.concatenate(zero), np.concatenate(same), np.concatenate(opposite), general


def _rows_of(exponents: tuple[float, ...], rows: Labels) -> Iterable[Row]:
    coefficients = [Fraction(e).limit_denominator(10**6) for e in exponents]
    for labels in np.unique(rows, axis=0).tolist():
        row: Row = {}
        for label, coefficient in zip(labels, coefficients, strict=True):
            if label != FIXED:
                row[label] = row.get(label, Fraction(0)) + coefficient
        row = {k: v for k, v in row.items() if v}
        if row:
            yield row


def _rows_over_classes(rows: Iterable[Row], classes: Classes) -> list[Row]:
    mapped: dict[tuple[tuple[int, Fraction], ...], Row] = {}
    for row in rows:
        total: Row = {}
        for label, coefficient in row.items():
            k = int(classes.of[label])
            total[k] = total.get(k, Fraction(0)) + coefficient * int(classes.sign[label])
        total = {k: v for k, v in total.items() if v}
        if total:
            mapped[tuple(sorted(total.items()))] = total
    return list(mapped.values())


class Elimination:
    """Exact Gauss–Jordan elimination, one row at a time, over the classes that may scale.

    Attributes:
        count: Number of classes.
        dead: Classes that must not scale.
        solved: Solved classes as combinations of free ones. The combinations are complete: no
            solved class stands in them.
        users: Free class → solved classes that it stands in.
    """

    def __init__(self, count: int, dead: set[int]) -> None:
        self.count = count
        self.dead = dead
        self.solved: dict[int, Row] = {}
        self.users: dict[int, set[int]] = {}

    def add(self, row: Row) -> None:
        """One more equation, Σ coefficient · scale = 0."""
        reduced: Row = {}
        for k, coefficient in row.items():
            if k in self.dead:
                continue
            for j, c in self._combination(k).items():
                reduced[j] = reduced.get(j, Fraction(0)) + coefficient * c
        reduced = {k: v for k, v in reduced.items() if v}
        if not reduced:
            return
        if len(reduced) == 1:
            self.kill(next(iter(reduced)))
            return
        # The class that stands in the fewest solved rows fills in least.
        pivot = min(reduced, key=lambda k: (len(self.users.get(k, ())), -k))
        scale = -reduced.pop(pivot)
        combination = {k: v / scale for k, v in reduced.items()}
        for other in self.users.pop(pivot, set()):
            self._substitute(other, self.solved[other].pop(pivot), combination)
        self.solved[pivot] = combination
        for k in combination:
            self.users.setdefault(k, set()).add(pivot)

    def kill(self, k: int) -> None:
        """A free class vanishes; so may what was solved by it."""
        self.dead.add(k)
        for pivot in self.users.pop(k, set()):
            del self.solved[pivot][k]
            self._kill_if_zero(pivot)

    def is_free(self, k: int) -> bool:
        """Whether a class may scale as it likes; free scales say what all others are."""
        return k not in self.dead and k not in self.solved

    def leave_out(self, solutions: Iterable[Row], weight: Labels) -> None:
        """Leave some solutions out: what remains has one solution of every coset.

        Args:
            solutions: Solutions, by the scales of free classes.
            weight: For every class how gladly it vanishes in what remains.
        """
        echelon: dict[int, Row] = {}
        for solution in sorted(solutions, key=len):
            rest = {k: v for k, v in solution.items() if v}
            while (pivot := next((k for k in rest if k in echelon), None)) is not None:
                _subtract(rest, rest[pivot], echelon[pivot])
            if rest:
                pivot = max(rest, key=lambda k: (int(weight[k]), -k))
                echelon[pivot] = {k: v / rest[pivot] for k, v in rest.items()}
        for k in echelon:
            self.kill(k)

    def basis(self) -> list[Row]:
        """The solutions, one for every free class."""
        one = Fraction(1)
        found: dict[int, Row] = {k: {k: one} for k in range(self.count) if self.is_free(k)}
        for pivot, row in self.solved.items():
            for k, coefficient in row.items():
                found[k][pivot] = coefficient
        return list(found.values())

    def _combination(self, k: int) -> Row:
        return self.solved[k] if k in self.solved else {k: Fraction(1)}

    def _substitute(self, pivot: int, factor: Fraction, combination: Row) -> None:
        row = self.solved[pivot]
        for k, v in combination.items():
            total = row.get(k, Fraction(0)) + factor * v
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
            self.dead.add(pivot)


def _subtract(row: Row, factor: Fraction, other: Row) -> None:
    """row −= factor · other, in place."""
    for k, v in other.items():
        total = row.get(k, Fraction(0)) - factor * v
        if total:
            row[k] = total
        else:
            row.pop(k, None)
