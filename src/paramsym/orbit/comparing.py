"""Are two models the same up to symmetry, and how far apart are they if not?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.element import GroupElement
from paramsym.orbit.canonical_point import Canonical, canonical
from paramsym.symmetry import Symmetry

Params = Mapping[str, Tensor]

ROUNDING = 64
"""Units of eps times the condition up to which a distance of canonical points can be rounding."""

CHECK_SEED = 20230501
CHECK_SCALE = 0.3


@final
@dataclass(frozen=True, eq=False)
class SameOrbit:
    """Whether two models lie on one orbit.

    Attributes:
        holds: `True`, `False`, or `None` where it is undecided.
        element: Moves the first to the second, where it holds.
        distance: Of the canonical points, relative to their size.
        reason: In words, why it does not hold or is undecided.
    """

    holds: bool | None
    element: GroupElement | None
    distance: float
    reason: str = ""

    def __bool__(self) -> bool:
        return self.holds is True


def same_orbit(
    symmetry: Symmetry, a: Params, b: Params, *, tolerance: float | None = None
) -> SameOrbit:
    """Whether `b` is `a` moved by a group element, discrete symmetries included.

    Families that are exact as ε → 0 only are left out.

    Args:
        symmetry: The symmetry of both.
        a: Parameter dict.
        b: Parameter dict.
        tolerance: Relative distance of the canonical points that counts as rounding. By default
            what the precision of the parameters and the condition of their canonical points
            explain, and never more than √eps: above that it is undecided.

    Returns:
        It holds where the canonical points agree, which proves it, by the element. It does not
        where they differ and both are unique; where one is not, a difference says nothing. Before
        it says no, `a` is moved by a random element and must have the same canonical point again.

    Raises:
        ValueError: As for `canonical`.
    """
    first, second = canonical(symmetry, a), canonical(symmetry, b)
    distance, worst = _apart(first, second)
    eps = max(torch.finfo(p.dtype).eps for q in (a, b) for p in q.values() if p.is_floating_point())
    explained = ROUNDING * eps * max(first.condition, second.condition)
    if distance <= (min(explained, eps**0.5) if tolerance is None else tolerance):
        return SameOrbit(True, second.element.inverse() @ first.element, distance)
    differ = f"the canonical points differ by {distance:.1e}, most in {worst!r}"
    left = dict.fromkeys((*first.ties, *second.ties, *first.unfixed, *second.unfixed))
    if left:
        reason = "the canonical points differ, but are not unique: " + "; ".join(left)
        return SameOrbit(None, None, distance, reason)
    if tolerance is None and distance <= explained:
        reason = f"{differ}, and rounding may be {explained:.1e}: singular values are nearly equal"
        return SameOrbit(None, None, distance, reason)
    again = _elsewhere(symmetry, a, first)
    if again > max(explained, tolerance or 0.0):
        reason = (
            f"{differ}, but that of `a` itself changes by {again:.1e} along its orbit; "
            "please report it"
        )
        return SameOrbit(None, None, distance, reason)
    return SameOrbit(False, None, distance, differ)


def _elsewhere(symmetry: Symmetry, params: Params, there: Canonical) -> float:
    """How far the canonical point of the parameters moved by a random element is from theirs."""
    exact = [f.name for f in symmetry if not f.exactness.as_eps_vanishes]
    chosen = symmetry.select(*exact, *(f.name for f in symmetry.discrete))
    rng = torch.Generator().manual_seed(CHECK_SEED)
    g = chosen.sample(CHECK_SCALE, generator=rng, discrete=True)
    exactly = {k: p.double() if p.is_floating_point() else p for k, p in params.items()}
    return _apart(there, canonical(symmetry, chosen.act(g, exactly)))[0]


def orbit_distance(symmetry: Symmetry, a: Params, b: Params) -> float:
    """The Euclidean distance ‖c(a) − c(b)‖ of the canonical points of two models.

    It is a distance of orbits: 0 on one orbit, symmetric, and with the triangle inequality. It is
    an upper bound of the smallest distance between balanced points of the two orbits, and not that
    distance itself: canonical points jump where units or singular values change their order.

    Raises:
        ValueError: As for `canonical`, or if a canonical point is not unique, so that the distance
            would depend on the point of the orbit.
    """
    first, second = canonical(symmetry, a), canonical(symmetry, b)
    for argument, point in (("a", first), ("b", second)):
        if not point.is_unique:
            raise ValueError(
                f"`{argument}` has no unique canonical point: "
                f"{'; '.join((*point.ties, *point.unfixed))}. Leave such families out with "
                "`symmetry.select(...)`."
            )
    return float(torch.stack([(first.params[k] - second.params[k]).norm() for k in first.params
                              if first.params[k].is_floating_point()]).norm())  # fmt: skip


def _apart(first: Canonical, second: Canonical) -> tuple[float, str]:
    """Distance relative to the size of the points, and the parameter that differs most."""
    names = [k for k, p in first.params.items() if p.is_floating_point()]
    gaps = torch.stack([(first.params[k] - second.params[k]).norm() for k in names])
    size = torch.stack([first.params[k].norm() for k in names]).norm()
    return float(gaps.norm() / size), names[int(gaps.argmax())]
