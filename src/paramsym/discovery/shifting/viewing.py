"""Ops that move entries."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.steps import (
    Expand,
    Permute,
    Plan,
    Reshape,
    Take,
    axis_after,
    labels_after,
    tolerance_before,
    view_after,
)
from paramsym.discovery.shifting.tolerance import Tolerance, meet
from paramsym.discovery.shifting.values import Piece, Support, Value, View

_RESHAPES = ("view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten", "ravel",
             "unsqueeze", "squeeze", "view_as")  # fmt: skip
_SAME = ("clone", "contiguous", "alias", "lift_fresh_copy", "lift_fresh", "_to_copy",
         "to", "type_as", "positive")  # fmt: skip
_EXPANDS = ("expand", "broadcast_to", "expand_as")
_PERMUTES = ("permute", "transpose", "t", "numpy_T", "mT", "swapaxes", "swapdims", "movedim",
             "moveaxis", "adjoint")  # fmt: skip
_TAKES = ("slice", "narrow", "select", "flip", "roll")
_SPLITS = ("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk",
           "unsafe_chunk", "unbind", "tensor_split")  # fmt: skip


@op(*_RESHAPES, *_SAME, *_EXPANDS, *_PERMUTES, *_TAKES, *_SPLITS, "dropout", "native_dropout")
class Viewed(Op):
    """Every entry of an output is one of the input."""

    weighs = True

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        key, value = _source(call)
        plans = _plans(call, value)
        if plans is None:
            return {}
        found: Tolerance | None = None
        for plan, tolerance in zip(plans, outputs, strict=False):
            back = tolerance_before(plan, tolerance, value.shape)
            found = back if found is None else meet(found, back)
        return {} if found is None else {key: found}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        source, value = _source(call)
        plans = _plans(call, value)
        if plans is None or key != source:
            raise Refused
        pushed = (
            (i, labels_after(plan, piece.labels, value.shape)) for i, plan in enumerate(plans)
        )
        return {i: piece.at(labels) for i, labels in pushed if bool((labels >= 0).any())}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        _, value = _source(call)
        plans = _plans(call, value) or []
        moved = {}
        for i, plan in enumerate(plans):
            axes = [(s, axis_after(plan, s.axis, value.shape)) for s in value.supports]
            moved[i] = tuple(replace(s, axis=a) for s, a in axes if a is not None)
        return moved

    def is_identity(self, call: Call) -> bool:
        """Whether the output is the input as it is."""
        return _plans(call, _source(call)[1]) == [[]]

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        source, value = _source(call)
        plans = _plans(call, value)
        if plans is None or key != source:
            return {}
        axes = [axis_after(plan, axis, value.shape) for plan in plans]
        return {} if None in axes else {i: a for i, a in enumerate(axes) if a is not None}

    def view(self, call: Call) -> Mapping[int, View]:
        _, value = _source(call)
        found = {}
        for i, plan in enumerate(_plans(call, value) or []):
            view = view_after(plan, value.view, value.shape)
            if view is not None:
                found[i] = view
        return found


def _source(call: Call) -> tuple[Key, Value]:
    return next(call.values())


def _plans(call: Call, value: Value) -> list[Plan] | None:
    """Steps from the input to every output."""
    name, shape = call.record.op.removesuffix("_"), value.shape
    ndim = len(shape)
    if name in ("dropout", "native_dropout"):
        active = call.get("train", call.get("training", True)) is not False
        return None if active and call.get("p", 0.0) else [[]]
    if name in _SAME:
        dtype = call.get("dtype")
        if dtype is not None and not dtype.is_floating_point:
            return None
        return [[]]
    if name in _RESHAPES:
        return [[Reshape(call.shape)]]
    if name in _EXPANDS:
        return [[Expand(call.shape)]]
    if name in _PERMUTES:
        return [[Permute(_order(call, ndim))]]
    if name in _TAKES:
        return [_taken(call, name, shape)]
    axis = call.get("dim", 0) % ndim
    start, plans = 0, []
    for result in call.shapes:
        if result is None:
            return None
        length = 1 if name == "unbind" else result[axis]
        plan: Plan = [Take(axis, np.arange(start, start + length))]
        plans.append([*plan, Reshape(result)] if name == "unbind" else plan)
        start += length
    return plans if start == shape[axis] else None


def _order(call: Call, ndim: int) -> tuple[int, ...]:
    """The old axis of every new one: the op itself says it, on axes of different sizes."""
    marked = torch.empty(tuple(range(2, 2 + ndim)), device="meta")
    record = call.record
    result = record.target(marked, *record.args[1:], **record.kwargs)
    return tuple(size - 2 for size in result.shape)


def _taken(call: Call, name: str, shape: tuple[int, ...]) -> Plan:
    ndim = len(shape)
    if name == "flip":
        return [Take(d % ndim, np.arange(shape[d % ndim])[::-1]) for d in call["dims"]]
    if name == "roll":
        if not call["dims"]:
            raise Refused
        return [
            Take(d % ndim, np.roll(np.arange(shape[d % ndim]), shift))
            for d, shift in zip(call["dims"], call["shifts"], strict=True)
        ]
    axis = call["dim"] % ndim
    if name == "select":
        position = call["index"] % shape[axis]
        return [Take(axis, np.array([position])), Reshape(call.shape)]
    start = call["start"] or 0
    start = start + shape[axis] if start < 0 else start
    step = call.get("step", 1)
    return [Take(axis, start + step * np.arange(call.shape[axis]))]
