"""Canonical order and signs of units."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations, Signs
from paramsym.family import Family
from paramsym.groups import Affine, GeneralLinear, Orthogonal
from paramsym.orbit.canonical_rotations import DEGENERATE, fixed_directions
from paramsym.orbit.coupling import overlap
from paramsym.orbit.target_spaces import as_element
from paramsym.ports import Port

Params = Mapping[str, Tensor]
Signed = list[tuple[Family | DiscreteFamily, Tensor]]


def contained(family: DiscreteFamily, families: Sequence[Family]) -> bool:
    """Whether matrices contain a discrete family, so that their canonical basis fixes it too: every
    set of rows that it moves are coordinates of one copy of such a space, in the same way in all
    the parameters of that space."""
    matrices = [f for f in families if isinstance(f.group, GeneralLinear | Affine | Orthogonal)]
    as_coordinates: dict[str, Tensor] = {}
    for port in family.ports:
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


def order(family: DiscreteFamily, params: Params) -> tuple[Tensor | None, list[str]]:
    """The permutation that sorts units by their sum of squares, descending, and the ties.

    Sums of squares do not change under signs and orders of the spaces on the other sides.
    """
    if not isinstance(family.group, Permutations):
        return None, []
    rows = [port.rows(params[port.parameter]).double() for port in family.ports]
    sums = torch.stack([r.square().sum(-1) for r in rows])
    # Weighted, so that balanced writers and readers do not count as one.
    weights = 1 + fixed_directions(sums.shape[:1]).abs()
    key = (weights[:, None, None] * sums).sum(0)
    g = key.argsort(dim=-1, descending=True, stable=True)
    sorted_key = key.gather(-1, g)
    near = sorted_key[:, :-1] - sorted_key[:, 1:] <= DEGENERATE * sorted_key[:, :1]
    near = near & (sorted_key[:, 1:] > 0)
    ties = []
    if bool(near.any()):
        ties.append(f"{family.name!r}: {int(near.sum())} pairs of units with equal sums of squares")
    return g.reshape(family.group.shape), ties


def signs(
    families: Sequence[Family], discrete: Sequence[DiscreteFamily], params: Params
) -> tuple[Signed, list[str]]:
    """Signs after which a fixed combination of each unit's weights is positive.

    Families are taken one after the other; the combination uses weights only that no family whose
    signs are still open multiplies too.
    """
    open_families: list[Family | DiscreteFamily] = [
        f
        for f in families
        if isinstance(f.group, GeneralLinear | Affine)
        or (isinstance(f.group, Orthogonal) and not f.group.fixes_mean)
    ]
    open_families += [f for f in discrete if isinstance(f.group, Signs)]
    now = dict(params)
    weights = {k: fixed_directions(tuple(p.shape)) for k, p in now.items() if p.is_floating_point()}
    found: Signed = []
    progress = True
    while open_families and progress:
        progress = False
        for family in list(open_families):
            others = [f for f in open_families if f is not family]
            sign = _signs_of(family, others, now, weights)
            if sign is None:
                continue
            for port in family.ports:
                rows = port.rows(now[port.parameter])
                now[port.parameter] = port.put(now[port.parameter], rows * sign[..., None])
            g = (
                sign.reshape(family.group.shape)
                if isinstance(family, DiscreteFamily)
                else as_element(family, torch.diag_embed(sign))
            )
            found.append((family, g))
            open_families.remove(family)
            progress = True
    return found, [f"{family.name!r}: signs that nothing fixes" for family in open_families]


def _signs_of(
    family: Family | DiscreteFamily,
    others: Sequence[Family | DiscreteFamily],
    params: Params,
    weights: Mapping[str, Tensor],
) -> Tensor | None:
    """Signs `[copies, n]`, or `None` where weights that decide are still open."""
    total, size = None, None
    for port in family.ports:
        tensor = params[port.parameter]
        free = torch.ones_like(tensor)
        # Its own second port on the weights of this one multiplies them by signs as well.
        rivals = [held for other in others for held in other.ports]
        rivals += [held for held in family.ports if held is not port]
        for held in rivals:
            if held.parameter == port.parameter and overlap(held, port):
                free = held.put(free, torch.zeros_like(held.rows(free)))
        values = port.rows(tensor)
        share = (values * port.rows(free) * port.rows(weights[port.parameter])).sum(-1)
        norm = values.square().sum(-1)
        total = share if total is None else total + share
        size = norm if size is None else size + norm
    assert total is not None
    assert size is not None
    largest = size.max()
    alive = size > DEGENERATE**2 * largest
    if bool((alive & (total.abs() <= DEGENERATE * size.sqrt())).any()):
        return None
    return torch.where(alive & (total < 0), -1.0, 1.0).double()
