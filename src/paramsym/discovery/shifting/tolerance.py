"""Which changes of a value nothing behind it notices.

A normalisation removes what is constant along what it normalises, a softmax what is constant along
its axis. So the changes that go unnoticed are those that are constant on the classes of some
partition of the entries, and zero on some entries. Here a class is a label, together with the
position along the axes that are *free*: LayerNorm leaves one label, and all axes free but the last.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from paramsym.discovery.distinct import distinct
from paramsym.discovery.labels import Labels, compress
from paramsym.discovery.shifting.layout import NONE, present
from paramsym.discovery.shifting.weights import Weights, moved

PINNED = NONE
"""The label of entries that must not change."""

UNREAD = -2
"""The label of entries that nothing reads."""


@final
@dataclass(frozen=True, eq=False)
class Tolerance:
    """Changes that go unnoticed: constant on every class, zero on pinned entries.

    Attributes:
        labels: For every entry its label, `PINNED`, or `UNREAD`; with size 1 along axes where it is
            the same.
        free: Axes along which entries with one label may change independently.
        cause: Ops that remove such changes.
        weights: What a change that is constant on every class is multiplied by, along axes that are
            not free.
    """

    labels: Labels
    free: frozenset[int]
    cause: frozenset[str] = frozenset()
    weights: Weights = ()

    @property
    def is_pinned(self) -> bool:
        return bool((self.labels == PINNED).all())

    @property
    def is_unread(self) -> bool:
        return bool((self.labels == UNREAD).all())

    def plain(self) -> "Tolerance":
        """Those of the changes that are constant on classes as they are: none, with weights."""
        if not self.weights:
            return self
        labels = np.where(self.labels == UNREAD, UNREAD, PINNED)
        return replace(self, labels=labels, weights=())

    def seen_as(
        self, labels: Labels, free: frozenset[int], axis: Callable[[int], int | None]
    ) -> "Tolerance":
        """The same changes of a value with other axes, labels and free axes; `axis` says which new
        one an old one is."""
        weights = moved(self.weights, axis)
        if weights is None:
            return Tolerance(labels, free, self.cause, self.weights).plain()
        # Along a free axis a class has one position, and what it is multiplied by says nothing.
        weights = tuple(w for w in weights if w.axis not in free)
        return Tolerance(labels, free, self.cause, weights)

    def frees(self, axis: int) -> bool:
        """Whether a change that varies along an axis in any way goes unnoticed."""
        return axis in self.free or self.is_unread

    def allows(self, labels: Labels) -> Labels | None:
        """Labels of a change (entries with the same label change alike) that would be noticed, for
        this tolerance: those with an entry that is pinned, or in one class with other labels."""
        own = self.plain()
        if own.is_unread:
            return None
        if own.is_pinned:
            noticed = present(labels)
            return noticed if len(noticed) else None
        classes = own.labels
        for axis, size in enumerate(labels.shape):
            if axis in self.free and size > 1:
                classes = _with_position(classes, axis, size)
        change, classes = (x.ravel() for x in np.broadcast_arrays(labels, classes))
        top = int(classes.max(initial=0)) + 1
        if top > 4 * classes.size:  # few of many numbers
            names, number = np.unique(classes, return_inverse=True)
            classes, top = np.where(classes < 0, classes, number), len(names)
        # Of every class the label of one entry; the others must have the same.
        one = np.full(top, NONE, dtype=np.int64)
        read = classes >= 0
        one[classes[read]] = change[read]
        mixed = np.zeros(top - min(PINNED, UNREAD), dtype=bool)  # for those numbers too, no
        mixed[classes[read][change[read] != one[classes[read]]]] = True
        noticed = present(change[(classes == PINNED) | (read & mixed[classes])])
        return noticed if len(noticed) else None

    def spanned(self, places: Labels) -> Labels:
        """Which combinations of components go unnoticed, for a shift of components that stand at
        these places: those that shift all components with the same number alike. `PINNED` for
        components that must stay."""
        own = self.labels
        for axis in range(places.ndim):
            if axis in self.free and places.shape[axis] > 1:
                own = _with_position(own, axis, places.shape[axis])
        component, own = (x.ravel() for x in np.broadcast_arrays(places, own))
        names, own = np.unique(own[component != NONE], return_inverse=True)
        component = component[component != NONE]
        n = int(places.max()) + 1
        graph = coo_array((np.ones(len(own)), (component, n + own)), (n + len(names),) * 2)
        _, part = connected_components(graph, directed=False)
        stuck = part[n:][names < 0]
        return np.where(np.isin(part[:n], stuck), PINNED, part[:n])


def pinned(ndim: int) -> Tolerance:
    """Nothing may change."""
    return Tolerance(np.full((1,) * ndim, PINNED, dtype=np.int64), frozenset(range(ndim)))


def none_spanned(places: Labels) -> Labels:
    """As `spanned`, where nothing goes unnoticed."""
    return np.full(int(places.max()) + 1, PINNED, dtype=np.int64)


def unread(ndim: int) -> Tolerance:
    """Nothing reads the value."""
    return Tolerance(np.full((1,) * ndim, UNREAD, dtype=np.int64), frozenset(range(ndim)))


def constant_along(ndim: int, axes: Sequence[int], cause: str) -> Tolerance:
    """What is constant along some axes goes unnoticed."""
    free = frozenset(range(ndim)) - {a % ndim for a in axes}
    return Tolerance(np.zeros((1,) * ndim, dtype=np.int64), free, frozenset({cause}))


def meet(a: Tolerance, b: Tolerance) -> Tolerance:
    """Changes that go unnoticed by both."""
    if a.is_unread or b.is_pinned:
        return b
    if b.is_unread or a.is_pinned:
        return a
    if a.weights != b.weights:
        # Where one leaves an axis free, what the other multiplies by along it is one number.
        if not all(w.axis in b.free for w in set(a.weights) - set(b.weights)):
            a = a.plain()
        if not all(w.axis in a.free for w in set(b.weights) - set(a.weights)):
            b = b.plain()
    free = a.free & b.free
    left, right = a.labels, b.labels
    for axis in free:  # there the classes are apart position by position
        size = max(left.shape[axis], right.shape[axis])
        if size > 1:
            left, right = (_with_position(x, axis, size) for x in (left, right))
    labels = compress(_joined(left, right))
    weights = tuple(sorted({*a.weights, *b.weights}))
    return Tolerance(labels, free, a.cause | b.cause, weights)


def _joined(left: Labels, right: Labels) -> Labels:
    """The finest labels that are constant where either is; pinned where either is pinned."""
    left, right = np.broadcast_arrays(left, right)
    if left.size == 0:
        return left
    both = (left != UNREAD) & (right != UNREAD)
    names, of = np.unique(np.stack([left, right]), return_inverse=True)
    # Labels of the two are apart, even where they are the same number.
    on_left, on_right = of.reshape(2, *left.shape)
    on_right = on_right + len(names)
    edges = np.stack([on_left[both], on_right[both]])
    count = 2 * len(names)
    graph = coo_array((np.ones(edges.shape[1]), tuple(edges)), (count, count))
    _, part = connected_components(graph, directed=False)
    names = np.concatenate([names, names])
    stuck = distinct(part[names == PINNED])
    chosen = np.where(left != UNREAD, part[on_left], part[on_right])
    chosen = np.where(np.isin(chosen, stuck), PINNED, chosen)
    return np.where((left == UNREAD) & (right == UNREAD), UNREAD, chosen)


def _with_position(labels: Labels, axis: int, size: int) -> Labels:
    """Labels that differ also by the position along an axis."""
    shape = [1] * labels.ndim
    shape[axis] = size
    top = max(int(labels.max(initial=0)) + 1, 1)
    position = np.arange(size).reshape(shape)
    return np.where(labels < 0, labels, labels + top * position)


def joined_along(tolerance: Tolerance, axes: Sequence[int]) -> Tolerance:
    """For a change that is repeated along some axes: they get size 1 (and are free, as such)."""
    if any(weight.axis in axes for weight in tolerance.weights):
        tolerance = tolerance.plain()
    labels = tolerance.labels
    for axis in axes:
        if labels.shape[axis] > 1:
            if axis in tolerance.free:
                labels = _with_position(labels, axis, labels.shape[axis])
            labels = _merged_along(labels, axis)
    return replace(tolerance, labels=labels, free=tolerance.free | set(axes))


def _merged_along(labels: Labels, axis: int) -> Labels:
    """Labels of entries that all stand for a line along an axis: lines are in one class if they
    meet one label, pinned if they meet a pinned entry."""
    lines = np.moveaxis(labels, axis, 0).reshape(labels.shape[axis], -1)
    names, of = np.unique(lines, return_inverse=True)
    of = of.reshape(lines.shape)
    place = np.broadcast_to(len(names) + np.arange(lines.shape[1]), lines.shape)
    read = lines != UNREAD
    count = len(names) + lines.shape[1]
    edges = (of[read], place[read])
    graph = coo_array((np.ones(len(edges[0])), edges), (count, count))
    _, part = connected_components(graph, directed=False)
    stuck = part[: len(names)][names == PINNED]
    chosen = part[len(names) :]
    chosen = np.where(np.isin(chosen, stuck), PINNED, chosen)
    chosen = np.where(read.any(0), chosen, UNREAD)
    shape = list(labels.shape)
    shape[axis] = 1
    return np.expand_dims(chosen.reshape([n for a, n in enumerate(shape) if a != axis]), axis)


def explicit(tolerance: Tolerance, axes: Sequence[int], shape: Sequence[int]) -> Tolerance:
    """The same with the positions along some free axes in the labels."""
    labels = tolerance.labels
    for axis in axes:
        if axis in tolerance.free and shape[axis] > 1:
            labels = _with_position(labels, axis, shape[axis])
    return replace(tolerance, labels=labels, free=tolerance.free - set(axes))


# -- the same entries in another shape -------------------------------------------------------------


def matching(a: Sequence[int], b: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Axes of two shapes of one size, in the smallest groups with equal products."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(a) or j < len(b):
        left, right = [], []
        x = y = 1
        if i < len(a):
            left, x, i = [i], a[i], i + 1
        if j < len(b):
            right, y, j = [j], b[j], j + 1
        while x != y:
            if x < y:
                left, x, i = [*left, i], x * a[i], i + 1
            else:
                right, y, j = [*right, j], y * b[j], j + 1
        groups.append((left, right))
    return groups


def reshaped_labels(labels: Labels, shape: Sequence[int], new: Sequence[int]) -> Labels:
    """Labels of a value of one shape, for the same entries in another."""
    if math.prod(shape) == 0:
        return np.full((1,) * len(new), NONE, dtype=np.int64)
    full, target = list(labels.shape), [1] * len(new)
    for left, right in matching(shape, new):
        if any(labels.shape[a] > 1 for a in left):
            for a in left:
                full[a] = shape[a]
            for b in right:
                target[b] = new[b]
    return compress(np.broadcast_to(labels, full).reshape(target))


def reshaped(tolerance: Tolerance, shape: Sequence[int], new: Sequence[int]) -> Tolerance:
    """The tolerance of a value, for the same entries in another shape."""
    if math.prod(shape) == 0:
        return pinned(len(new))
    free: set[int] = set()
    for left, right in matching(shape, new):
        long = [a for a in left if shape[a] > 1]
        if all(a in tolerance.free for a in long):
            free.update(right)
        elif any(a in tolerance.free for a in long):
            tolerance = explicit(tolerance, long, shape)
    free |= {b for b, size in enumerate(new) if size == 1}
    labels = reshaped_labels(tolerance.labels, shape, new)
    return tolerance.seen_as(labels, frozenset(free), lambda a: reshaped_axis(a, shape, new))


def reshaped_axis(axis: int, shape: Sequence[int], new: Sequence[int]) -> int | None:
    """The axis of another shape along which the same entries lie, in the same order."""
    for left, right in matching(shape, new):
        if axis in left:
            long = [k for k in left if shape[k] > 1]
            wide = [k for k in right if new[k] > 1]
            return wide[0] if long == [axis] and len(wide) == 1 else None
    return None
