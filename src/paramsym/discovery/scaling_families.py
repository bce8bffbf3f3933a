"""From scalings to families: ports, degrees, copies."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from scipy.sparse import coo_array

from paramsym.discovery.balances import Classes, Row
from paramsym.discovery.labels import Labels, Value
from paramsym.discovery.occurrences import Occurrences, family_of, occurrences, port_at
from paramsym.family import Exactness, Family
from paramsym.groups import PositiveScaling


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
    places = occurrences(parameters, classes)
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
                port_at(places[int(where)], index[None, chosen], degree / ports[0, 1])
                for (where, degree, _), index in zip(ports, rows, strict=True)
            ]
            families.append(family_of(PositiveScaling(len(chosen)), made, parameters, exactness))
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


def _scaled_rows(places: list[Occurrences], basis: Sequence[Row], class_count: int) -> _ScaledRows:
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


def _without_cancelling(table: _ScaledRows, places: list[Occurrences]) -> _ScaledRows:
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
