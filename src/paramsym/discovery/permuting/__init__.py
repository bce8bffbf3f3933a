"""Discovery of discrete symmetries: which coordinates may change places, and which their sign."""

from collections.abc import Sequence
from typing import NamedTuple

from paramsym.discovery.likening import understood
from paramsym.discovery.naming import distinct_names
from paramsym.discovery.permuting.assembly import assemble
from paramsym.discovery.permuting.checking import check as check_families
from paramsym.discovery.permuting.checking import tolerance
from paramsym.discovery.permuting.containment import beyond
from paramsym.discovery.permuting.walk import walk
from paramsym.discovery.points import Points
from paramsym.discovery.recording import Recording
from paramsym.discrete.family import DiscreteFamily
from paramsym.family import Family


class Found(NamedTuple):
    """What was found, and what was measured of it.

    Attributes:
        families: The families that hold.
        withdrawn: Names of those that failed the check.
        defect: Largest relative change of an output under words of the families; `None` where
            nothing was measured.
        tolerance: The rounding bound that it was held against.
    """

    families: tuple[DiscreteFamily, ...]
    withdrawn: tuple[str, ...] = ()
    defect: float | None = None
    tolerance: float | None = None


def discrete_families(
    recording: Recording, continuous: Sequence[Family], *, points: Points | None, seed: int
) -> Found:
    """The permutations and signs of a run that its continuous families do not contain.

    Args:
        recording: The model's run.
        continuous: Its continuous families.
        points: Where to check them; what fails is withdrawn. `None` to leave it.
        seed: Seed of the check.
    """
    order = {p.name: i for i, p in enumerate(recording.parameters)}
    families = beyond(assemble(walk(understood(recording))), continuous)
    families.sort(key=lambda family: min(order[name] for name in family.moves))
    families = distinct_names(families)
    if points is None or not families:
        return Found(tuple(families))
    kept, withdrawn, defect = check_families(families, points, seed)
    return Found(tuple(kept), tuple(withdrawn), defect, tolerance(recording))
