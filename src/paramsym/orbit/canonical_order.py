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

SMALL = 1e-2
"""Typical entries below this part of those beside them do not take part in an order."""


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


def order(
    family: DiscreteFamily, params: Params, eps: float, turned: Collection[str]
) -> tuple[Tensor, list[str]]:
    """The permutation to the canonical order, and the ties.

    Units are halved by a first key, the larger half before the smaller; each half by a second, and
    so on. Keys are fixed combinations of numbers that do not change under signs and orders of the
    spaces on the other sides: sums of squares, and of other powers where no rotation is left there.
    Only units at a border can be confused, of which there are h − 1 with different keys, instead of
    h²/2 pairs with one (docs/derivations.md §34).

    Args:
        family: Permutations.
        params: Parameter dict.
        eps: Relative rounding of the parameters.
        turned: Parameters whose rows are known up to rotations only.
    """
    features, rounding = _features(family, params, eps, turned)
    features, alive = features.flatten(1), (features[0] > 0).flatten()
    copies, n = family.group.copies, family.group.n
    part = torch.arange(copies).repeat_interleave(n)
    units = torch.arange(copies * n)
    tied: set[tuple[int, int]] = set()
    for level in range((n - 1).bit_length()):
        weights = 1 + fixed_directions((level + 1, len(features)))[level].abs()
        key = (weights[:, None] * features[:, units]).sum(0)
        by_key = key.argsort(descending=True, stable=True)
        units = units[by_key[part[by_key].argsort(stable=True)]]
        # Where each unit stands in its part, which is now contiguous, and which half that is.
        sizes = torch.bincount(part)
        starts = sizes.cumsum(0) - sizes
        place = torch.arange(copies * n) - starts[part]
        half = (sizes + 1) // 2
        late = place >= half[part]
        last = (starts + half - 1)[sizes > 1]
        ends = weights[:, None, None] * features[:, torch.stack([units[last], units[last + 1]])]
        noise = (rounding[:, None] * ends[:, 0]).sum(0)
        near = (ends[:, 0] - ends[:, 1]).sum(0) <= noise
        near = near & alive[units[last]] & alive[units[last + 1]]
        tied |= {(int(units[i]), int(units[i + 1])) for i in last[near].tolist()}
        part = torch.unique_consecutive(2 * part + late, return_inverse=True)[1]
    ties = []
    if tied:
        ties.append(
            f"{family.name!r}: {len(tied)} pairs of units that sums of squares and other powers of "
            "their weights do not tell apart"
        )
    g = units.reshape(copies, n) - n * torch.arange(copies)[:, None]
    return g.reshape(family.group.shape), ties


def _features(
    family: DiscreteFamily, params: Params, eps: float, turned: Collection[str]
) -> tuple[Tensor, Tensor]:
    """Numbers `[features, copies, n]` of each unit, the first a sum of the others and 0 for those
    without weights, and the relative rounding of each."""
    held = [(port, port.rows(params[port.parameter]).double().abs()) for port in family.ports]
    sizes = torch.stack([rows.square().mean().sqrt() for _, rows in held])
    found, noise = [], []
    for (port, rows), size in zip(held, sizes, strict=True):
        # A bias that is small beside the rest may be what rounding left of larger numbers.
        if size <= SMALL * sizes.max():
            continue
        for power in (2.0,) if port.parameter in turned else (2.0, 1.0, 4.0):
            sums = rows.pow(power).sum(-1)
            found.append(sums / sums.mean().clamp_min(torch.finfo(torch.float64).tiny))
            noise.append(eps * power * float(sizes.max() / size) / port.width**0.5)
    features = torch.stack([torch.stack(found).sum(0), *found])
    return features, torch.tensor([max(noise), *noise], dtype=torch.float64)
