"""From cells to families: groups of matrices, their ports, frames and copies."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from paramsym.discovery.distinct import alike, changes, keys
from paramsym.discovery.labels import FIXED, Labels, Value
from paramsym.discovery.mixing import Mixing
from paramsym.discovery.occurrences import Occurrences, family_of, occurrences, port_at
from paramsym.family import Family
from paramsym.groups import ComplexScaling, GeneralLinear, Group, HyperplaneFixing, Orthogonal
from paramsym.ports import Port


def mixing_families(parameters: dict[str, Value], mixing: Mixing) -> list[Family]:
    """A family for each kind of cell; cells with the same ports are copies of one another."""
    places = occurrences(parameters, mixing.classes)
    stands = _stands(parameters, mixing, places)
    starts = np.flatnonzero(changes(stands.cell))
    cells = mixing.cells
    kind = (cells.sizes, cells.orthogonal, cells.turned, cells.centred)
    kinds = [column[stands.cell].astype(np.int64) for column in kind]
    ports = (stands.place, stands.sign, stands.multiplicity, stands.frame)
    group = alike(starts, [*kinds, *ports])
    count = np.diff(np.append(starts, len(stands.cell)))
    families = []
    for own in range(int(group.max(initial=-1)) + 1):
        first = starts[group == own]
        copies = stands[first[:, None] + np.arange(count[group == own][0])]
        made = _made(copies, parameters, mixing, places)
        if made:
            made_of = _group(copies.cell[0, 0], len(first), mixing)
            families.append(family_of(made_of, made, parameters))
    return families


def fixing_families(
    parameters: dict[str, Value], mixing: Mixing, shifts: Iterable[Family]
) -> list[Family]:
    """Families of matrices that fix what a LayerNorm puts out, and move its bias with readers.

    Where every reader has a bias, shifts already say where that of the LayerNorm may go.
    """
    absorbed = {
        (term.target.parameter, family.group.dim) for family in shifts for term in family.terms
    }
    families = []
    for family in mixing_families(parameters, mixing):
        n = family.group.n
        writers = [port.parameter for port in family.ports if not port.dual]
        whole = all(
            port.frame is not None and math.prod(parameters[port.frame.parameter].shape) == n
            for port in family.ports
        )
        if whole and writers and not any((name, n) in absorbed for name in writers):
            families.append(family)
    return families


@final
@dataclass(frozen=True, eq=False)
class _Stands:
    """Where cells stand, each with all its coordinates: cell by cell the place, the sign, the frame
    and how many rows each coordinate has; and all these rows.

    Attributes:
        rows: Rows of one coordinate after the other.
        begin: Where the rows of each stand begin.
    """

    cell: Labels
    place: Labels
    sign: Labels
    frame: Labels
    multiplicity: Labels
    begin: Labels
    rows: Labels

    def __getitem__(self, chosen: np.ndarray) -> "_Stands":
        return _Stands(
            self.cell[chosen],
            self.place[chosen],
            self.sign[chosen],
            self.frame[chosen],
            self.multiplicity[chosen],
            self.begin[chosen],
            self.rows,
        )


def _stands(parameters: dict[str, Value], mixing: Mixing, places: Sequence[Occurrences]) -> _Stands:
    """Where every cell stands whose coordinates stand alike in all parameters."""
    cells = mixing.cells
    count = len(mixing.classes.degenerate) + 1  # the last one, in no cell, stands for FIXED
    cell_of, coordinate_of = np.full(count, FIXED), np.zeros(count, dtype=np.int64)
    cell_of[cells.classes] = cells.of
    coordinate_of[cells.classes] = np.arange(len(cells.classes)) - cells.starts[cells.of]
    found = [np.empty((6, 0), dtype=np.int64)]
    for number, place in enumerate(places):
        row = np.flatnonzero(cell_of[place.classes] != FIXED)
        of = place.classes[row]
        labels = parameters[place.parameter].layers[place.layer].labels.ravel()[row]
        columns = (cell_of[of], np.full(len(row), number), place.signs[row],
                   mixing.spaces.frame[labels], coordinate_of[of], row)  # fmt: skip
        found.append(np.stack(columns))
    table = np.concatenate(found, 1)
    cell, place, sign, frame, coordinate, row = table[:, np.argsort(keys(*table))]
    begin = np.flatnonzero(changes(cell, place, sign, frame))
    length = np.diff(np.append(begin, len(cell)))
    size = cells.sizes[cell[begin]]
    multiplicity = length // size
    # Coordinates behind different gains have rows of their own in each.
    position = np.arange(len(cell)) - np.repeat(begin, length)
    uneven = coordinate != position // np.repeat(np.maximum(multiplicity, 1), length)
    uneven |= np.repeat(multiplicity * size != length, length)
    broken = np.isin(cell[begin], cell[uneven])
    stands = _Stands(cell[begin], place[begin], sign[begin], frame[begin], multiplicity, begin, row)
    return stands[~broken]


def _made(
    copies: _Stands,
    parameters: dict[str, Value],
    mixing: Mixing,
    places: Sequence[Occurrences],
) -> list[Port]:
    """The ports of cells that are copies, `[copies, ports]`; none if a gain stands in another order
    than they do."""
    spaces = mixing.spaces
    n = int(mixing.cells.sizes[copies.cell[0, 0]])
    # As a rule the first port is a writer, whatever sign it happens to have.
    turns = not mixing.fix_hyperplanes and copies.sign[0, 0] < 0
    made = []
    for k, begin in enumerate(copies.begin.T):
        place, number = places[copies.place[0, k]], copies.frame[0, k]
        multiplicity, sign = copies.multiplicity[0, k], copies.sign[0, k]
        rows = copies.rows[begin[:, None] + np.arange(n * multiplicity)]
        index = rows.reshape(len(begin), n, multiplicity)
        frame = None
        if number != FIXED:
            frame = spaces.frames[number ^ turns]
            labels = parameters[place.parameter].layers[place.layer].labels.ravel()
            if not _in_order(parameters[frame.parameter], spaces.entry[labels[index]]):
                return []
        made.append(port_at(place, index, float(-sign if turns else sign), frame))
    return made


def _group(cell: int, copies: int, mixing: Mixing) -> Group:
    cells = mixing.cells
    n = int(cells.sizes[cell])
    if mixing.fix_hyperplanes:
        return HyperplaneFixing(n, copies)
    if cells.turned[cell]:
        return ComplexScaling(copies=copies)
    if cells.orthogonal[cell]:
        return Orthogonal(n, copies, fixes_mean=bool(cells.centred[cell]))
    return GeneralLinear(n, copies)


def _in_order(gain: Value, entry: Labels) -> bool:
    """Whether the entries `[copies, n, multiplicity]` of a gain that stand beside coordinates are
    those of a vector for every copy, or of one vector for all of them."""
    copies, n, _ = entry.shape
    size = math.prod(gain.shape)
    if size not in (n, copies * n):
        return False
    wanted = np.arange(size).reshape(-1, n, 1)
    return bool((entry == wanted).all())
