"""From cells to families: groups of matrices, their ports, frames and copies."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from paramsym.discovery.labels import FIXED, Labels, Value
from paramsym.discovery.mixing import Cell, Mixing
from paramsym.discovery.occurrences import Occurrences, family_of, occurrences, port_at
from paramsym.family import Family
from paramsym.groups import ComplexScaling, GeneralLinear, Group, HyperplaneFixing, Orthogonal
from paramsym.ports import Port

PortKey = tuple[str, int, int, int, int]
"""Parameter, layer, sign, multiplicity, frame."""

Ports = dict[PortKey, list[list[int]]]
"""For every port of a cell the rows of each of its coordinates."""


def mixing_families(parameters: dict[str, Value], mixing: Mixing) -> list[Family]:
    """A family for each kind of cell; cells with the same ports are copies of one another."""
    places = {(p.parameter, p.layer): p for p in occurrences(parameters, mixing.classes)}
    ports = _ports(parameters, mixing, places)
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, found in ports.items():
        cell = mixing.cells[i]
        kind = (len(cell.classes), cell.orthogonal, cell.turned, cell.centred)
        alike[(*kind, *found)].append(i)
    families = []
    for cells in alike.values():
        made = _made([ports[i] for i in cells], parameters, mixing, places)
        if made:
            group = _group(mixing.cells[cells[0]], len(cells), mixing)
            families.append(family_of(group, made, parameters))
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


def _ports(
    parameters: dict[str, Value], mixing: Mixing, places: dict[tuple[str, int], Occurrences]
) -> dict[int, Ports]:
    """The ports of every cell whose coordinates stand alike in all parameters."""
    owner = {k: i for i, cell in enumerate(mixing.cells) for k in cell.classes}
    wanted = np.zeros(len(mixing.classes.degenerate), dtype=bool)
    wanted[list(owner)] = True
    ports: dict[int, Ports] = defaultdict(dict)
    broken: set[int] = set()
    for (name, layer), place in places.items():
        blocks: dict[tuple[int, int, int], dict[int, list[int]]] = defaultdict(dict)
        frames = mixing.spaces.frame[parameters[name].layers[layer].labels.ravel()]
        for k, sign, frame, rows in _by_frame(place.blocks(wanted), frames):
            blocks[owner[k], sign, frame][k] = rows
        for (i, sign, frame), rows_of in blocks.items():
            index = [rows_of.get(k, []) for k in mixing.cells[i].classes]
            if len({len(rows) for rows in index}) > 1:  # coordinates behind different gains
                broken.add(i)
            ports[i][name, layer, sign, len(index[0]), frame] = index
    return {i: ports[i] for i in range(len(mixing.cells)) if ports[i] and i not in broken}


def _made(
    cells: list[Ports],
    parameters: dict[str, Value],
    mixing: Mixing,
    places: dict[tuple[str, int], Occurrences],
) -> list[Port]:
    """The ports of cells that are copies; none if a gain stands in another order than they do."""
    spaces = mixing.spaces
    # As a rule the first port is a writer, whatever sign it happens to have.
    turns = not mixing.fix_hyperplanes and next(iter(cells[0]))[2] < 0
    made = []
    for key in cells[0]:
        name, layer, sign, _, number = key
        index = np.array([ports[key] for ports in cells])
        frame = None
        if number != FIXED:
            frame = spaces.frames[number ^ turns]
            labels = parameters[name].layers[layer].labels.ravel()
            if not _in_order(parameters[frame.parameter], spaces.entry[labels[index]]):
                return []
        made.append(port_at(places[name, layer], index, float(-sign if turns else sign), frame))
    return made


def _group(cell: Cell, copies: int, mixing: Mixing) -> Group:
    if mixing.fix_hyperplanes:
        return HyperplaneFixing(len(cell.classes), copies)
    if cell.turned:
        return ComplexScaling(copies=copies)
    if cell.orthogonal:
        return Orthogonal(len(cell.classes), copies, fixes_mean=cell.centred)
    return GeneralLinear(len(cell.classes), copies)


def _by_frame(
    blocks: Iterable[tuple[int, int, list[int]]], frames: Labels
) -> Iterator[tuple[int, int, int, list[int]]]:
    """Blocks of rows, cut into rows with the same frame: (class, sign, frame, rows)."""
    several = np.unique(frames).tolist()
    for k, sign, rows in blocks:
        for frame in several:
            own = rows if len(several) == 1 else [row for row in rows if frames[row] == frame]
            if own:
                yield k, sign, frame, own


def _in_order(gain: Value, entry: Labels) -> bool:
    """Whether the entries `[copies, n, multiplicity]` of a gain that stand beside coordinates are
    those of a vector for every copy, or of one vector for all of them."""
    copies, n, _ = entry.shape
    size = math.prod(gain.shape)
    if size not in (n, copies * n):
        return False
    wanted = np.arange(size).reshape(-1, n, 1)
    return bool((entry == wanted).all())
