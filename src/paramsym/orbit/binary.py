"""Linear equations over the field of two elements, one after the other."""


class BinarySystem:
    """Equations in unknown bits, in echelon form.

    A set of unknowns is an integer whose bit i says whether unknown i is in it.
    """

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, bool]] = {}

    def add(self, unknowns: int, total: bool) -> bool:
        """Add the equation that the sum of some unknowns is `total`.

        Returns:
            Whether it was independent of those before; if not, it is left out.
        """
        unknowns, total = self._reduced(unknowns, total)
        if unknowns:
            self._rows[unknowns.bit_length() - 1] = (unknowns, total)
        return unknowns != 0

    def determines(self, unknowns: int) -> bool:
        """Whether the sum of some unknowns follows from the equations."""
        return self._reduced(unknowns, False)[0] == 0

    def solution(self) -> set[int]:
        """The unknowns that are 1, where those that nothing determines are 0."""
        ones: set[int] = set()
        for pivot in sorted(self._rows):
            unknowns, total = self._rows[pivot]
            rest = unknowns ^ (1 << pivot)
            while rest:
                lowest = rest & -rest
                total ^= lowest.bit_length() - 1 in ones
                rest ^= lowest
            if total:
                ones.add(pivot)
        return ones

    def _reduced(self, unknowns: int, total: bool) -> tuple[int, bool]:
        while unknowns:
            row = self._rows.get(unknowns.bit_length() - 1)
            if row is None:
                break
            unknowns ^= row[0]
            total ^= row[1]
        return unknowns, total
