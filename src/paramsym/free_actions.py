"""Families that act freely at generic parameters, found by structure instead of ranks.

A generator that moves nothing vanishes if one parameter alone says so: M X = 0 for a generic X with
at least as many columns as rows. Families that act freely drop out of the question, which may leave
another one alone on a parameter (docs/derivations.md §22).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from paramsym.family import Family
from paramsym.groups import Homothety, Orthogonal
from paramsym.ports import Port
from paramsym.terms import Slot, Term

Movers = Mapping[str, Sequence[Family]]
"""Parameter → families that may still move it."""


def acting_freely(families: Sequence[Family]) -> list[Family]:
    """Families with no share in any combination of generators that moves nothing.

    The condition is sufficient: nothing is said of the families that are left out.
    """
    free: list[Family] = []
    left = list(families)
    while True:
        movers: dict[str, list[Family]] = defaultdict(list)
        for family in left:
            for name in family.moves:
                movers[name].append(family)
        found = [family for family in left if _is_free(family, movers)]
        if not found:
            return free
        free += found
        left = [family for family in left if not any(family is other for other in found)]


def _is_free(family: Family, movers: Movers) -> bool:
    if family.ports and not any(_sees_matrices(family, port, movers) for port in family.ports):
        return False
    if not family.group.translates or isinstance(family.group, Homothety):
        return bool(family.ports)  # the translation of a homothety is that of its scale
    return any(_sees_translations(family, term, movers) for term in family.terms)


def _sees_matrices(family: Family, port: Port, movers: Movers) -> bool:
    """Whether every matrix of the algebra moves the port's rows, whatever else moves them too."""
    columns = port.width
    for other in movers[port.parameter]:
        for rival in other.ports:
            mine = other is family and rival is port
            if mine or rival.parameter != port.parameter:
                continue
            same_axes = (rival.view, rival.axes) == (port.view, port.axes)
            if not same_axes or bool((rival.taken & port.taken).any()):
                return False
        for term in other.terms:
            if term.target.parameter == port.parameter:
                columns -= _columns(term, port)
    group = family.group
    # Antisymmetric matrices have even rank: they vanish if all but one direction does.
    spared = 1 + group.fixes_mean if isinstance(group, Orthogonal) else 0
    return columns >= max(1, group.n - spared)


def _columns(term: Term, port: Port) -> int:
    """Columns that what a term adds to the port's rows may be combined of: one if it is v ⊗ y with
    a fixed y, and a free v that is a vector of the space."""
    operands, output = term.equation.split("->")
    translation, *sources = operands.split(",")
    axes = {letter for axis, letter in enumerate(output) if axis in port.axes}
    is_vector = set(translation) <= axes and len(output) == len(port.view)
    if not is_vector or term.target.view not in ((), port.view):
        return port.width  # it may undo anything
    is_product = not any(set(word) & axes and set(word) - axes for word in sources)
    return 1 if is_product else port.index.shape[1]


def _sees_translations(family: Family, term: Term, movers: Movers) -> bool:
    """Whether every translation moves the term's target, which nothing else moves. (That matrices
    of its own family do not is known.)"""
    name = term.target.parameter
    operands, output = term.equation.split("->")
    if family.group.dim > 1 and not set(operands.split(",")[0]) <= set(output):
        return False
    for other in movers[name]:
        if other is not family and any(port.parameter == name for port in other.ports):
            return False
        rivals = [t for t in other.terms if other is not family or t is not term]
        if any(_overlap(t.target, term.target) for t in rivals):
            return False
    return True


def _overlap(one: Slot, other: Slot) -> bool:
    if one.parameter != other.parameter:
        return False
    if one.view != other.view or len(one.block) != len(other.block):
        return True
    return all(
        a is None or b is None or (a[0] < b[1] and b[0] < a[1])
        for a, b in zip(one.block, other.block, strict=True)
    )
