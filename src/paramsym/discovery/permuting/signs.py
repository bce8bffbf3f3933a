"""Which axes change sign together: linear equations over the field of two elements."""

from collections.abc import Sequence


def solutions(unknowns: Sequence[int], constraints: Sequence[int]) -> list[int]:
    """A basis of the sets of unknowns, as bit sets, that meet every constraint evenly.

    Args:
        unknowns: Single bits; repeated ones count once.
        constraints: Bit sets; what is not among the unknowns is 0.
    """
    unknowns = list(dict.fromkeys(unknowns))
    allowed = sum(unknowns)
    pivots: dict[int, int] = {}
    for row in constraints:
        row &= allowed
        for bit, pivot in pivots.items():
            if row & bit:
                row ^= pivot
        if row:
            bit = row & -row
            pivots = {b: p ^ row if p & bit else p for b, p in pivots.items()}
            pivots[bit] = row
    free = [u for u in unknowns if u not in pivots]
    return [u | sum(bit for bit, row in pivots.items() if row & u) for u in free]
