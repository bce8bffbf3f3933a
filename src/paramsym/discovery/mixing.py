"""The mixing analysis: hidden spaces on which matrices act.

Labels that must transform together are classes (up to duality). Classes that every op treats alike
form a cell, the coordinates of one hidden space: GL(n) acts on it, or O(n) once a sum of squares is
read or a class is its own dual, or O(n−1), which fixes the mean, once that is read too, or the
scales and rotations of a plane once an op turns it. Gains inside a space frame its ports
(`framing`).
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from paramsym.discovery.balances import Classes
from paramsym.discovery.cells import Cells
from paramsym.discovery.distinct import alike, changes, count_entries, keys
from paramsym.discovery.facts import Facts
from paramsym.discovery.framing import Spaces, behind_centring, spaces
from paramsym.discovery.labels import FIXED, Labels, Value


@final
@dataclass(frozen=True)
class Mixing:
    """The result of the analysis.

    Attributes:
        cells: The hidden spaces.
        spaces: Labels grouped by coordinate; signs are oriented alike within a cell.
        fix_hyperplanes: Whether only matrices act that fix all vectors of mean zero; then labels of
            sign + transform as such vectors do.
    """

    cells: Cells
    spaces: Spaces
    fix_hyperplanes: bool = False

    @property
    def classes(self) -> Classes:
        """Labels grouped by coordinate."""
        return self.spaces.classes


def mixing(facts: Facts, parameters: dict[str, Value]) -> Mixing:
    """The cells of a walk."""
    found = spaces(facts, _first_labels(parameters))
    classes = found.classes
    cells, flipped = _cells(found, facts, parameters)
    turns = flipped[classes.of]
    sign = np.where(turns, -classes.sign, classes.sign)
    # Seen the other way round, g is its dual, and the frame of g' = γ g γ⁻¹ its inverse.
    frame = np.where(turns & (found.frame != FIXED), found.frame ^ 1, found.frame)
    oriented = replace(found, classes=replace(classes, sign=sign), frame=frame)
    return Mixing(cells[cells.have_group], oriented)


def fixing(facts: Facts, parameters: dict[str, Value]) -> Mixing:
    """The spaces behind LayerNorms on which matrices act that fix what these put out."""
    found = behind_centring(facts, _first_labels(parameters))
    cells, _ = _cells(found, facts, parameters)
    return Mixing(cells, found, fix_hyperplanes=True)


def _cells(found: Spaces, facts: Facts, parameters: dict[str, Value]) -> tuple[Cells, np.ndarray]:
    """Classes that every op treats alike; and whether each class was turned to see that."""
    classes = found.classes
    isolated = found.broken | _mask(classes, facts.isolated)
    rotated = classes.degenerate | _mask(classes, facts.rotated)
    centred = _mask(classes, facts.centred)
    turned = _mask(classes, [pairs.ravel() for pairs in facts.turned])
    framed = _mask(classes, [np.flatnonzero(found.frame != FIXED)])

    uses = [use.entries for use in facts.uses] + _parameter_uses(parameters)
    table, flipped = _table(uses, classes, isolated)
    starts = np.flatnonzero(changes(table.owner))
    group = alike(starts, [table.use, table.row, table.sign, table.count])
    sizes = np.bincount(group)
    several = sizes[group] > 1
    order = np.argsort(group[several], kind="stable")
    members, sizes = table.owner[starts][several][order], sizes[sizes > 1]
    begin = np.cumsum(sizes) - sizes
    kinds = (np.logical_or.reduceat(m[members], begin) for m in (rotated, turned, centred, framed))
    return Cells(members, sizes, *kinds), flipped


def _mask(classes: Classes, labels: list[Labels]) -> np.ndarray:
    """The classes of some labels."""
    mask = np.zeros(len(classes.degenerate), dtype=bool)
    for some in labels:
        mask[classes.of[some[some != FIXED]]] = True
    return mask


def _first_labels(parameters: dict[str, Value]) -> dict[str, int]:
    """The first label of every parameter with one axis that varies."""
    return {
        name: int(value.layers[0].labels.min())
        for name, value in parameters.items()
        if len(value.layers) == 1
    }


def _parameter_uses(parameters: dict[str, Value]) -> list[Labels]:
    """Every layer of a parameter is a use: all coordinates must stand in it alike."""
    uses = []
    for value in parameters.values():
        for layer in value.layers:
            labels = layer.labels
            row = np.zeros(labels.shape, dtype=np.int64)
            if len(layer.axes) > 1:  # joint axes: the first one counts the groups' rows
                first = layer.axes[0]
                steps = np.arange(labels.shape[first])
                row += steps.reshape([-1 if a == first else 1 for a in range(labels.ndim)])
            uses.append(count_entries(labels, row))
    return uses


@final
@dataclass(frozen=True, eq=False)
class _Table:
    """How classes take part in uses, class by class: the use, its row, and how often the class
    stands in it with which sign."""

    owner: Labels
    use: Labels
    row: Labels
    sign: Labels
    count: Labels


def _table(uses: list[Labels], classes: Classes, isolated: np.ndarray) -> tuple[_Table, np.ndarray]:
    """The part that every class which may mix takes in every use, up to its orientation.

    Returns:
        The table in order, and for every class whether its orientation was turned so that it first
        occurs with sign +.
    """
    entries = np.concatenate([np.empty((0, 3), dtype=np.int64), *uses])
    use = np.repeat(np.arange(len(uses)), [len(own) for own in uses])
    owner = classes.of[entries[:, 0]]
    kept = ~isolated[owner]
    label, row, count = entries[kept].T
    table = _added_up(_Table(owner[kept], use[kept], row, classes.sign[label], count))
    flipped = np.zeros(len(isolated), dtype=bool)
    if not len(table.owner):
        return table, flipped
    # The first row that a class stands in may have it with both signs.
    row = np.cumsum(changes(table.owner, table.use, table.row)) - 1
    total = np.bincount(row, weights=table.sign * table.count)
    first = np.flatnonzero(changes(table.owner))
    flipped[table.owner[first]] = total[row[first]] < 0
    if not flipped.any():
        return table, flipped
    turned = np.where(flipped[table.owner], -table.sign, table.sign)
    return _added_up(replace(table, sign=turned)), flipped


def _added_up(table: _Table) -> _Table:
    """The table in order, with what a class has several labels of added up."""
    columns = (table.owner, table.use, table.row, table.sign)
    key = keys(*columns)
    order = np.argsort(key)
    starts = np.flatnonzero(changes(key[order]))
    first = order[starts]
    count = np.add.reduceat(table.count[order], starts) if len(starts) else table.count
    owner, use, row, sign = (column[first] for column in columns)
    return _Table(owner, use, row, sign, count)
