"""From cells and scalings to families: ports, copies, names."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch

from paramsym.discover.labels import FIXED, Labels, Value
from paramsym.discover.mixing import Mixing
from paramsym.discover.scaling import Classes, Row
from paramsym.family import EXACT, Exactness, Family
from paramsym.groups import GeneralLinear, Group, Orthogonal, PositiveScaling
from paramsym.ports import Port

PortKey = tuple[str, int, float, int]
"""Parameter, layer, signed degree, multiplicity."""


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

    def rows_by_class(self, wanted: np.ndarray) -> dict[int, tuple[list[int], int]]:
        """Rows and sign of each class that is wanted (a mask over classes)."""
        rows = np.flatnonzero((self.classes != FIXED) & wanted[self.classes])
        order = rows[np.argsort(self.classes[rows], kind="stable")]
        found: dict[int, tuple[list[int], int]] = {}
        if len(order):
            owner = self.classes[order]
            starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
            for start, stop in zip(starts, np.r_[starts[1:], len(order)], strict=True):
                block = order[start:stop]
                found[int(owner[start])] = (block.tolist(), int(self.signs[block[0]]))
        return found


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
    for place in _occurrences(parameters, mixing.classes):
        places[place.parameter, place.layer] = place
        blocks: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(dict)
        for k, _ in place.rows_by_class(wanted).items():
            rows = np.flatnonzero(place.classes == k)
            for sign in (1, -1):
                mine = rows[place.signs[rows] == sign].tolist()
                if mine:
                    blocks[owner[k], sign][k] = mine
        for (i, sign), rows_of in blocks.items():
            index = [rows_of[k] for k in mixing.cells[i].classes]
            ports[i][place.parameter, place.layer, float(sign), len(index[0])] = index

    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, cell in enumerate(mixing.cells):
        alike[(len(cell.classes), cell.orthogonal, *ports[i])].append(i)
    families = []
    for (n, orthogonal, *_), cells in alike.items():
        assert isinstance(n, int)
        if not ports[cells[0]]:
            continue
        kind = Orthogonal if orthogonal else GeneralLinear
        turn = _orientation(next(iter(ports[cells[0]])))
        made = [
            _port(places[key[:2]], key, [ports[i][key] for i in cells], turn)
            for key in ports[cells[0]]
        ]
        families.append(_family(kind(n, len(cells)), made, parameters))
    return families


def scaling_families(
    parameters: dict[str, Value], classes: Classes, basis: Iterable[Row], guarded: set[int]
) -> list[Family]:
    """A family for each kind of scaling: the neurons of a layer are one T₊(h).

    Args:
        parameters: Labelled parameters.
        classes: Classes of labels.
        basis: Scalings, as class → log-scale.
        guarded: Classes whose scale a normalisation erases only up to its ε.
    """
    vectors = list(basis)
    wanted = np.zeros(len(classes.degenerate), dtype=bool)
    wanted[[k for row in vectors for k in row]] = True
    places = {(p.parameter, p.layer): p for p in _occurrences(parameters, classes)}
    rows_of: dict[int, list[tuple[tuple[str, int], list[int], int]]] = defaultdict(list)
    for key, place in places.items():
        for k, (rows, _) in place.rows_by_class(wanted).items():
            for sign in np.unique(place.signs[rows]).tolist():
                mine = [r for r in rows if place.signs[r] == sign]
                rows_of[k].append((key, mine, sign))

    alike: dict[tuple[bool, *tuple[PortKey, ...]], list[dict[PortKey, list[int]]]]
    alike = defaultdict(list)
    for vector in vectors:
        ports: dict[PortKey, list[int]] = {}
        degrees: dict[tuple[str, int, float], list[int]] = defaultdict(list)
        for k, size in vector.items():
            for (name, layer), rows, sign in rows_of[k]:
                degrees[name, layer, float(size) * sign] += rows
        for (name, layer, degree), rows in _without_cancelling(degrees, places).items():
            ports[name, layer, degree, len(rows)] = sorted(rows)
        if ports:
            alike[(not guarded.isdisjoint(vector), *ports)].append(ports)
    families = []
    for (erased, *keys), members in alike.items():
        unit = _orientation(keys[0])
        members.sort(key=lambda ports: ports[keys[0]])
        made = [
            _port(places[key[:2]], key, [[ports[key] for ports in members]], unit) for key in keys
        ]
        exactness = Exactness(as_eps_vanishes=erased)
        families.append(_family(PositiveScaling(len(members)), made, parameters, exactness))
    return families


def _without_cancelling(
    degrees: dict[tuple[str, int, float], list[int]],
    places: dict[tuple[str, int], _Occurrences],
) -> dict[tuple[str, int, float], list[int]]:
    """Drop what leaves a parameter as it is: all rows scaled up and all columns down."""
    whole = {
        key: degree_key
        for degree_key, rows in degrees.items()
        for key in [degree_key[:2]]
        if len(rows) == len(places[key].classes)
    }
    dropped = set()
    for (name, layer), key in whole.items():
        for (other_name, other_layer), other in whole.items():
            if name == other_name and layer < other_layer and key[2] == -other[2]:
                dropped |= {key, other}
    return {key: rows for key, rows in degrees.items() if key not in dropped}


def _orientation(first: PortKey) -> float:
    """The factor that makes the first port a writer of degree 1."""
    return 1 / first[2]


def _port(place: _Occurrences, key: PortKey, index: list[list[list[int]]], unit: float) -> Port:
    degree = key[2] * unit
    return Port(
        place.parameter,
        place.view,
        place.axes,
        torch.tensor(index, dtype=torch.int64),
        dual=degree < 0,
        degree=abs(degree),
    )


def _family(
    group: Group, ports: list[Port], parameters: dict[str, Value], exactness: Exactness = EXACT
) -> Family:
    order = {name: i for i, name in enumerate(parameters)}
    ports.sort(key=lambda port: (order[port.parameter], port.dual, port.axes))
    return Family(_name(ports), group, tuple(ports), exactness=exactness)


def _name(ports: Iterable[Port]) -> str:
    """Writers → readers, by modules."""
    writers, readers = [], []
    for port in ports:
        (readers if port.dual else writers).append(_module(port.parameter))
    left, right = _short(writers), _short(readers)
    return f"{left} → {right}" if right else f"{left} (scale)"


def _short(modules: list[str]) -> str:
    distinct = list(dict.fromkeys(modules))
    if len(distinct) > 3:
        return f"{distinct[0]}, … {len(distinct) - 2} more …, {distinct[-1]}"
    return ", ".join(distinct)


def _module(parameter: str) -> str:
    module, _, leaf = parameter.rpartition(".")
    return module if module and leaf in ("weight", "bias") else parameter


def distinct_names(families: list[Family]) -> list[Family]:
    """The families with repeated names numbered."""
    total: dict[str, int] = defaultdict(int)
    for family in families:
        total[family.name] += 1
    seen: dict[str, int] = defaultdict(int)
    named = []
    for family in families:
        seen[family.name] += 1
        number = f" #{seen[family.name]}" if total[family.name] > 1 else ""
        named.append(replace(family, name=family.name + number))
    return named
