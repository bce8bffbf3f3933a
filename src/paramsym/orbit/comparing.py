"""Are two models the same up to symmetry, and how far apart are they if not?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.element import GroupElement
from paramsym.orbit.canonical_fixing import Fixing, fixed
from paramsym.orbit.rounding import in_units_of_rounding
from paramsym.parameters import check_params
from paramsym.symmetry import Symmetry

Params = Mapping[str, Tensor]

ROUNDING = 64
"""Units of what rounding does to a parameter, up to which a difference can be rounding: 53 at most
are seen on orbits, as the steps to a point round too; beside them, at a distance of 1e-3, 3,000."""

CLEARER = 8
"""How many times farther than a point of the orbit another one must be to lie beside it."""

CHECK_SEED = 20230501
CHECK_SCALE = 0.3


@final
@dataclass(frozen=True, eq=False)
class SameOrbit:
    """Whether two models lie on one orbit.

    Attributes:
        holds: `True`, `False`, or `None` where it is undecided.
        element: Moves the first to the second, where it holds.
        nearest: Moves the first as near to the second as is found, where it does not hold too: what
            to do before the weights of two models are averaged or compared.
        distance: Between the two after gains, shifts and scales are fixed in both and rotations,
            orders and signs bring the first as near to the second as is found; relative to their
            size.
        reason: In words, why it does not hold or is undecided.
    """

    holds: bool | None
    element: GroupElement | None
    distance: float
    nearest: GroupElement
    reason: str = ""

    def __bool__(self) -> bool:
        return self.holds is True


def same_orbit(
    symmetry: Symmetry, a: Params, b: Params, *, tolerance: float | None = None
) -> SameOrbit:
    """Whether `b` is `a` moved by a group element, discrete symmetries included.

    Gains, shifts and scales are fixed in both as for `canonical`. Rotations, orders and signs are
    those that bring `a` to `b`, each found where the others are known (docs/derivations.md §34), so
    that neither near ties nor the precision of the parameters is in the way. Families that are
    exact as ε → 0 only are left out.

    Args:
        symmetry: The symmetry of both.
        a: Parameter dict.
        b: Parameter dict.
        tolerance: Relative distance that counts as rounding. By default every parameter may differ
            by what random rounding of `a` and `b` does to it, in norm and in its largest entry.

    Returns:
        It holds where an element brings `a` to `b`, which proves it. It does not where none is
        found, each step to it was determined, and a random point of the orbit of `a` near `b`, in
        the same precision, is found by the same steps. Else it is undecided.

    Raises:
        ValueError: As for `canonical`.
    """
    goal = _fixed(symmetry, b)
    start, units, distance, worst = _brought(symmetry, a, b, goal)
    g = goal.element.inverse() @ start.element
    if units <= ROUNDING if tolerance is None else distance <= tolerance:
        return SameOrbit(True, g, distance, g)
    differ = f"the nearest points found differ by {distance:.1e}, most in {worst!r}"
    unsure = [*start.unfixed, *goal.unfixed, *start.vague]
    if start.trusted:
        unsure += [*start.ties, *goal.ties]
    if unsure:
        reason = f"{differ}, but they are not unique: {'; '.join(dict.fromkeys(unsure))}"
        return SameOrbit(None, None, distance, g, reason)
    if units <= ROUNDING:
        return SameOrbit(None, None, distance, g, f"{differ}, which rounding alone may do")
    usual = _elsewhere(symmetry, a, b, g)
    if usual > ROUNDING or units <= CLEARER * usual:
        reason = (
            f"{differ}, {units:.1e} times what rounding does, but along the orbit of `a` itself it "
            f"is {usual:.1e} times: the parameters are too ill-conditioned, or a gauge is not "
            "fixed; please report the latter"
        )
        return SameOrbit(None, None, distance, g, reason)
    return SameOrbit(False, None, distance, g, differ)


def orbit_distance(symmetry: Symmetry, a: Params, b: Params) -> float:
    """The Euclidean distance ‖k·a' − b'‖ of two models with gains, shifts and scales fixed.

    k is the rotation, order and sign of everything that brings them nearest, as far as is found. It
    is 0 on one orbit and symmetric, and never more than the distance of the canonical points. The
    smallest one over all k is a metric of orbits, of which this is an upper bound.

    Raises:
        ValueError: As for `canonical`, or if a gauge is not fixed or a choice not determined, so
            that the distance would depend on the point of the orbit.
    """
    first, second = _fixed(symmetry, a), _fixed(symmetry, b)
    found = []
    for one, other, goal in ((a, b, second), (b, a, first)):
        start, _, distance, _ = _brought(symmetry, one, other, goal)
        unsure = [*start.vague, *start.ties * start.trusted]
        for argument, names in (("a", first.unfixed), ("b", second.unfixed), ("a", unsure)):
            if names:
                raise ValueError(
                    f"`{argument}` has no unique canonical point: {'; '.join(names)}. Leave such "
                    "families out with `symmetry.select(...)`."
                )
        found.append(distance * _size(goal.now))
    return min(found)


def _fixed(symmetry: Symmetry, params: Params) -> Fixing:
    check_params(params, symmetry.parameters, values=True)
    point = fixed(symmetry, _detached(params))
    point.sums()
    return point


def _brought(
    symmetry: Symmetry, a: Params, b: Params, goal: Fixing
) -> tuple[Fixing, float, float, str]:
    """`a` brought to the canonical point of `b`, and its distance to it: in units of rounding,
    relative, and in which parameter it is the largest."""
    check_params(a, symmetry.parameters, values=True)
    a, b = _detached(a), _detached(b)
    start = fixed(symmetry, a)
    start.match(goal)
    start.sums(goal.now)
    gaps = {k: (p - goal.now[k]).norm() for k, p in start.now.items() if p.is_floating_point()}
    distance = float(torch.stack(list(gaps.values())).norm()) / _size(goal.now)
    units = in_units_of_rounding([(start, a), (goal, b)])
    return start, units, distance, max(gaps, key=lambda k: float(gaps[k]))


def _elsewhere(symmetry: Symmetry, a: Params, b: Params, g: GroupElement) -> float:
    """How far `a` is from where a random element moves it that starts near `b`, in units of
    rounding, all in the precision of `b`."""
    exact = [f.name for f in symmetry if not f.exactness.as_eps_vanishes]
    chosen = symmetry.select(*exact, *(f.name for f in symmetry.discrete))
    rng = torch.Generator().manual_seed(CHECK_SEED)
    random = chosen.sample(CHECK_SCALE, generator=rng, discrete=True)
    alike = {k: p.to(b[k].dtype) for k, p in a.items()}
    there = chosen.act(random, chosen.act(g, alike))
    return _brought(symmetry, a, there, _fixed(symmetry, there))[1]


def _detached(params: Params) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in params.items()}


def _size(params: Params) -> float:
    sizes = [p.norm() for p in params.values() if p.is_floating_point()]
    return float(torch.stack(sizes).norm())
