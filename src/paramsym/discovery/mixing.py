"""The mixing analysis: hidden spaces on which matrices act.

Labels that must transform together are classes (up to duality). Classes that every op treats alike
form a cell, the coordinates of one hidden space: GL(n) acts on it, or O(n) once a sum of squares is
read or a class is its own dual, or O(n−1), which fixes the mean, once that is read too, or the
scales and rotations of a plane once an op turns it. Gains inside a space frame its ports
(`framing`).
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from paramsym.discovery.balances import Classes
from paramsym.discovery.facts import Facts, count_entries
from paramsym.discovery.framing import Spaces, behind_centring, spaces
from paramsym.discovery.labels import FIXED, Labels, Value


@final
@dataclass(frozen=True)
class Cell:
    """One hidden space.

    Attributes:
        classes: Its coordinates, in the order of their first labels.
        orthogonal: Whether only rotations are symmetries.
        turned: Whether it is a plane that some op turns, so that scales and rotations of it are.
        centred: Whether only rotations that fix the mean are.
        framed: Whether gains stand between its coordinates and parameters.
    """

    classes: tuple[int, ...]
    orthogonal: bool
    turned: bool = False
    centred: bool = False
    framed: bool = False

    @property
    def has_group(self) -> bool:
        """Whether there are such symmetries, of a kind that has a name here."""
        if self.turned:  # the rotations of a turned plane alone have none
            return not (self.orthogonal or self.centred or self.framed)
        if not self.orthogonal:
            # A framed GL(n) holds, but would hide the laws of the scalings inside it.
            return not self.centred and not self.framed
        return not self.centred or len(self.classes) > 2


@final
@dataclass(frozen=True)
class Mixing:
    """The result of the analysis.

    Attributes:
        cells: Hidden spaces of dimension 2 or more.
        spaces: Labels grouped by coordinate; signs are oriented alike within a cell.
        fix_hyperplanes: Whether only matrices act that fix all vectors of mean zero; then labels of
            sign + transform as such vectors do.
    """

    cells: tuple[Cell, ...]
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
    return Mixing(tuple(cell for cell in cells if cell.has_group), oriented)


def fixing(facts: Facts, parameters: dict[str, Value]) -> Mixing:
    """The spaces behind LayerNorms on which matrices act that fix what these put out."""
    found = behind_centring(facts, _first_labels(parameters))
    cells, _ = _cells(found, facts, parameters)
    return Mixing(tuple(cells), found, fix_hyperplanes=True)


def _cells(
    found: Spaces, facts: Facts, parameters: dict[str, Value]
) -> tuple[list[Cell], np.ndarray]:
    """Classes that every op treats alike; and whether each class was turned to see that."""
    classes = found.classes
    isolated = found.broken | _mask(classes, facts.isolated)
    rotated = classes.degenerate | _mask(classes, facts.rotated)
    centred = _mask(classes, facts.centred)
    turned = _mask(classes, [pairs.ravel() for pairs in facts.turned])
    framed = _mask(classes, [np.flatnonzero(found.frame != FIXED)])

    uses = [use.entries for use in facts.uses] + _parameter_uses(parameters)
    signatures, flipped = _signatures(uses, classes, isolated)
    members: dict[bytes, list[int]] = defaultdict(list)
    for k, signature in signatures.items():
        members[signature].append(k)
    cells = [
        Cell(
            tuple(sorted(group)),
            *(bool(m[group].any()) for m in (rotated, turned, centred, framed)),
        )
        for group in members.values()
        if len(group) > 1
    ]
    return cells, flipped


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


def _signatures(
    uses: list[Labels], classes: Classes, isolated: np.ndarray
) -> tuple[dict[int, bytes], np.ndarray]:
    """For every class that may mix, how it takes part in every use, up to its orientation.

    Returns:
        Signatures as bytes, and for every class whether its orientation was turned so that it
        first occurs with sign +.
    """
    flipped = np.zeros(len(isolated), dtype=bool)
    blocks = []
    for number, entries in enumerate(uses):
        owner = classes.of[entries[:, 0]]
        kept = ~isolated[owner]
        if not kept.any():
            continue
        entries, owner = entries[kept], owner[kept]
        sign = classes.sign[entries[:, 0]]
        where = np.full(len(owner), number)
        blocks.append(np.stack([owner, where, entries[:, 1], sign, entries[:, 2]], 1))
    if not blocks:
        return {}, flipped
    # Add up what one class has several labels of, in the same use, row and sign.
    table = np.concatenate(blocks)
    keys, inverse = np.unique(table[:, :4], axis=0, return_inverse=True)
    counts = np.bincount(inverse.ravel(), weights=table[:, 4]).astype(np.int64)
    starts = np.flatnonzero(np.r_[True, keys[1:, 0] != keys[:-1, 0]])
    signatures: dict[int, bytes] = {}
    for start, stop in zip(starts, np.r_[starts[1:], len(keys)], strict=True):
        k = int(keys[start, 0])
        rows = np.column_stack([keys[start:stop, 1:], counts[start:stop]])
        head = rows[(rows[:, 0] == rows[0, 0]) & (rows[:, 1] == rows[0, 1])]
        if (head[:, 2] * head[:, 3]).sum() < 0:
            flipped[k] = True
            rows[:, 2] *= -1
            rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
        signatures[k] = rows.tobytes()
    return signatures, flipped
