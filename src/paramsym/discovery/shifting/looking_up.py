"""Rows of a table, chosen by data or by a buffer."""

from collections.abc import Mapping
from dataclasses import replace

from paramsym.discovery.distinct import distinct
from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.steps import (
    Plan,
    Reshape,
    Take,
    labels_after,
    tolerance_before,
    view_after,
)
from paramsym.discovery.shifting.tolerance import Tolerance, joined_along
from paramsym.discovery.shifting.values import Piece, Support, Value, View


@op("embedding", "index_select", "index")
class LookUp(Op):
    """What all rows have in common passes. Positions count as data, known or not: which rows a run
    reads says nothing of the model. But where a buffer of the model, as it is, names rows, every
    run reads these, each at its place."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        key, value = next(call.values())
        plan = rows_of_buffer(call)
        if plan is not None:
            return {key: tolerance_before(plan, outputs[0], value.shape)}
        found = _places(call)
        if found is None:
            return {}
        axes, chosen = found
        output = outputs[0]
        spread = range(axes[0], axes[0] + chosen)
        back = joined_along(output, spread)
        rows = all(output.frees(a) for a in spread)
        ndim = len(value.shape)
        kept = [a for a in range(len(call.shape)) if a not in spread]
        labels = back.labels.reshape([back.labels.shape[a] for a in kept])
        place = [a for a in range(ndim) if a not in axes]
        shape = [1] * ndim
        free: set[int] = set(axes) if rows else set()
        for a, b, size in zip(place, kept, labels.shape, strict=True):
            shape[a] = size
            if b in output.free:
                free.add(a)
        return {key: Tolerance(labels.reshape(shape), frozenset(free), output.cause)}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        own, value = next(call.values())
        plan, found = rows_of_buffer(call), _places(call)
        if found is None or key != own:
            raise Refused
        if plan is not None:
            labels = labels_after(plan, piece.labels, value.shape)
            return {0: piece.at(labels)} if bool((labels >= 0).any()) else {}
        axes, chosen = found
        if any(piece.labels.shape[a] > 1 for a in axes):
            raise Refused
        kept = [n for a, n in enumerate(piece.labels.shape) if a not in axes]
        shape = [*kept[: axes[0]], *[1] * chosen, *kept[axes[0] :]]
        return {0: piece.at(piece.labels.reshape(shape))}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        _, value = next(call.values())
        found = _places(call)
        if found is None:
            return {}
        axes, chosen = found
        return {
            0: tuple(
                replace(s, axis=s.axis if s.axis < axes[0] else s.axis - len(axes) + chosen)
                for s in value.supports
                if s.axis not in axes
            )
        }

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        own, _ = next(call.values())
        found = _places(call)
        if found is None or key != own or axis in found[0]:
            return {}
        axes, chosen = found
        return {0: axis if axis < axes[0] else axis - len(axes) + chosen}

    def view(self, call: Call) -> Mapping[int, View]:
        _, value = next(call.values())
        plan = rows_of_buffer(call)
        found = None if plan is None else view_after(plan, value.view, value.shape)
        return {} if found is None else {0: found}


def rows_of_buffer(call: Call) -> Plan | None:
    """The lookup in steps, where a buffer of the model names rows and each at most once; `None`
    where data choose."""
    (_, table), *rest = list(call.values())
    index = rest[0][1] if len(rest) == 1 else table
    if not table.shape or not index.is_fixed or index.constant is None:
        return None
    places = _places(call)
    if places is None or len(places[0]) != 1 or index.constant[1].is_meta:
        return None
    ((axis,), _) = places
    rows = index.constant[1].numpy(force=True).ravel()
    if rows.dtype.kind not in "iu" or len(distinct(rows)) < len(rows):
        return None
    return [Take(axis, rows % table.shape[axis]), Reshape(call.shape)]


def _places(call: Call) -> tuple[list[int], int] | None:
    """Axes of the table that are looked up, next to one another, and how many axes stand there in
    the result."""
    name = call.record.op
    if name == "embedding":
        return [0], len(call["indices"].shape)
    if name == "index_select":
        return [call["dim"] % len(call["self"].shape)], 1
    table, indices = call["self"], call["indices"]
    axes = [a for a, x in enumerate(indices) if x is not None]
    given = [indices[a] for a in axes]
    consecutive = axes == list(range(axes[0], axes[0] + len(axes))) if axes else False
    if not consecutive or not all(isinstance(x, Value) and not x.moves for x in given):
        return None
    chosen = len(call.shape) - len(table.shape) + len(axes)
    if chosen != max(len(x.shape) for x in given):  # a mask takes several axes at once
        return None
    return axes, chosen
