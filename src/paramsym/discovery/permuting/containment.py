"""Which discrete families a continuous one contains: GL(n) permutes, and O(n) reflects."""

from collections.abc import Iterable

import numpy as np

from paramsym.discovery.distinct import alike, changes, counted
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
    matrices: list[Family | DiscreteFamily] = []
    found = []
    for port in family.ports:
        covering = _covering(family, port, owners)
        if covering is None:
            return False
        other, coordinates = covering
        if not any(other is known for known in matrices):
            matrices.append(other)
        number = next(i for i, known in enumerate(matrices) if known is other)
        unit = np.arange(copies * n).repeat(port.multiplicity)
        found.append(np.stack([unit, np.full(unit.size, number), coordinates]))
    unit, of, coordinate, count = counted(*np.concatenate(found, 1))
    whole = np.array([sum(port.multiplicity for port in f.ports) for f in matrices])
    if bool((count != whole[of]).any()):
        return False
    if not isinstance(family.group, Permutations):
        return True
    block = coordinate // np.array([f.group.n for f in matrices])[of]
    unit, *owned = counted(unit, of, block)
    kind = alike(np.flatnonzero(changes(unit)), owned).reshape(copies, n)
    return bool((kind == kind[:, :1]).all())


def _covering(
    family: DiscreteFamily, port: Port, owners: Owners
) -> tuple[Family | DiscreteFamily, Labels] | None:
    """The first other family that owns all rows of a port, and which coordinate owns each."""
    index = port.index.numpy().ravel()
    for other, owner in owners.get(_place(port), []):
        if other is not family and bool((owner[index] >= 0).all()):
            return other, owner[index]
    return None
