"""Canonical order of units."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from paramsym.discrete.family import DiscreteFamily
from paramsym.family import Family
from paramsym.groups import Affine, GeneralLinear, Orthogonal
from paramsym.orbit.canonical_rotations import fixed_directions
from paramsym.ports import Port

Params = Mapping[str, Tensor]

FINER = 1e-3
"""Sums of squares count as equal below this part of what counts as zero elsewhere: sorting does not
magnify rounding, as eigenvectors do."""


def contained(family: DiscreteFamily, families: Sequence[Family], ones: Collection[str]) -> bool:
    """Whether matrices contain permutations, so that their canonical basis fixes them too: every
    set of rows that they move are coordinates of one copy of such a space, in the same way in all
    the parameters of that space. Gains that are 1 are left out, as nothing permutes these."""
    matrices = [f for f in families if isinstance(f.group, GeneralLinear | Affine | Orthogonal)]
    as_coordinates: dict[str, Tensor] = {}
    for port in family.ports:
        if port.parameter in ones:
            continue
        for rows in port.index.unbind(-1):
            for space in matrices:
                held = _coordinates(port, rows, space)
                if held is None:
                    continue
                if not torch.equal(as_coordinates.setdefault(space.name, held), held):
                    return False
                break
            else:
                return False
    return True


def _coordinates(port: Port, rows: Tensor, space: Family) -> Tensor | None:
    """Which coordinates of a space the rows `[copies, n]` are, if each copy lies in one of its."""
    for other in space.ports:
        if (port.parameter, port.view, port.axes) != (other.parameter, other.view, other.axes):
            continue
        copies, n, _ = other.index.shape
        owner = torch.full((other.row_count,), -1)
        own = torch.arange(copies * n).reshape(copies, n, 1).expand(other.index.shape)
        owner[other.index.flatten()] = own.flatten()
        held = owner[rows]
        copy = torch.div(held, n, rounding_mode="floor")
        if bool((held >= 0).all() and (copy == copy[:, :1]).all()):
            return held
    return None


def order(family: DiscreteFamily, params: Params, quiet: float) -> tuple[Tensor, list[str]]:
    """The permutation that sorts units by their sum of squares, descending, and the ties.

    Sums of squares do not change under signs and orders of the spaces on the other sides.
    """
    rows = [port.rows(params[port.parameter]).double() for port in family.ports]
    sums = torch.stack([r.square().sum(-1) for r in rows])
    # Weighted, so that balanced writers and readers do not count as one.
    weights = 1 + fixed_directions(sums.shape[:1]).abs()
    key = (weights[:, None, None] * sums).sum(0)
    g = key.argsort(dim=-1, descending=True, stable=True)
    sorted_key = key.gather(-1, g)
    near = sorted_key[:, :-1] - sorted_key[:, 1:] <= FINER * quiet * sorted_key[:, :1]
    near = near & (sorted_key[:, 1:] > 0)
    ties = []
    if bool(near.any()):
        ties.append(f"{family.name!r}: {int(near.sum())} pairs of units with equal sums of squares")
    return g.reshape(family.group.shape), ties
