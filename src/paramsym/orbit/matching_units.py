"""Which unit of one model is which of another: an assignment of least total distance."""

from collections.abc import Mapping, Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from paramsym.discrete.family import DiscreteFamily
from paramsym.orbit.canonical_rotations import fixed_directions
from paramsym.ports import Port

Params = Mapping[str, Tensor]

FEATURES = 64
"""Fixed directions on which rows are projected: random projections keep distances to about 10 %, so
that which unit is nearest is seen in them."""


def nearest_order(
    family: DiscreteFamily,
    ports: Sequence[Port],
    rough: Sequence[bool],
    params: Params,
    goal: Params,
    slack: float,
) -> tuple[Tensor, int]:
    """The permutation that brings units nearest to those of the goal.

    Args:
        family: Permutations.
        ports: Those of its ports of which all other axes agree with the goal's.
        rough: For each, whether signs or rotations inside units are open: lengths of projections
            are compared then, which do not see them.
        params: Parameter dict.
        goal: Parameter dict.
        slack: Relative distance up to which units look alike.

    Returns:
        The permutation, and how many units of the goal have another that looks alike.
    """
    mine, other = (_features(ports, rough, p) for p in (params, goal))
    alive = torch.stack([_sizes(family, p) for p in (params, goal)]).amax(0)
    found, vague = [], 0
    for here, there, weight in zip(mine, other, alive, strict=True):
        found.append(_assignment(torch.cdist(there, here)))
        apart = torch.cdist(there, there).fill_diagonal_(torch.inf)
        alike = apart <= slack * there.norm(dim=1)[:, None]
        seen = weight > slack**2 * weight.max()
        vague += int((alike & (seen[:, None] | seen)).any(1).sum())
    return torch.stack(found).reshape(family.group.shape), vague


def _assignment(distances: Tensor) -> Tensor:
    """For each row a column of its own, of the least sum of squares.

    Where each row has its nearest column to itself, these are it. The assignment costs O(n³) at
    worst, and little if few rows are in doubt.
    """
    nearest = distances.argmin(1)
    if len(nearest.unique()) == len(nearest):
        return nearest
    rows, columns = linear_sum_assignment(distances.square().numpy())
    assert (rows == range(len(rows))).all()
    return torch.from_numpy(columns)


def _features(ports: Sequence[Port], rough: Sequence[bool], params: Params) -> Tensor:
    """Numbers `[copies, n, features]` by which units are compared."""
    found = []
    for port, is_rough in zip(ports, rough, strict=True):
        rows = port.rows(params[port.parameter]).double()
        if is_rough:
            # One row a vector, of which a unit has several, as a head does.
            rows = rows.unflatten(-1, (port.multiplicity, -1))
        rows = _projected(rows)
        # Of lengths, per row and not in all, so that they weigh as much as rows do.
        found.append(rows.norm(dim=-2) if is_rough else rows)
    return torch.cat(found, -1)


def _projected(rows: Tensor) -> Tensor:
    width = rows.shape[-1]
    if width <= FEATURES:
        return rows
    return rows @ (fixed_directions((width, FEATURES)) / FEATURES**0.5)


def _sizes(family: DiscreteFamily, params: Params) -> Tensor:
    """The sum of squares of all that belongs to a unit, `[copies, n]`."""
    return torch.stack(
        [port.rows(params[port.parameter]).double().square().sum(-1) for port in family.ports]
    ).sum(0)
