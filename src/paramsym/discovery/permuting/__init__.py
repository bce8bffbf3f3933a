"""Discovery of discrete symmetries: which coordinates may change places, and which their sign."""

from collections.abc import Sequence

from paramsym.discovery.naming import distinct_names
from paramsym.discovery.permuting.assembly import assemble
from paramsym.discovery.permuting.checking import check as check_families
from paramsym.discovery.permuting.containment import beyond
from paramsym.discovery.permuting.walk import walk
from paramsym.discovery.recording import Recording
from paramsym.discrete.family import DiscreteFamily
from paramsym.family import Family


def discrete_families(
    recording: Recording, continuous: Sequence[Family], *, check: bool, seed: int
) -> tuple[tuple[DiscreteFamily, ...], tuple[str, ...]]:
    """The permutations and signs of a run that its continuous families do not contain.

    Args:
        recording: The model's run.
        continuous: Its continuous families.
        check: Verify numerically; what fails is withdrawn.
        seed: Seed of the check.

    Returns:
        The families, and the names of those that were withdrawn.
    """
    order = {p.name: i for i, p in enumerate(recording.parameters)}
    families = beyond(assemble(walk(recording)), continuous)
    families.sort(key=lambda family: min(order[name] for name in family.moves))
    families = distinct_names(families)
    if not check:
        return tuple(families), ()
    kept, withdrawn, _ = check_families(families, recording, seed)
    return tuple(kept), tuple(withdrawn)
