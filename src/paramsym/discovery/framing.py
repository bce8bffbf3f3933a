"""Frames: gains between the coordinates of a space and the parameters that hold vectors of it.

Labels that transform alike, or dually, are a *part*. A gain γ joins two parts into one space: where
the part before it transforms by g, the part behind it transforms by diag(γ) g diag(γ)⁻¹. One part
of every space, its root, is where g itself acts: the one in which a norm is taken, if any. If two
parts of a space have a norm, or are turned, or if a part is behind two gains, or behind the same
one in two ways, then generically no matrix passes.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from paramsym.discovery.balances import Classes, signed_classes
from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import FIXED, Labels
from paramsym.discovery.statements import Gain
from paramsym.ports import Frame


@final
@dataclass(frozen=True)
class Spaces:
    """Labels grouped by the coordinate of a space that they belong to, through gains.

    Attributes:
        classes: The groups. Labels of sign − transform dually to those of sign + of their part.
        broken: For every class whether the gains let no matrix act.
        frame: For every label the frame of its part, `FIXED` at the root.
        entry: For every label which entry of the gain stands in its coordinate's frame.
        frames: The frames; every even one is followed by its inverse.
    """

    classes: Classes
    broken: np.ndarray
    frame: Labels
    entry: Labels
    frames: tuple[Frame, ...]


def spaces(facts: Facts, first_labels: dict[str, int]) -> Spaces:
    """Labels by coordinate of their space.

    Args:
        facts: What the rules stated.
        first_labels: The first label of every parameter with one axis that varies.
    """
    parts = _parts(facts)
    if not facts.gains:
        nowhere = np.full(facts.count, FIXED)
        return Spaces(parts, np.zeros(len(parts.degenerate), dtype=bool), nowhere, nowhere, ())
    frames, edges = _edges(facts, first_labels)
    return _joined(facts, parts, frames, edges)


def behind_centring(facts: Facts, first_labels: dict[str, int]) -> Spaces:
    """Parts of which all that no parameter writes there is of mean zero, seen through one gain.

    What LayerNorm puts out is of this kind; labels of sign + transform as its coordinates do. All
    other parts are broken.
    """
    parts = _parts(facts)
    frames, edges = _edges(facts, first_labels)
    centred = edges.is_centred == 1
    behind = parts.of[edges.after]
    table = np.stack([behind, edges.frame, edges.entry, parts.sign[edges.after]], 1)
    table = np.unique(table[centred], axis=0)
    broken = np.ones(len(parts.degenerate), dtype=bool)
    broken[table[:, 0]] = False
    twice = table[1:, 0] == table[:-1, 0]
    broken[table[1:, 0][twice]] = True
    broken[behind[~centred]] = True
    broken[parts.of[edges.before]] = True
    broken |= _special(facts, parts)
    frame, entry = np.full(len(broken), FIXED), np.full(len(broken), FIXED)
    sign = np.ones(len(broken), dtype=np.int64)
    frame[table[:, 0]], entry[table[:, 0]], sign[table[:, 0]] = table[:, 1:].T
    classes = Classes(parts.of, parts.sign * sign[parts.of], parts.degenerate)
    return Spaces(classes, broken, frame[parts.of], entry[parts.of], frames)


def _parts(facts: Facts) -> Classes:
    empty = np.empty((0, 2), dtype=np.int64)
    same, dual = np.concatenate([empty, *facts.same]), np.concatenate([empty, *facts.dual])
    return signed_classes(facts.count, same, dual)


@final
@dataclass(frozen=True)
class _Edges:
    """Gains coordinate by coordinate: labels before and behind, frame, entry of it, and whether
    what is multiplied has mean zero."""

    before: Labels
    after: Labels
    frame: Labels
    entry: Labels
    is_centred: Labels


def _edges(facts: Facts, first_labels: dict[str, int]) -> tuple[tuple[Frame, ...], _Edges]:
    names = list(dict.fromkeys((gain.parameter, gain.offset) for gain in facts.gains))
    number = {name: 2 * i for i, name in enumerate(names)}
    columns = [
        np.stack(
            [
                gain.before,
                gain.after,
                np.full(len(gain.before), number[gain.parameter, gain.offset]),
                _entries(gain, facts) - first_labels[gain.parameter],
                np.full(len(gain.before), gain.is_centred),
            ]
        )
        for gain in facts.gains
    ]
    frames = tuple(Frame(*name, power=power) for name in names for power in (1, -1))
    empty = np.empty((5, 0), dtype=np.int64)
    return frames, _Edges(*np.concatenate([empty, *columns], 1))


def _entries(gain: Gain, facts: Facts) -> Labels:
    """Labels of the parameter's entries, also where a number was added to it."""
    displaced = facts.displaced.get(gain.parameter)
    if displaced is None or gain.entries.min() < displaced.after[0]:
        return gain.entries
    return displaced.before[gain.entries - displaced.after[0]]


def _joined(facts: Facts, parts: Classes, frames: tuple[Frame, ...], edges: _Edges) -> Spaces:
    count = len(parts.degenerate)
    before, after = parts.of[edges.before], parts.of[edges.after]
    links = coo_array((np.ones(len(before), dtype=np.int8), (before, after)), (count, count))
    space_count, space = connected_components(links, directed=False)
    special = _special(facts, parts)
    broken = np.bincount(space, weights=special, minlength=space_count) > 1
    root = _roots(space, special, np.bincount(np.r_[before, after], minlength=count))

    from_root, to_root = before == root[space[before]], after == root[space[after]]
    broken[space[before[from_root == to_root]]] = True
    # What the root's part of a link does, the other part does conjugated by the gain or by its
    # inverse: a dual label before the gain sees the inverse.
    other = np.where(from_root, after, before)
    sign = np.where(from_root, parts.sign[edges.before], parts.sign[edges.after])
    own = np.where(from_root, parts.sign[edges.after], parts.sign[edges.before])
    inverse = (sign > 0) != from_root
    table = np.stack([other, edges.frame + inverse, edges.entry, sign * own], 1)
    table = np.unique(table[from_root != to_root], axis=0)
    twice = table[1:, 0] == table[:-1, 0]
    broken[space[table[1:, 0][twice]]] = True

    frame, entry = np.full(count, FIXED), np.full(count, FIXED)
    turned = np.ones(count, dtype=np.int64)
    frame[table[:, 0]], entry[table[:, 0]], turned[table[:, 0]] = table[:, 1:].T
    degenerate = np.zeros(space_count, dtype=bool)
    degenerate[space[parts.degenerate]] = True
    classes = Classes(space[parts.of].astype(np.int64), parts.sign * turned[parts.of], degenerate)
    return Spaces(classes, broken, frame[parts.of], entry[parts.of], frames)


def _special(facts: Facts, parts: Classes) -> np.ndarray:
    """Parts in which a norm or a sum is read, or planes are turned: g acts there as it is."""
    special = parts.degenerate.copy()
    for labels in (*facts.rotated, *facts.centred, *(pairs.ravel() for pairs in facts.turned)):
        special[parts.of[labels[labels != FIXED]]] = True
    return special


def _roots(space: Labels, special: np.ndarray, gains: Labels) -> Labels:
    """For every space its special part, or else the one with most gains beside it."""
    order = np.lexsort((gains, special, space))
    return order[np.flatnonzero(np.r_[space[order][1:] != space[order][:-1], True])]
