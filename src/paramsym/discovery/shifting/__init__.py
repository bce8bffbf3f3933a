"""Discovery of translations: what may be added to parameters so that nothing notices."""

from paramsym.discovery.recording import Recording
from paramsym.discovery.shifting.assembly import shift_families_of
from paramsym.discovery.shifting.walk import run_of
from paramsym.family import Family


def shift_families(recording: Recording, *, strict: bool = False) -> list[Family]:
    """The translations of a run: shifts that normalisations remove, and shifts that biases behind
    them take up (docs/derivations.md §21).

    Args:
        recording: The model's run.
        strict: Raise where an op fails on arguments that it does not foresee, instead of refusing
            the call.

    Returns:
        Families with group `Translation` and terms, one for each cause, not yet verified.
    """
    return shift_families_of(run_of(recording, strict=strict))
