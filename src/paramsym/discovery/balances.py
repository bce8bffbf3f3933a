"""Balances of log-scales, solved exactly: Σ exponent · scale[label] = 0.

Nearly all equations say that two labels scale alike or inversely, or do so once it is known what
vanishes; those are solved as connected components. The few others go through sparse elimination
over the rationals.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from paramsym.discovery.distinct import distinct_rows
from paramsym.discovery.labels import FIXED, Labels

Number = int | Fraction
"""Rational numbers; whole ones as integers, which are ten times faster."""
Row = dict[int, Number]
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


def solve(
    balances: Balances, count: int, last: Labels | None = None
) -> tuple[Classes, "Elimination"]:
    """The solutions of balances over `count` labels, over classes of labels.

    Labels in `last` are solved for last, so that few solutions of the basis need them.
    """
    zero, same, opposite, others = _sort(balances)
    classes = signed_classes(count, same, opposite)
    dead = classes.degenerate.copy()
    dead[classes.of[zero]] = True
    classes, dead, rest = _propagated(classes, dead, others)
    spared = set() if last is None else set(classes.of[last].tolist())
    elimination = Elimination(len(dead), set(np.flatnonzero(dead).tolist()), spared)
    for row in sorted(rest.rows(), key=len):
        elimination.add(row)
    return classes, elimination


@final
@dataclass(frozen=True)
class _Equations:
    """Equations Σ coefficient · scale[unknown] = 0, one a row; unused places have coefficient 0."""

    unknowns: Labels
    coefficients: Labels

    def __getitem__(self, chosen: np.ndarray) -> "_Equations":
        return _Equations(self.unknowns[chosen], self.coefficients[chosen])

    def over(self, classes: Classes) -> "_Equations":
        """The same equations between classes."""
        signs = classes.sign[self.unknowns]
        return _Equations(classes.of[self.unknowns], self.coefficients * signs)

    def reduced(self, dead: np.ndarray) -> "_Equations":
        """Every unknown once in a row, in order, those that vanish and unused places last."""
        unknowns, coefficients = self.unknowns, self.coefficients
        for _ in range(2):  # the second time, behind those that the first has added up to 0
            unused = (coefficients == 0) | dead[unknowns]
            coefficients = np.where(unused, 0, coefficients)
            order = np.argsort(np.where(unused, len(dead), unknowns), axis=1, kind="stable")
            unknowns = np.take_along_axis(unknowns, order, 1)
            coefficients = np.take_along_axis(coefficients, order, 1)
            for k in range(1, unknowns.shape[1]):
                twice = (unknowns[:, k] == unknowns[:, k - 1]) & (coefficients[:, k] != 0)
                coefficients[:, k] += np.where(twice, coefficients[:, k - 1], 0)
                coefficients[:, k - 1] = np.where(twice, 0, coefficients[:, k - 1])
        return _Equations(unknowns, coefficients)

    def primitive(self) -> "_Equations":
        """Distinct equations that are reduced, each divided by what its coefficients have in
        common."""
        divisor = np.gcd.reduce(self.coefficients, axis=1, initial=0)
        divisor = divisor * np.sign(self.coefficients[:, 0])  # the first one is in use
        coefficients = self.coefficients // divisor[:, None]
        unknowns = np.where(coefficients == 0, 0, self.unknowns)
        table = distinct_rows(np.hstack([unknowns, coefficients]))
        return _Equations(*np.hsplit(table, 2))

    def twins(self) -> Labels:
        """Pairs of unknowns that are equal, because two equations differ in them only."""
        weight = np.random.default_rng(0).integers(2**62, size=self.unknowns.max(initial=0) + 1)
        share = self.coefficients * weight[self.unknowns]
        found = [np.empty((0, 2), dtype=np.int64)]
        for k in range(self.unknowns.shape[1]):
            # What the others add up to, modulo 2**64, brings candidates together.
            order = np.argsort(share.sum(1) - share[:, k], kind="stable")
            unknowns, coefficients = self.unknowns[order], self.coefficients[order]
            rest = np.delete(unknowns, k, axis=1)
            alike = (coefficients[1:] == coefficients[:-1]).all(1) & (coefficients[1:, k] != 0)
            alike &= (rest[1:] == rest[:-1]).all(1) & (unknowns[1:, k] != unknowns[:-1, k])
            found.append(np.stack([unknowns[:-1, k], unknowns[1:, k]], 1)[alike])
        return np.concatenate(found)

    def rows(self) -> list[Row]:
        """The equations as dicts."""
        columns = zip(self.unknowns.tolist(), self.coefficients.tolist(), strict=True)
        return [
            {k: c for k, c in zip(unknowns, coefficients, strict=True) if c}
            for unknowns, coefficients in columns
        ]


def _sort(balances: Balances) -> tuple[Labels, Labels, Labels, _Equations]:
    """Balances as labels that vanish, pairs that are equal, pairs that are opposite, and others."""
    zero: list[Labels] = [np.empty(0, dtype=np.int64)]
    same: list[Labels] = [np.empty((0, 2), dtype=np.int64)]
    opposite: list[Labels] = [np.empty((0, 2), dtype=np.int64)]
    unknowns: list[Labels] = []
    coefficients: list[Labels] = []
    width = max(map(len, balances), default=1)
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
            padded = np.full((len(rows), width), FIXED)
            padded[:, : len(exponents)] = rows
            whole = np.zeros(width, dtype=np.int64)
            whole[: len(exponents)] = _whole(exponents)
            coefficients.append(np.where(padded == FIXED, 0, whole))
            unknowns.append(np.where(padded == FIXED, 0, padded))
    empty = np.empty((0, width), dtype=np.int64)
    others = _Equations(np.concatenate([empty, *unknowns]), np.concatenate([empty, *coefficients]))
    return np.concatenate(zero), np.concatenate(same), np.concatenate(opposite), others


def _whole(exponents: tuple[float, ...]) -> list[int]:
    """Whole numbers in the same ratios."""
    ratios = [Fraction(e).limit_denominator(10**6) for e in exponents]
    common = math.lcm(*(r.denominator for r in ratios))
    return [int(r * common) for r in ratios]


def _propagated(
    classes: Classes, dead: np.ndarray, equations: _Equations
) -> tuple[Classes, np.ndarray, _Equations]:
    """What follows from single equations, where they come down to one unknown, which vanishes, or
    to two that are equal or opposite; and from two that differ in one unknown, which are equal.
    Repeated until nothing follows.

    Returns:
        Classes, a mask of those that vanish, and the equations that remain.
    """
    equations = equations.over(classes)
    while True:
        equations = equations.reduced(dead)
        count = (equations.coefficients != 0).sum(1)
        equations, count = equations[count > 0], count[count > 0]
        first, second = equations.coefficients[:, 0], equations.coefficients[:, 1:2].sum(1)
        single, pair = count == 1, (count == 2) & (abs(first) == abs(second))
        pairs = equations.unknowns[:, :2]
        alike = first == -second
        same, opposite = pairs[pair & alike], pairs[pair & ~alike]
        if not (single | pair).any():
            equations = equations.primitive()
            same = equations.twins()
            if not len(same):
                return classes, dead, equations
            single = pair = np.zeros(len(equations.unknowns), dtype=bool)
        dead = dead.copy()
        dead[equations.unknowns[single, 0]] = True
        further = signed_classes(len(dead), same, opposite)
        died, dead = dead, further.degenerate.copy()
        dead[further.of[died]] = True
        classes = Classes(
            further.of[classes.of],
            classes.sign * further.sign[classes.of],
            further.degenerate | _any_of(further.of, classes.degenerate, len(dead)),
        )
        equations = equations[~(single | pair)].over(further)


def _any_of(of: Labels, mask: np.ndarray, count: int) -> np.ndarray:
    """For every class whether the mask holds for one of its members."""
    found = np.zeros(count, dtype=bool)
    found[of[mask]] = True
    return found


class Elimination:
    """Exact Gauss–Jordan elimination, one row at a time, over the classes that may scale.

    Attributes:
        count: Number of classes.
        dead: Classes that must not scale.
        spared: Classes that are solved for only where nothing else can be.
        solved: Solved classes as combinations of free ones. The combinations are complete: no
            solved class stands in them.
        users: Free class → solved classes that it stands in.
    """

    def __init__(self, count: int, dead: set[int], spared: Collection[int] = ()) -> None:
        self.count = count
        self.dead = dead
        self.spared = spared
        self.solved: dict[int, Row] = {}
        self.users: dict[int, set[int]] = {}

    def add(self, row: Row) -> None:
        """One more equation, Σ coefficient · scale = 0."""
        reduced: Row = {}
        for k, coefficient in row.items():
            if k in self.dead:
                continue
            for j, c in self._combination(k).items():
                reduced[j] = reduced.get(j, 0) + coefficient * c
        reduced = {k: v for k, v in reduced.items() if v}
        if not reduced:
            return
        if len(reduced) == 1:
            self.kill(next(iter(reduced)))
            return
        # The class that stands in the fewest solved rows fills in least.
        pivot = min(reduced, key=lambda k: (k in self.spared, len(self.users.get(k, ())), -k))
        scale = -reduced.pop(pivot)
        combination = {k: _ratio(v, scale) for k, v in reduced.items()}
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
                echelon[pivot] = {k: _ratio(v, rest[pivot]) for k, v in rest.items()}
        for k in echelon:
            self.kill(k)

    def basis(self) -> list[Row]:
        """The solutions, one for every free class."""
        found: dict[int, Row] = {k: {k: 1} for k in range(self.count) if self.is_free(k)}
        for pivot, row in self.solved.items():
            for k, coefficient in row.items():
                found[k][pivot] = coefficient
        return list(found.values())

    def _combination(self, k: int) -> Row:
        return self.solved.get(k, {k: 1})

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
            self.dead.add(pivot)


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
