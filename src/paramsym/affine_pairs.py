"""Linear hidden spaces with a bias: GL(n) and the shift of their vectors, together Aff(n)."""

from collections.abc import Sequence

from paramsym.family import Family
from paramsym.groups import GeneralLinear, Translation


def affine_pairs(families: Sequence[Family]) -> dict[Family, Family]:
    """GL family → the family that shifts the vectors of its space, where there is one.

    A shift t is one of the space if a bias that writes to it moves by t, and all else that moves
    takes up what the space's readers R make of it, by Rt. The two are kept as families of their
    own, GL(n) having conserved quantities and the shift none; the group of both is Aff(n) on every
    copy of the space.
    """
    spaces = [f for f in families if isinstance(f.group, GeneralLinear) and not f.terms]
    shifts = [f for f in families if isinstance(f.group, Translation) and not f.group.mean_free]
    found: dict[Family, Family] = {}
    for shift in shifts:
        space = next((f for f in spaces if f not in found and _shifts(shift, f)), None)
        if space is not None:
            found[space] = shift
    return found


def _shifts(shift: Family, space: Family) -> bool:
    moved = [term for term in shift.terms if not term.sources]
    taken = [term for term in shift.terms if term.sources]
    size = space.group.n * space.group.copies
    if shift.ports or len(moved) != 1 or not taken or shift.group.dim != size:
        return False
    readers = {port.parameter for port in space.ports if port.dual}
    writes = any(
        not port.dual
        and port.frame is None
        and port.parameter == moved[0].target.parameter
        and len(port.view) == 1
        and port.index.numel() == shift.group.dim
        for port in space.ports
    )
    return writes and all(term.reads and term.reads <= readers for term in taken)
