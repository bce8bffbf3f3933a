"""From scalings to families: ports, degrees, copies."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import final

import numpy as np
from scipy.sparse import coo_array

from paramsym.discovery.balances import Classes
from paramsym.discovery.distinct import distinct
from paramsym.discovery.equations import Row
from paramsym.discovery.fixed_statistics import FixedNorm, compensating_term
from paramsym.discovery.labels import Labels, Value
from paramsym.discovery.occurrences import (
    Occurrences,
    by_offset,
    displaced_occurrences,
    family_of,
    occurrences,
    port_at,
)
from paramsym.discovery.statements import Displaced
from paramsym.family import Exactness, Family
from paramsym.groups import Homothety, PositiveScaling
from paramsym.terms import Slot, Term


def scaling_families(
    parameters: dict[str, Value],
    classes: Classes,
    basis: Sequence[Row],
    guarded: set[int],
    displaced: Mapping[str, Displaced],
    norms: Sequence[FixedNorm] = (),
    offsets: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> list[Family]:
    """A family for each kind of scaling: the neurons of a layer are one T₊(h).

    Args:
        parameters: Labelled parameters.
        classes: Classes of labels.
        basis: Scalings, as class → log-scale.
        guarded: Classes whose scale a normalisation erases only up to its ε.
        displaced: Parameters to which a number is added before they are read.
        norms: Normalisations with fixed statistics.
        offsets: Biases with numbers that are added to what their layers give, entry by entry.
    """
    places = [
        part
        for place in occurrences(parameters, classes)
        for part in by_offset(place, offsets.get(place.parameter))
    ]
    places += displaced_occurrences(parameters, displaced, classes)
    places += [norm.place(classes) for norm in norms]
    after = [found.after for found in displaced.values()]
    after += [norm.compensation.scale for norm in norms]
    after += [parameters[k].layers[0].labels.ravel()[o != 0] for k, o in offsets.items()]
    known = {norm.compensation.bias: norm for norm in norms}
    basis = _reduced(basis, {int(k) for labels in after for k in classes.of[labels]})
    families = []
    for kind in _kinds(places, basis, guarded, len(classes.degenerate)):
        if any(place.norm for place in kind.places):
            families += _about_statistics(kind, parameters, known)
            continue
        if any(place.offset for place in kind.places):
            families += _homotheties(kind, parameters)
            continue
        for chosen in _disjoint(kind.rows):
            made = [
                port_at(place, index[None, chosen], degree / kind.degrees[0])
                for place, degree, index in zip(kind.places, kind.degrees, kind.rows, strict=True)
            ]
            group = PositiveScaling(len(chosen))
            families.append(family_of(group, made, parameters, kind.exactness))
    return families


def _reduced(basis: Sequence[Row], apart: set[int]) -> list[Row]:
    """The scalings of a basis, each of some classes in one of them only: gains that are displaced
    scale by themselves, and take no part in what other scalings can do without them."""
    users: dict[int, set[int]] = defaultdict(set)
    for i, row in enumerate(basis):
        for k in apart & row.keys():
            users[k].add(i)
    pivots = {i for alone in users.values() if len(alone) == 1 for i in alone}
    shared = sorted(k for k, several in users.items() if len(several) > 1)
    if not shared:
        return list(basis)
    rows = [dict(row) for row in basis]
    for k in shared:
        candidates = users[k] - pivots
        if not candidates:
            continue
        pivot = min(candidates, key=lambda i: (len(rows[i]), i))
        pivots.add(pivot)
        for i in users[k] - {pivot}:
            factor = rows[i][k] / rows[pivot][k]
            for j, size in rows[pivot].items():
                rows[i][j] = rows[i].get(j, Fraction(0)) - Fraction(factor) * size
                if not rows[i][j]:
                    del rows[i][j]
                if j in apart:
                    (users[j].add if j in rows[i] else users[j].discard)(i)
    return rows


def _homotheties(kind: "_Kind", parameters: dict[str, Value]) -> list[Family]:
    """The family of a kind in which parameters are scaled about another point than 0; none where
    they are not all scaled alike about one point."""
    moved = [k for k, place in enumerate(kind.places) if place.offset]
    first = moved[0]
    degree, offset = kind.degrees[first], kind.places[first].offset
    alike = all((kind.degrees[k], kind.places[k].offset) == (degree, offset) for k in moved)
    if (
        not alike
        or {abs(x) for x in kind.degrees} != {abs(degree)}
        or len(_disjoint(kind.rows)) > 1
    ):
        return []
    order = np.argsort(kind.rows[first][:, 0])
    rows = [index[order] for index in kind.rows]
    terms = [_shift_of(kind.places[k], rows[k]) for k in moved]
    known = tuple(term for term in terms if term is not None)
    if len(known) < len(terms):
        return []
    made = [
        port_at(place, index[:, None], own / degree)
        for place, own, index in zip(kind.places, kind.degrees, rows, strict=True)
    ]
    group = Homothety(len(order), -offset)
    return [replace(family_of(group, made, parameters, kind.exactness), terms=known)]


def _about_statistics(
    kind: "_Kind", parameters: dict[str, Value], norms: Mapping[str, FixedNorm]
) -> list[Family]:
    """The families of a kind that scales what normalisations with fixed statistics read; none
    where it is not all scaled alike."""
    read = [k for k, place in enumerate(kind.places) if place.norm]
    degree = kind.degrees[read[0]]
    if (
        any(place.offset for place in kind.places)
        or any(kind.degrees[k] != degree for k in read)
        or {abs(x) for x in kind.degrees} != {abs(degree)}
    ):
        return []
    families = []
    for chosen in _disjoint(kind.rows):
        order = chosen[np.argsort(kind.rows[read[0]][chosen, 0])]
        made, terms = [], []
        for place, own, index in zip(kind.places, kind.degrees, kind.rows, strict=True):
            rows = index[order][:, None]
            if place.norm is None:
                made.append(port_at(place, rows, own / degree))
                continue
            made.append(port_at(replace(place, parameter=place.norm.gain), rows, -1.0))
            norm = norms[place.norm.bias]
            there = norm.in_front is not None and _scales(kind, norm.in_front[0], degree, index)
            terms.append(compensating_term(norm, rows[:, 0], in_front=there))
        known = tuple(term for term in terms if term is not None)
        if len(known) == len(terms):
            group = Homothety(len(order), 1.0)
            family = family_of(group, made, parameters, kind.exactness)
            families.append(replace(family, terms=known))
    return families


def _scales(kind: "_Kind", parameter: str, degree: float, rows: Labels) -> bool:
    """Whether the kind scales a parameter by this degree and no other, in these rows."""
    own = [k for k, place in enumerate(kind.places) if place.parameter == parameter]
    return (
        len(own) == 1
        and kind.degrees[own[0]] == degree
        and len(kind.places[own[0]].view) == 1
        and np.array_equal(kind.rows[own[0]], rows)
    )


def _shift_of(place: Occurrences, rows: Labels) -> Term | None:
    """What the translations `[copies, 1]` add to a parameter of one axis; `None` for what is not
    one translation an entry, in order, or one for all, without gaps."""
    size, start = len(place.classes), int(rows.min())
    if len(place.view) != 1 or (np.sort(rows.ravel()) != np.arange(start, start + rows.size)).any():
        return None
    slot = Slot(place.parameter, () if rows.size == size else ((start, start + rows.size),))
    if len(rows) == 1:
        return Term(slot, "a->i")
    if len(rows) == rows.size and (np.diff(rows[:, 0]) > 0).all():
        return Term(slot, "ia->i")
    return None


@final
@dataclass(frozen=True)
class _Kind:
    """Scalings that stand alike in the same places.

    Attributes:
        places: Where they stand.
        degrees: With which degree.
        rows: For each place the rows of every scaling, `[scalings, multiplicity]`.
        exactness: Whether a normalisation erases them only up to its ε.
    """

    places: list[Occurrences]
    degrees: list[float]
    rows: list[np.ndarray]
    exactness: Exactness


def _kinds(
    places: list[Occurrences], basis: Sequence[Row], guarded: set[int], class_count: int
) -> Iterator[_Kind]:
    """The scalings by kind."""
    if not basis:
        return
    table = _without_cancelling(_scaled_rows(places, basis, class_count), places)
    starts = _starts(table.vector, table.place, table.degree)
    counts = np.diff([*starts, len(table.row)])
    owner, place, degree = table.vector[starts], table.place[starts], table.degree[starts]
    kinds = np.stack([place, degree, counts], 1)
    firsts = _starts(owner)
    alike: dict[tuple[bool, bytes], list[int]] = defaultdict(list)
    for first, stop in pairwise([*firsts.tolist(), len(owner)]):
        erased = not guarded.isdisjoint(basis[owner[first]])
        alike[erased, kinds[first:stop].tobytes()].append(first)
    for (erased, kind), members in alike.items():
        members.sort(key=lambda first: table.row[starts[first]])
        ports = np.frombuffer(kind).reshape(-1, 3)
        begins = starts[np.array(members)[:, None] + np.arange(len(ports))]
        rows = [
            table.row[begins[:, k, None] + np.arange(int(multiplicity))]
            for k, multiplicity in enumerate(ports[:, 2])
        ]
        where = [places[int(k)] for k in ports[:, 0]]
        yield _Kind(where, ports[:, 1].tolist(), rows, Exactness(as_eps_vanishes=erased))


def _disjoint(rows: list[np.ndarray]) -> list[Labels]:
    """Members whose rows (`[members, multiplicity]` for every port) do not overlap, in few sets.

    Scalings overlap where a product is read, as both factors of a gate are.
    """
    if all(len(distinct(index)) == index.size for index in rows):
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
    layers = Counter(place.parameter for place in places if place.norm is None)
    several = np.array([place.norm is None and layers[place.parameter] > 1 for place in places])
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
