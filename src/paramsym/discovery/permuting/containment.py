"""Which discrete families a continuous one contains: GL(n) permutes, and O(n) reflects."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from paramsym.discovery.labels import Labels
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations, Signs
from paramsym.family import Family
from paramsym.groups import Affine, GeneralLinear, Orthogonal
from paramsym.ports import Port

Place = tuple[str, tuple[int, ...], tuple[int, ...]]
Owners = dict[Place, list[tuple[Family | DiscreteFamily, Labels]]]
"""For every place the families there, and which coordinate (copies flattened) owns each row."""


def beyond(
    discrete: Iterable[DiscreteFamily], continuous: Iterable[Family]
) -> list[DiscreteFamily]:
    """The discrete families that no product of matrices of the continuous ones contains."""
    linear = [f for f in continuous if isinstance(f.group, GeneralLinear | Affine | Orthogonal)]
    for_signs = _owners(f for f in linear if not getattr(f.group, "fixes_mean", False))
    # A gain between space and port commutes with signs, and not with permutations.
    for_permutations = _owners(f for f in linear if not any(p.frame for p in f.ports))
    kept = [
        f
        for f in discrete
        if not _contained(f, for_permutations if isinstance(f.group, Permutations) else for_signs)
    ]
    # The signs of blocks are words of the signs of what is in them.
    signs = [f for f in kept if isinstance(f.group, Signs)]
    for_blocks = _owners(signs)
    coarse = [f for f in signs if _contained(f, for_blocks)]
    return [f for f in kept if not any(f is x for x in coarse)]


def _place(port: Port) -> Place:
    return port.parameter, port.view, port.axes


def _owners(families: Iterable[Family | DiscreteFamily]) -> Owners:
    found: Owners = {}
    for family in families:
        for port in family.ports:
            copies, n, multiplicity = port.index.shape
            owner = np.full(port.row_count, -1)
            owner[port.index.numpy().ravel()] = np.arange(copies * n).repeat(multiplicity)
            found.setdefault(_place(port), []).append((family, owner))
    return found


def _contained(family: DiscreteFamily, owners: Owners) -> bool:
    """Whether every element of the family is a word of matrices.

    Each coordinate of the family must own whole coordinates of the matrices; a permutation must
    also exchange coordinates of one and the same matrix.
    """
    copies, n = family.group.copies, family.group.n
    others: dict[int, Family | DiscreteFamily] = {}
    owned: list[Counter[tuple[int, int]]] = [Counter() for _ in range(copies * n)]
    for port in family.ports:
        index = port.index.numpy().reshape(copies * n, -1)
        there = (
            (other, owner[index])
            for other, owner in owners.get(_place(port), [])
            if other is not family
        )
        covering = next(((f, rows) for f, rows in there if bool((rows >= 0).all())), None)
        if covering is None:
            return False
        other, rows = covering
        others[id(other)] = other  # families are slow to hash
        for unit, coordinates in enumerate(rows.tolist()):
            owned[unit].update((id(other), c) for c in coordinates)
    whole = {i: sum(port.multiplicity for port in f.ports) for i, f in others.items()}
    if any(count != whole[i] for unit in owned for (i, _), count in unit.items()):
        return False
    if not isinstance(family.group, Permutations):
        return True
    for copy in range(copies):
        matrices = {
            frozenset(Counter((i, c // others[i].group.n) for i, c in unit).items())
            for unit in owned[copy * n : (copy + 1) * n]
        }
        if len(matrices) > 1:
            return False
    return True
