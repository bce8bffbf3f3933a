"""Which families move the same entries, and so must be solved for together."""

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import torch

from paramsym.family import Family
from paramsym.ports import Port

NOWHERE = -1


def overlap(p: Port, q: Port) -> bool:
    """Whether two ports hold an entry in common; where their views differ, it is assumed."""
    if p.parameter != q.parameter:
        return False
    if p.view != q.view or p.axes != q.axes:
        return True
    mine, other = p.index.numpy().ravel(), q.index.numpy().ravel()
    apart = mine.min() > other.max() or other.min() > mine.max()
    return not apart and bool(np.isin(mine, other).any())


def overlaps_itself(family: Family) -> bool:
    """Whether a family holds an entry by two ports, as that of a recurrent weight A ↦ gAg⁻¹."""
    return any(overlap(p, q) for p, q in combinations(family.ports, 2))


def coupled(a: Family, b: Family) -> bool:
    """Whether moving along one family can change the conserved quantity of the other."""
    if a.terms or b.terms:
        return bool(a.moves & b.moves)
    shared = a.moves & b.moves
    return any(
        overlap(p, q)
        for p in a.ports
        if p.parameter in shared
        for q in b.ports
        if q.parameter == p.parameter
    )


def components(families: Iterable[Family]) -> list[list[Family]]:
    """Families in groups that are coupled, directly or through others; both in the given order."""
    families = list(families)
    leader = list(range(len(families)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    holders: dict[str, list[int]] = {}
    for i, family in enumerate(families):
        for name in family.moves:
            holders.setdefault(name, []).append(i)
    tried: set[tuple[int, int]] = set()
    for members in holders.values():
        for i, j in combinations(members, 2):
            if (i, j) not in tried and find(i) != find(j) and coupled(families[i], families[j]):
                leader[max(find(i), find(j))] = min(find(i), find(j))
            tried.add((i, j))
    groups: dict[int, list[Family]] = {}
    for i, family in enumerate(families):
        groups.setdefault(find(i), []).append(family)
    return list(groups.values())


def all_commute(families: Sequence[Family]) -> bool:
    """Whether the actions of different families are seen to commute: scalings do among each other,
    and with matrices all of whose coordinates they scale alike; others where they act along
    different axes, or on different entries."""
    return all(_commute(a, b) for a, b in combinations(families, 2))


def _commute(a: Family, b: Family) -> bool:
    if a.group.diagonal and b.group.diagonal:
        return True
    if (a.moves | a.reads) & b.reads or a.reads & b.moves or (a.terms and a.moves & b.moves):
        return False
    if b.terms and a.moves & b.moves:
        return False
    return not any(
        overlap(p, q)
        and (p.view != q.view or bool(set(p.axes) & set(q.axes)))
        and not (a.group.diagonal and _is_uniform(p, q))
        and not (b.group.diagonal and _is_uniform(q, p))
        for p in a.ports
        for q in b.ports
        if p.parameter == q.parameter
    )


def _is_uniform(scaled: Port, port: Port) -> bool:
    """Whether a scaling multiplies all that a matrix of another port mixes by one number."""
    count = scaled.index[..., 0].numel()
    held = scaled.spread(torch.arange(count), NOWHERE).expand(scaled.view)
    rows = port.rows(held.reshape(port.view))
    return bool((rows == rows[:, :1]).all())
