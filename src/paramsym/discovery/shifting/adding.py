"""Sums and concatenations."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from paramsym.discovery.labels import Labels, compress
from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.steps import (
    Expand,
    Plan,
    Reshape,
    labels_after,
    tolerance_before,
)
from paramsym.discovery.shifting.supporting import plus
from paramsym.discovery.shifting.tolerance import PINNED, UNREAD, Tolerance
from paramsym.discovery.shifting.values import Piece, Support


@op("add", "sub", "rsub", "__radd__")
class Sum(Op):
    """A change of a summand is one of the sum."""

    weighs = True

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        return {
            key: unbroadcast(outputs[0], value.shape, call.shape) for key, value in call.values()
        }

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        value = call.value(key)
        labels = broadcast(piece.labels, value.shape, call.shape)
        return {0: piece.at(labels).times(_sign(call, key))}

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        own = axis + len(call.shape) - len(call.value(key).shape)
        alike = [
            value.shape[k] == call.shape[own]
            for _, value in call.values()
            if (k := own + len(value.shape) - len(call.shape)) >= 0
        ]
        return {0: own} if alike == [True, True] else {}  # two vectors, and not a number

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        """A bias adds to the constant of a fact."""
        given = list(call.values())
        if len(given) != 2 or call.get("alpha", 1) != 1 or "sub" in call.record.op:
            return {}
        found = []
        for (_, value), (_, other) in (given, given[::-1]):
            lead, short = len(call.shape) - len(value.shape), len(call.shape) - len(other.shape)
            for s in value.supports:
                made = plus(s, other, s.axis + lead - short)
                found += [] if made is None else [replace(made, axis=s.axis + lead)]
        return {0: tuple(found)}


def _sign(call: Call, key: Key) -> float:
    name, alpha = call.record.op.removesuffix("_"), call.get("alpha", 1)
    scaled = key[0] == ("self" if name == "rsub" else "other")
    sign = 1.0
    if scaled:
        if not isinstance(alpha, int | float):
            raise Refused
        sign = float(alpha) * (1.0 if name in ("add", "__radd__") else -1.0)
    return sign


@op("cat", "stack")
class Joined(Op):
    """A change of a part is one of the whole, there."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        found, axis = {}, _axis(call)
        for key, plan, start, size in _parts(call):
            own = _of_part(outputs[0], axis, start, size, call.shape[axis])
            found[key] = tolerance_before(plan, own, call.value(key).shape)
        return found

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        axis = _axis(call)
        _, plan, start, size = next(part for part in _parts(call) if part[0] == key)
        own = labels_after(plan, piece.labels, call.value(key).shape)
        full = [size if a == axis else n for a, n in enumerate(own.shape)]
        target = [call.shape[axis] if a == axis else n for a, n in enumerate(own.shape)]
        labels = np.full(target, NONE, dtype=np.int64)
        place = [slice(None)] * len(full)
        place[axis] = slice(start, start + size)
        labels[tuple(place)] = np.broadcast_to(own, full)
        return {0: piece.at(labels)}

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        own = axis + (call.record.op == "stack" and axis >= _axis(call))
        return {} if own == _axis(call) else {0: own}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        """What holds along the axis holds for a block of it, what holds of all parts for all."""
        axis = _axis(call)
        if call.record.op != "cat":
            return {}
        found, common = [], None
        for key, _, start, size in _parts(call):
            own = call.value(key).supports
            found += [
                replace(s, block=(start, start + size))
                for s in own
                if s.axis == axis and s.block is None
            ]
            rest = {s for s in own if s.axis != axis}
            common = rest if common is None else common & rest
        return {0: (*found, *sorted(common or (), key=repr))}


def _of_part(whole: Tolerance, axis: int, start: int, size: int, total: int) -> Tolerance:
    """What one part may do while the others stay: a class that reaches beyond it must stay too."""
    labels = whole.labels
    if size < total and axis not in whole.free:
        full = [total if a == axis else n for a, n in enumerate(labels.shape)]
        labels = np.broadcast_to(labels, full)
        place = np.arange(start, start + size)
        rest = np.delete(labels, place, axis)
        labels = labels.take(place, axis=axis)
        shared = np.isin(labels, rest[rest != UNREAD])
        labels = compress(np.where(shared, PINNED, labels))
    elif labels.shape[axis] > 1:
        labels = labels.take(np.arange(start, start + size), axis=axis)
    return Tolerance(labels, whole.free, whole.cause)


def _axis(call: Call) -> int:
    return call.get("dim", 0) % len(call.shape)


def _parts(call: Call) -> list[tuple[Key, Plan, int, int]]:
    """For every part the steps to the shape in which it is joined, and where it comes to lie.

    Raises:
        Refused: If one is the empty vector that torch lets pass.
    """
    axis, start, parts = _axis(call), 0, []
    for key, value in call.values():
        plan: Plan = []
        size = 1
        if call.record.op == "stack":
            plan = [Reshape((*value.shape[:axis], 1, *value.shape[axis:]))]
        elif len(value.shape) == len(call.shape):
            size = value.shape[axis]
        else:
            raise Refused
        parts.append((key, plan, start, size))
        start += size
    return parts


def broadcast(labels: Labels, shape: tuple[int, ...], new: tuple[int, ...]) -> Labels:
    """Labels of a value, for its broadcast to another shape."""
    return labels.reshape((1,) * (len(new) - labels.ndim) + labels.shape)


def unbroadcast(tolerance: Tolerance, shape: tuple[int, ...], new: tuple[int, ...]) -> Tolerance:
    """Tolerance of a value, for that of its broadcast to another shape."""
    return Expand(new).tolerance(tolerance, shape)
