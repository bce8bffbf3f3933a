"""Reading the structure of a label array: which product of ranges it lists along an axis.

Shifts are carried through views as arrays of labels (which component of a vector stands where), so
that no view needs a theory of its own. Where a weight reads them, or a parameter takes them up, the
labels must become letters of an `einsum` again: an axis of 768 that lists 12 heads of 64 components
is a factor of 12 and one of 64.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from paramsym.discovery.labels import Labels

NONE = -1
"""The label of an entry where nothing stands."""


def present(labels: Labels) -> Labels:
    """The labels that stand anywhere, in order."""
    there = np.zeros(int(labels.max(initial=NONE)) + 1, dtype=bool)
    there[labels[labels >= 0]] = True
    return np.flatnonzero(there)


@final
@dataclass(frozen=True)
class Range:
    """One factor of an axis: its positions, the block of them that is filled, and by how much the
    label grows from one to the next (0: all have the same)."""

    size: int
    start: int
    stop: int
    stride: int

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.stop == self.size


@final
@dataclass(frozen=True)
class Layout:
    """Factors of every axis of an array, the label of its first filled entry.

    Attributes:
        axes: Factors of each axis, the slowest first; none for an axis of size 1.
        first: The smallest label.
    """

    axes: tuple[tuple[Range, ...], ...]
    first: int


def layout(labels: Labels) -> Layout | None:
    """The structure of an array of labels, one axis independent of the others; `None` if it has
    none. Axes of size 1 count as axes along which nothing varies."""
    filled = np.argwhere(labels != NONE)
    if not len(filled):
        return None
    corner = tuple(filled.min(0))
    if labels[corner] == NONE:
        return None
    first = int(labels[corner])
    axes, whole = [], np.zeros((1,) * labels.ndim, dtype=np.int64)
    valid = np.ones((1,) * labels.ndim, dtype=bool)
    for axis, size in enumerate(labels.shape):
        line = labels[tuple(slice(None) if a == axis else corner[a] for a in range(labels.ndim))]
        ranges = _ranges(np.where(line == NONE, NONE, line - first))
        if ranges is None:
            return None
        axes.append(ranges if size > 1 else ())
        shape = [size if a == axis else 1 for a in range(labels.ndim)]
        whole = whole + np.where(line == NONE, 0, line - first).reshape(shape)
        valid = valid & (line != NONE).reshape(shape)
    if not np.array_equal(np.where(valid, whole + first, NONE), labels):
        return None
    return Layout(tuple(axes), first)


def _ranges(line: Labels) -> tuple[Range, ...] | None:
    """The factors of one axis, as coarse as they can be."""
    found = _factor(line)
    return None if found is None else tuple(_merged(found))


def _factor(line: Labels) -> list[Range] | None:
    size = len(line)
    filled = np.flatnonzero(line != NONE)
    start, stop = int(filled[0]), int(filled[-1]) + 1
    if len(filled) == stop - start:
        steps = np.diff(line[start:stop])
        if len(steps) == 0 or bool((steps == steps[0]).all()):
            stride = int(steps[0]) if len(steps) else 0
            return [Range(size, start, stop, stride)] if stride >= 0 else None
    for count in _divisors(size):
        rows = line.reshape(count, -1)
        used = np.flatnonzero((rows != NONE).any(1))
        a, b = int(used[0]), int(used[-1]) + 1
        if len(used) != b - a:
            continue
        base, steps = rows[a], np.diff(rows[a:b], axis=0)
        if not bool(((rows[a:b] == NONE) == (base == NONE)).all()):
            continue
        there = steps[:, base != NONE]
        stride = int(there.flat[0]) if there.size else 0
        if stride < 0 or not bool((there == stride).all()):
            continue
        inner = _factor(base - np.where(base == NONE, 0, line[filled[0]]))
        if inner is not None:
            return [Range(count, a, b, stride), *inner]
    return None


def _divisors(size: int) -> list[int]:
    """Numbers of rows that an axis may be cut into, the largest first."""
    small = [k for k in range(2, int(size**0.5) + 1) if size % k == 0]
    return sorted({*small, *(size // k for k in small)}, reverse=True)


def _merged(ranges: list[Range]) -> list[Range]:
    """Neighbouring factors that are one range, put together."""
    merged: list[Range] = []
    for inner in ranges:
        outer = merged[-1] if merged else None
        if outer and inner.is_whole and outer.stride == inner.size * inner.stride:
            merged[-1] = Range(outer.size * inner.size, outer.start * inner.size,
                               outer.stop * inner.size, inner.stride)  # fmt: skip
        else:
            merged.append(inner)
    return merged
