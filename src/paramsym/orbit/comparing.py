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

TOLERANCE = 1e-6
"""Relative distance of canonical points up to which they count as one: rounding, divided by the
smallest gap of singular values and units that counts as none."""


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
    symmetry: Symmetry, a: Params, b: Params, *, tolerance: float = TOLERANCE
) -> SameOrbit:
    """Whether `b` is `a` moved by a group element, discrete symmetries included.

    Args:
        symmetry: The symmetry of both.
        a: Parameter dict.
        b: Parameter dict.
        tolerance: Relative distance of the canonical points that counts as rounding.

    Returns:
        It holds where the canonical points agree, which proves it, by the element. It does not
        where they differ and both are unique; where one is not, a difference says nothing.

    Raises:
        ValueError: As for `canonical`.
    """
    first, second = canonical(symmetry, a), canonical(symmetry, b)
    distance, worst = _apart(first, second)
    if distance <= tolerance:
        return SameOrbit(True, second.element.inverse() @ first.element, distance)
    if first.is_unique and second.is_unique:
        reason = f"the canonical points differ by {distance:.1e}, most in {worst!r}"
        return SameOrbit(False, None, distance, reason)
    left = dict.fromkeys((*first.ties, *second.ties, *first.unfixed, *second.unfixed))
    reason = "the canonical points differ, but are not unique: " + "; ".join(left)
    return SameOrbit(None, None, distance, reason)


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
