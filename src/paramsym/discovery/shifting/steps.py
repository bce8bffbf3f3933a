"""Ops that move entries, taken apart in steps: reshape, permute, take along an axis, repeat.

Each step says where labels go, which tolerance comes back, how a view of a parameter continues, and
what becomes of the axis of a support.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, final

import numpy as np

from paramsym.discovery.distinct import distinct
from paramsym.discovery.labels import Labels, compress
from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.tolerance import (
    UNREAD,
    Tolerance,
    joined_along,
    matching,
    pinned,
    reshaped,
    reshaped_axis,
    reshaped_labels,
)
from paramsym.discovery.shifting.values import View

Shape = tuple[int, ...]


class Step(Protocol):
    """A step from a value of one shape to one of another."""

    def shape(self, shape: Shape) -> Shape: ...

    def labels(self, labels: Labels, shape: Shape) -> Labels:
        """Labels of the result, for those of a value of this shape."""
        ...

    def tolerance(self, tolerance: Tolerance, shape: Shape) -> Tolerance:
        """Tolerance of the value, for that of the result."""
        ...

    def view(self, view: View, shape: Shape) -> View | None: ...

    def axis(self, axis: int, shape: Shape) -> int | None:
        """Where an axis goes, if its entries stay together as they are."""
        ...


@final
@dataclass(frozen=True)
class Reshape:
    """The same entries in another shape."""

    new: Shape

    def shape(self, shape: Shape) -> Shape:
        return self.new

    def labels(self, labels: Labels, shape: Shape) -> Labels:
        return reshaped_labels(labels, shape, self.new)

    def tolerance(self, tolerance: Tolerance, shape: Shape) -> Tolerance:
        return reshaped(tolerance, self.new, shape)

    def view(self, view: View, shape: Shape) -> View | None:
        if math.prod(shape) == 0:
            return None
        axes: list[tuple[int, ...]] = [()] * len(self.new)
        for left, right in matching(shape, self.new):
            run = [a for k in left for a in view.axes[k]]
            if any(shape[k] > 1 and not view.axes[k] for k in left):
                return None  # repeated, and merged with others
            for b in right:
                taken: list[int] = []
                need = self.new[b]
                while need > 1:
                    if not run:
                        return None
                    length = view.blocks[run[0]][1] - view.blocks[run[0]][0]
                    if length > need:
                        cut = _split(view, axes, run, need)
                        if cut is None:
                            return None
                        view, axes, run = cut
                        length = need
                    if need % length:
                        return None
                    taken.append(run.pop(0))
                    need //= length
                axes[b] = tuple(taken)
        return replace(view, axes=tuple(axes))

    def axis(self, axis: int, shape: Shape) -> int | None:
        return reshaped_axis(axis, shape, self.new)


def _split(
    view: View, axes: list[tuple[int, ...]], run: list[int], outer: int
) -> tuple[View, list[tuple[int, ...]], list[int]] | None:
    """The view with axis `run[0]` of its shape cut in two, the first of length `outer`."""
    k = run[0]
    size, (start, stop) = view.shape[k], view.blocks[k]
    inner = (stop - start) // outer
    if (stop - start) % outer or size % inner or start % inner:
        return None
    shape = (*view.shape[:k], size // inner, inner, *view.shape[k + 1 :])
    block = (start // inner, start // inner + outer)
    blocks = (*view.blocks[:k], block, (0, inner), *view.blocks[k + 1 :])

    def moved(letters: Sequence[int]) -> tuple[int, ...]:
        return tuple(y for x in letters for y in ((k, k + 1) if x == k else (x + (x > k),)))

    cut = View(view.parameter, shape, blocks, tuple(moved(x) for x in view.axes))
    return cut, [moved(x) for x in axes], list(moved(run))


@final
@dataclass(frozen=True)
class Permute:
    """Axes in another order: the new axis k is the old `order[k]`."""

    order: tuple[int, ...]

    def shape(self, shape: Shape) -> Shape:
        return tuple(shape[a] for a in self.order)

    def labels(self, labels: Labels, shape: Shape) -> Labels:
        return labels.transpose(self.order)

    def tolerance(self, tolerance: Tolerance, shape: Shape) -> Tolerance:
        back = np.argsort(self.order)
        free = frozenset(self.order[a] for a in tolerance.free)
        return tolerance.seen_as(tolerance.labels.transpose(back), free, self.order.__getitem__)

    def view(self, view: View, shape: Shape) -> View | None:
        return replace(view, axes=tuple(view.axes[a] for a in self.order))

    def axis(self, axis: int, shape: Shape) -> int | None:
        return self.order.index(axis)


@final
@dataclass(frozen=True, eq=False)
class Take:
    """Positions along an axis, in some order."""

    along: int
    index: Labels

    def shape(self, shape: Shape) -> Shape:
        return (*shape[: self.along], len(self.index), *shape[self.along + 1 :])

    def labels(self, labels: Labels, shape: Shape) -> Labels:
        if labels.shape[self.along] == 1:
            return labels
        return compress(labels.take(self.index, axis=self.along))

    def tolerance(self, tolerance: Tolerance, shape: Shape) -> Tolerance:
        labels, axis, size = tolerance.labels, self.along, shape[self.along]
        covers = len(distinct(self.index)) == size
        if covers and labels.shape[axis] == 1:
            if self.axis(axis, shape) is None and any(w.axis == axis for w in tolerance.weights):
                return tolerance.plain()
            return tolerance
        if len(distinct(self.index)) < len(self.index):  # repeated
            return pinned(len(shape))
        full = list(labels.shape)
        full[axis] = len(self.index)
        target = list(full)
        target[axis] = size
        result = np.full(target, UNREAD, dtype=np.int64)
        place = [slice(None)] * len(full)
        place[axis] = self.index  # type: ignore[call-overload]
        result[tuple(place)] = np.broadcast_to(labels, full)
        free = tolerance.free
        if len(self.index) == 1:  # of size 1, and so free as such; the others are not read
            free = free | {axis}
        return tolerance.seen_as(result, free, lambda a: None if a == axis else a)

    def view(self, view: View, shape: Shape) -> View | None:
        steps = np.diff(self.index)
        if len(self.index) == 0 or not bool((steps == 1).all()):
            return None
        start, stop = int(self.index[0]), int(self.index[-1]) + 1
        own = view.axes[self.along]
        if (start, stop) == (0, shape[self.along]) or not own:
            return view
        lengths = [view.blocks[a][1] - view.blocks[a][0] for a in own]
        inner = math.prod(lengths[1:])
        if start % inner or stop % inner:
            return None
        first = view.blocks[own[0]][0]
        blocks = list(view.blocks)
        blocks[own[0]] = (first + start // inner, first + stop // inner)
        return replace(view, blocks=tuple(blocks))

    def axis(self, axis: int, shape: Shape) -> int | None:
        if axis != self.along:
            return axis
        return axis if np.array_equal(self.index, np.arange(shape[axis])) else None


@final
@dataclass(frozen=True)
class Expand:
    """Repeated along axes of size 1, and along new ones in front."""

    new: Shape

    def shape(self, shape: Shape) -> Shape:
        return self.new

    def labels(self, labels: Labels, shape: Shape) -> Labels:
        return labels.reshape((1,) * (len(self.new) - labels.ndim) + labels.shape)

    def tolerance(self, tolerance: Tolerance, shape: Shape) -> Tolerance:
        lead = len(self.new) - len(shape)
        repeated = [
            *range(lead),
            *(lead + a for a, n in enumerate(shape) if n != self.new[lead + a]),
        ]
        tolerance = joined_along(tolerance, repeated)
        free = frozenset(a - lead for a in tolerance.free if a >= lead)
        labels = tolerance.labels.reshape(tolerance.labels.shape[lead:])
        return tolerance.seen_as(labels, free, lambda a: a - lead)

    def view(self, view: View, shape: Shape) -> View | None:
        lead = len(self.new) - len(shape)
        return replace(view, axes=(*([()] * lead), *view.axes))

    def axis(self, axis: int, shape: Shape) -> int | None:
        return axis + len(self.new) - len(shape)


Plan = list[Step]


def labels_after(plan: Plan, labels: Labels, shape: Shape) -> Labels:
    for step in plan:
        labels = step.labels(labels, shape)
        shape = step.shape(shape)
    return labels


def tolerance_before(plan: Plan, tolerance: Tolerance, shape: Shape) -> Tolerance:
    shapes = [shape]
    for step in plan:
        shapes.append(step.shape(shapes[-1]))
    for step, before in zip(reversed(plan), reversed(shapes[:-1]), strict=True):
        tolerance = step.tolerance(tolerance, before)
    return tolerance


def view_after(plan: Plan, view: View | None, shape: Shape) -> View | None:
    for step in plan:
        view = None if view is None else step.view(view, shape)
        shape = step.shape(shape)
    return view


def axis_after(plan: Plan, axis: int, shape: Shape) -> int | None:
    found: int | None = axis
    for step in plan:
        found = None if found is None else step.axis(found, shape)
        shape = step.shape(shape)
    return found


assert NONE == -1
