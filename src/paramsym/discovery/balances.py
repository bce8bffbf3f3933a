"""Balances of log-scales, solved exactly: Σ exponent · scale[label] = 0.

Nearly all equations say that two labels scale alike or inversely, or do so once it is known what
vanishes; those are solved as connected components. The few others go through sparse elimination
over the rationals.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from paramsym.discovery.elimination import Elimination
from paramsym.discovery.equations import Equations
from paramsym.discovery.labels import FIXED, Labels

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
) -> tuple[Classes, Elimination]:
    """The solutions of balances over `count` labels, over classes of labels.

    Labels in `last` are solved for last, so that few solutions of the basis need them.
    """
    zero, same, opposite, others = _sort(balances)
    classes = signed_classes(count, same, opposite)
    dead = classes.degenerate.copy()
    dead[classes.of[zero]] = True
    classes, dead, rest = _propagated(classes, dead, others)
    spared = np.zeros(len(dead), dtype=bool)
    if last is not None:
        spared[classes.of[last]] = True
    return classes, Elimination(rest, dead, spared)


def _sort(balances: Balances) -> tuple[Labels, Labels, Labels, Equations]:
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
    others = Equations(np.concatenate([empty, *unknowns]), np.concatenate([empty, *coefficients]))
    return np.concatenate(zero), np.concatenate(same), np.concatenate(opposite), others


def _whole(exponents: tuple[float, ...]) -> list[int]:
    """Whole numbers in the same ratios."""
    ratios = [Fraction(e).limit_denominator(10**6) for e in exponents]
    common = math.lcm(*(r.denominator for r in ratios))
    return [int(r * common) for r in ratios]


def _propagated(
    classes: Classes, dead: np.ndarray, equations: Equations
) -> tuple[Classes, np.ndarray, Equations]:
    """What follows from single equations, where they come down to one unknown, which vanishes, or
    to two that are equal or opposite; and from two that differ in one unknown, which are equal.
    Repeated until nothing follows.

    Returns:
        Classes, a mask of those that vanish, and the equations that remain.
    """
    equations = equations.over(classes.of, classes.sign)
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
        equations = equations[~(single | pair)].over(further.of, further.sign)


def _any_of(of: Labels, mask: np.ndarray, count: int) -> np.ndarray:
    """For every class whether the mask holds for one of its members."""
    found = np.zeros(count, dtype=bool)
    found[of[mask]] = True
    return found
