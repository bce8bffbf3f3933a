"""From cells and scalings to families: ports, copies, names."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import torch
from scipy.sparse import coo_array

from paramsym.discovery.balances import Classes, Row
from paramsym.discovery.labels import FIXED, Labels, Value
from paramsym.discovery.mixing import Cell, Mixing
from paramsym.discovery.naming import family_name
from paramsym.family import EXACT, Exactness, Family
from paramsym.groups import (
    ComplexScaling,
    GeneralLinear,
    Group,
    HyperplaneFixing,
    Orthogonal,
    PositiveScaling,
)
from paramsym.ports import Frame, Port

PortKey = tuple[str, int, float, int, int]
"""Parameter, layer, signed degree, multiplicity, frame."""


@final
@dataclass(frozen=True)
class _Occurrences:
    """Where classes stand in one layer of one parameter.

    Attributes:
        parameter: Its name.
        layer: Number of the layer.
        view: Shape of the parameter.
        axes: Axes along which the layer varies.
        classes: Class of every row along the axes, `FIXED` where there is none.
        signs: Its sign.
    """

    parameter: str
    layer: int
    view: tuple[int, ...]
    axes: tuple[int, ...]
    classes: Labels
    signs: Labels

    def blocks(self, wanted: np.ndarray) -> Iterator[tuple[int, int, list[int]]]:
        """(class, sign, rows) of each class that is wanted (a mask over classes)."""
        rows = np.flatnonzero((self.classes != FIXED) & wanted[self.classes])
        rows = rows[np.lexsort((self.signs[rows], self.classes[rows]))]
        owner, sign = self.classes[rows], self.signs[rows]
        changes = (owner[1:] != owner[:-1]) | (sign[1:] != sign[:-1])
        bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), len(rows)]
        every_row, every_owner, every_sign = rows.tolist(), owner.tolist(), sign.tolist()
        for start, stop in pairwise(bounds):
            if start < stop:
                yield every_owner[start], every_sign[start], every_row[start:stop]


def _occurrences(parameters: dict[str, Value], classes: Classes) -> list[_Occurrences]:
    found = []
    for name, value in parameters.items():
        for i, layer in enumerate(value.layers):
            axes = layer.axes or (0,) * bool(value.shape)
            labels = layer.labels.ravel()
            of = np.where(labels == FIXED, FIXED, classes.of[labels])
            view = value.shape or (1,)
            found.append(_Occurrences(name, i, view, axes or (0,), of, classes.sign[labels]))
    return found


def mixing_families(parameters: dict[str, Value], mixing: Mixing) -> list[Family]:
    """A family for each kind of cell; cells with the same ports are copies of one another."""
    owner = {k: i for i, cell in enumerate(mixing.cells) for k in cell.classes}
    wanted = np.zeros(len(mixing.classes.degenerate), dtype=bool)
    wanted[list(owner)] = True
    ports: dict[int, dict[PortKey, list[list[int]]]] = defaultdict(dict)
    places: dict[tuple[str, int], _Occurrences] = {}
    broken: set[int] = set()
    for place in _occurrences(parameters, mixing.classes):
        places[place.parameter, place.layer] = place
        blocks: dict[tuple[int, int, int], dict[int, list[int]]] = defaultdict(dict)
        frames = mixing.spaces.frame[parameters[place.parameter].layers[place.layer].labels.ravel()]
        for k, sign, frame, rows in _by_frame(place.blocks(wanted), frames):
            blocks[owner[k], sign, frame][k] = rows
        for (i, sign, frame), rows_of in blocks.items():
            index = [rows_of.get(k, []) for k in mixing.cells[i].classes]
            if len({len(rows) for rows in index}) > 1:  # coordinates behind different gains
                broken.add(i)
                continue
            key = (place.parameter, place.layer, float(sign), len(index[0]), frame)
            ports[i][key] = index

    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, cell in enumerate(mixing.cells):
        if i not in broken:
            kind = (len(cell.classes), cell.orthogonal, cell.turned, cell.centred)
            alike[(*kind, *ports[i])].append(i)
    families = []
    for cells in alike.values():
        first = mixing.cells[cells[0]]
        if not ports[cells[0]]:
            continue
        keys = list(ports[cells[0]])
        first_sign = 1.0 if mixing.fix_hyperplanes else keys[0][2]
        made = []
        for key in keys:
            place, index = places[key[:2]], np.array([ports[i][key] for i in cells])
            frame = None
            if key[4] != FIXED:
                frame = mixing.spaces.frames[key[4] ^ int(first_sign < 0)]
                labels = parameters[place.parameter].layers[place.layer].labels.ravel()
                if not _in_order(parameters[frame.parameter], mixing.spaces.entry[labels[index]]):
                    break
            made.append(_port(place, index, key[2] / first_sign, frame))
        if len(made) < len(keys):
            continue
        families.append(_family(_group(first, len(cells), mixing), made, parameters))
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


def scaling_families(
    parameters: dict[str, Value], classes: Classes, basis: Sequence[Row], guarded: set[int]
) -> list[Family]:
    """A family for each kind of scaling: the neurons of a layer are one T₊(h).

    Args:
        parameters: Labelled parameters.
        classes: Classes of labels.
        basis: Scalings, as class → log-scale.
        guarded: Classes whose scale a normalisation erases only up to its ε.
    """
    if not basis:
        return []
    places = _occurrences(parameters, classes)
    table = _without_cancelling(_scaled_rows(places, basis, len(classes.degenerate)), places)
    starts = _starts(table.vector, table.place, table.degree)
    counts = np.diff([*starts, len(table.row)])
    owner, place, degree = table.vector[starts], table.place[starts], table.degree[starts]
    kinds = np.stack([place, degree, counts], 1)
    firsts = _starts(owner)
    alike: dict[tuple[bool, bytes], list[int]] = defaultdict(list)
    for first, stop in pairwise([*firsts.tolist(), len(owner)]):
        erased = not guarded.isdisjoint(basis[owner[first]])
        alike[erased, kinds[first:stop].tobytes()].append(first)
    families = []
    for (erased, kind), members in alike.items():
        members.sort(key=lambda first: table.row[starts[first]])
        ports = np.frombuffer(kind).reshape(-1, 3)
        begins = starts[np.array(members)[:, None] + np.arange(len(ports))]
        rows = [
            table.row[begins[:, k, None] + np.arange(int(multiplicity))]
            for k, multiplicity in enumerate(ports[:, 2])
        ]
        exactness = Exactness(as_eps_vanishes=erased)
        for chosen in _disjoint(rows):
            made = [
                _port(places[int(where)], index[None, chosen], degree / ports[0, 1])
                for (where, degree, _), index in zip(ports, rows, strict=True)
            ]
            families.append(_family(PositiveScaling(len(chosen)), made, parameters, exactness))
    return families


def _disjoint(rows: list[np.ndarray]) -> list[Labels]:
    """Members whose rows (`[members, multiplicity]` for every port) do not overlap, in few sets.

    Scalings overlap where a product is read, as both factors of a gate are.
    """
    if all(len(np.unique(index)) == index.size for index in rows):
        return [np.arange(len(rows[0]))]
    taken: list[set[tuple[int, int]]] = []
    chosen: list[list[int]] = []
    for member in range(len(rows[0])):
        mine = {(k, row) for k, index in enumerate(rows) for row in index[member].tolist()}
        fits = next((i for i, others in enumerate(taken) if not others & mine), len(taken))
        if fits == len(taken):
            taken.append(set())
            chosen.append([])
        taken[fits] |= mine
        chosen[fits].append(member)
    return [np.array(members) for members in chosen]


@final
@dataclass(frozen=True)
class _ScaledRows:
    """Scalings written out: basis vector, place, degree and row, sorted in this order."""

    vector: Labels
    place: Labels
    degree: np.ndarray
    row: Labels

    def __getitem__(self, chosen: np.ndarray) -> "_ScaledRows":
        return _ScaledRows(*(x[chosen] for x in (self.vector, self.place, self.degree, self.row)))


def _scaled_rows(places: list[_Occurrences], basis: Sequence[Row], class_count: int) -> _ScaledRows:
    of = [k for vector in basis for k in vector]
    sizes = [float(size) for vector in basis for size in vector.values()]
    vectors = np.repeat(np.arange(len(basis)), [len(vector) for vector in basis])
    shape = (class_count + 1, len(basis))  # the last row, empty, stands for FIXED
    scales = coo_array((sizes, (of, vectors)), shape).tocsr()
    found = []
    for number, place in enumerate(places):
        entries = scales[place.classes].tocoo()
        row = entries.row.astype(np.int64)
        degree = entries.data * place.signs[row]
        found.append((entries.col.astype(np.int64), np.full(len(row), number), degree, row))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    table = _ScaledRows(*columns)
    return table[np.lexsort(columns[::-1])]


def _without_cancelling(table: _ScaledRows, places: list[_Occurrences]) -> _ScaledRows:
    """Drop what leaves a parameter as it is: all rows scaled up and all columns down."""
    starts = _starts(table.vector, table.place, table.degree)
    stops = np.r_[starts[1:], len(table.row)]
    layers = Counter(place.parameter for place in places)
    several = np.array([layers[place.parameter] > 1 for place in places])
    whole = np.array([len(place.classes) for place in places])[table.place[starts]]
    chosen = np.flatnonzero((stops - starts == whole) & several[table.place[starts]])
    kept = np.ones(len(table.row), dtype=bool)
    seen: dict[tuple[int, str, float], list[int]] = defaultdict(list)
    for k in chosen.tolist():
        at = starts[k]
        vector, degree = int(table.vector[at]), float(table.degree[at])
        name = places[table.place[at]].parameter
        opposite = seen[vector, name, -degree]
        if opposite and table.place[starts[opposite[-1]]] != table.place[at]:
            for group in (k, opposite.pop()):
                kept[starts[group] : stops[group]] = False
        else:
            seen[vector, name, degree].append(k)
    return table[kept]


def _starts(*columns: np.ndarray) -> Labels:
    """Where a run of rows that are equal in all columns begins."""
    if not len(columns[0]):
        return np.empty(0, dtype=np.int64)
    changes = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.r_[0, np.flatnonzero(changes) + 1]


def _port(
    place: _Occurrences, index: np.ndarray, degree: float, frame: Frame | None = None
) -> Port:
    return Port(
        place.parameter,
        place.view,
        place.axes,
        torch.from_numpy(index.astype(np.int64)),
        dual=bool(degree < 0),
        degree=float(abs(degree)),
        frame=frame,
    )


def _family(
    group: Group, ports: list[Port], parameters: dict[str, Value], exactness: Exactness = EXACT
) -> Family:
    order = {name: i for i, name in enumerate(parameters)}
    ports.sort(key=lambda port: (order[port.parameter], port.dual, port.axes))
    return Family(family_name(ports), group, tuple(ports), exactness=exactness)
