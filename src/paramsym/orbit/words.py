"""Short words: letters that commute change places, until letters of one family meet and multiply.

A descent appends one letter a family in every step. Where families act on different axes or rows,
as most do, the word is still one letter a family in the end.
"""

from collections.abc import Iterable
from itertools import product

from torch import Tensor

from paramsym.element import GroupElement
from paramsym.family import Family
from paramsym.ports import Port

Letters = list[tuple[Family, Tensor]]
"""Families and elements of their groups; the first acts first."""


def commute(a: Family, b: Family) -> bool:
    """Whether every element of one family commutes with every element of the other.

    `False` where that is not plain to see: it costs length, and never truth.
    """
    if not (a.moves & (b.moves | b.reads) or b.moves & a.reads):
        return True
    if not (a.is_linear and b.is_linear):
        return False
    if a.group.diagonal and b.group.diagonal:
        return True
    return all(_apart(p, q) for p, q in product(a.ports, b.ports) if p.parameter == q.parameter)


def _apart(p: Port, q: Port) -> bool:
    """Whether two ports on one parameter act on different axes, or on different rows of one."""
    if p.view != q.view:
        return False
    if not set(p.axes) & set(q.axes):
        return True
    rows = set(p.index.flatten().tolist())
    return p.axes == q.axes and rows.isdisjoint(q.index.flatten().tolist())


def appended(word: Letters, letters: Iterable[tuple[Family, Tensor]]) -> Letters:
    """The word with more letters at its end, multiplied into earlier ones where that is the same.

    A letter moves forward past those that it commutes with, to the next of its own family.
    """
    longer = list(word)
    for family, g in letters:
        place = len(longer)
        for i in reversed(range(len(longer))):
            earlier = longer[i][0]
            if earlier.name == family.name:
                place = i
                break
            if not commute(earlier, family):
                break
        if place < len(longer):
            longer[place] = (family, family.group.compose(g, longer[place][1]))
        else:
            longer.append((family, g))
    return longer


def as_element(word: Letters) -> GroupElement:
    """The word as a group element."""
    names = tuple(family.name for family, _ in word)
    groups = tuple(family.group for family, _ in word)
    return GroupElement(names, groups, tuple(g for _, g in word))


def all_commute(families: Iterable[Family]) -> bool:
    """Whether the families commute pairwise."""
    given = list(families)
    return all(commute(a, b) for i, a in enumerate(given) for b in given[:i])
