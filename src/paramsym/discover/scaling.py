"""The scaling analysis: all diagonal symmetries, as the null space of the balances.

Dimensional analysis: one unknown log-scale a label, one linear equation a balance. Nearly all
equations say that two labels scale alike or inversely; those are solved as connected components.
The few others go through exact sparse elimination.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from paramsym.discover.facts import Facts
from paramsym.discover.labels import FIXED, Labels

Row = dict[int, Fraction]


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


def scalings(facts: Facts, mixed: Labels) -> tuple[Classes, list[Row]]:
    """A sparse basis of the scalings.

    Args:
        facts: What the rules stated.
        mixed: Labels that a general linear family contains the scalings of; they are left out.

    Returns:
        Classes of labels, and basis vectors as class → log-scale (of its positive labels).
    """
    zero, same, opposite, general = _sort_balances(facts)
    zero = np.concatenate([zero, mixed])
    classes = signed_classes(facts.count, same, opposite)
    dead = classes.degenerate.copy()
    dead[classes.of[zero]] = True
    elimination = _Elimination(set(np.flatnonzero(dead).tolist()))
    for row in sorted(_rows_over_classes(general, classes), key=len):
        elimination.add(row)
    coordinates = np.bincount(classes.of[facts.coordinates], minlength=len(dead))
    for one, other in facts.gauges:
        elimination.spend(_gauge(one, other, classes, coordinates))
    free = set(range(len(dead))) - elimination.dead - set(elimination.solved)
    unit = Fraction(1)
    basis: dict[int, Row] = {k: {k: unit} for k in sorted(free)}
    for pivot, row in elimination.solved.items():
        for k, coefficient in row.items():
            basis[k][pivot] = coefficient
    return classes, list(basis.values())


def _gauge(one: Labels, other: Labels, classes: Classes, coordinates: Labels) -> Row:
    """The scaling of one axis up and another down, which changes no parameter; nothing where its
    classes hold coordinates of others too. The axis of fewer classes comes first."""
    gauge: Row = {}
    touched, counts = np.unique(classes.of[np.concatenate([one, other])], return_counts=True)
    if (coordinates[touched] != counts).any():
        return gauge
    axes = [
        {k: Fraction(direction * sign) for k, sign in zip(of, signs, strict=True)}
        for labels, direction in ((one, 1), (other, -1))
        for of, signs in [(classes.of[labels].tolist(), classes.sign[labels].tolist())]
        if len(set(zip(of, signs, strict=True))) == len(set(of))
    ]
    for axis in sorted(axes, key=len):
        if any(gauge.get(k, size) != size for k, size in axis.items()):
            return {}
        gauge |= axis
    return gauge if len(axes) == 2 else {}


def _sort_balances(facts: Facts) -> tuple[Labels, Labels, Labels, list[Row]]:
    """Balances as labels that vanish, pairs that are equal, pairs that are opposite, and others."""
    zero: list[Labels] = [np.empty(0, dtype=np.int64)]
    same: list[Labels] = [np.empty((0, 2), dtype=np.int64)]
    opposite: list[Labels] = [np.empty((0, 2), dtype=np.int64)]
    general: list[Row] = []
    for exponents, blocks in facts.balances.items():
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
            general += _rows_of(exponents, rows)
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


class _Elimination:
    """Exact Gauss–Jordan elimination, one row at a time, over the classes that may scale.

    Attributes:
        solved: Solved classes as combinations of free ones. The combinations are complete: no
            solved class stands in them.
        users: Free class → solved classes that it stands in.
        dead: Classes that must not scale.
    """

    def __init__(self, dead: set[int]) -> None:
        self.solved: dict[int, Row] = {}
        self.users: dict[int, set[int]] = {}
        self.dead = dead

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

    def spend(self, gauge: Row) -> None:
        """Leave a solution out, if it is one: its first free class vanishes."""
        pivots = set(self.solved).intersection(gauge).union(*(self.users.get(k, ()) for k in gauge))
        if not self.dead.isdisjoint(gauge) or any(
            gauge.get(p, 0) != sum(c * gauge.get(k, 0) for k, c in self.solved[p].items())
            for p in pivots
        ):
            return
        free = next((k for k in gauge if k not in self.solved), None)
        if free is not None:
            self.kill(free)

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
