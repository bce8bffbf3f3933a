"""The walk: spaces from the parameters through the recorded calls to the outputs."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from paramsym.discovery.arguments import mapped
from paramsym.discovery.permuting import (
    contracting,
    normalising,
    pointwise,
    shaping,
    transforming,
)
from paramsym.discovery.permuting.registry import RULES, Call, Result, Value
from paramsym.discovery.permuting.spaces import Axis, Factor, Spaces, fixed, uniform
from paramsym.discovery.recording import TORCH, Record, Recording, Ref

# They register their rules.
assert all((contracting, normalising, pointwise, shaping, transforming))


@final
@dataclass(frozen=True)
class Axes:
    """What a walk found.

    Attributes:
        spaces: All spaces, and what was stated about them.
        parameters: The axes of every parameter that is used, by canonical name.
        values: The axes of every value of the run.
    """

    spaces: Spaces
    parameters: dict[str, tuple[Axis, ...]]
    values: tuple[tuple[Axis, ...], ...]


def walk(recording: Recording, *, strict: bool = False) -> Axes:
    """Give every axis of every parameter a space, and carry the spaces through the calls.

    Args:
        recording: The run.
        strict: Raise where a rule fails on arguments that it does not foresee, instead of refusing
            the call.
    """
    spaces = Spaces()
    unused = set(recording.unused)
    parameters = {
        p.name: tuple(_fresh(spaces, size) for size in p.shape)
        for p in recording.parameters
        if p.is_real and p.name not in unused
    }
    values: dict[int, Value] = {
        **{i: Value(_constant_axes(x)) for i, x in recording.constants.items()},
        **{i: _data(recording.shapes[i]) for i in recording.inputs},
    }
    for i, name in recording.parameter_ids.items():
        axes = parameters.get(name)
        values[i] = _data(recording.shapes[i]) if axes is None else Value(axes, of_parameter=True)
    seen = [value.axes for value in values.values()]
    for position, record in enumerate(recording.records):
        outputs = _run(position, record, recording, values, spaces, strict)
        for i, value in zip(record.outputs, outputs, strict=False):
            if i is not None:
                values[i] = value if value is not None else _data(recording.shapes[i])
                seen.append(values[i].axes)
    for i in recording.outputs:
        for axis in values[i].axes:
            spaces.fix_axis(spaces.even(axis))
    return Axes(spaces, parameters, tuple(seen))


def _fresh(spaces: Spaces, size: int) -> Axis:
    return fixed(size) if size < 2 else ((Factor(spaces.new(size), size, spaces.unknown()),),)


def _data(shape: tuple[int, ...]) -> Value:
    return Value(tuple(map(fixed, shape)))


def _constant_axes(tensor: Tensor) -> tuple[Axis, ...]:
    """A constant may hold the same along an axis; one that is 0 now may be state, not structure."""
    known = tensor.device.type != "meta" and tensor.numel() > 0 and bool((tensor != 0).any())
    return tuple(
        uniform(size)
        if known and bool((tensor == tensor.narrow(axis, 0, 1)).all())
        else fixed(size)
        for axis, size in enumerate(tensor.shape)
    )


def _run(
    position: int,
    record: Record,
    recording: Recording,
    values: dict[int, Value],
    spaces: Spaces,
    strict: bool,
) -> list[Value | None]:
    def resolve(leaf: Any) -> Any:
        return values[leaf.id] if isinstance(leaf, Ref) else leaf

    def is_read(i: int | None) -> bool:
        return i is not None and recording.last_reads.get(i, -1) > position

    shapes = tuple(None if i is None else tuple(recording.shapes[i]) for i in record.outputs)
    arguments = mapped(resolve, record.bind())
    call = Call(record, arguments, shapes, tuple(map(is_read, record.outputs)), spaces)
    stale = [i for i in record.mutates if i not in record.outputs and is_read(i) and i in values]
    if stale:  # a write through one view of shared memory changes the others; not followed
        for i in stale:
            for axis in values[i].axes:
                spaces.fix_axis(axis)
            values[i] = _data(recording.shapes[i])
        return _listed(call.refuse())
    rule = _rule_of(record)
    if rule is None or not shapes or shapes[0] is None:
        return _listed(call.refuse())
    try:
        outputs = _listed(rule(call))
        assert all(
            value is None or value.shape == shape
            for value, shape in zip(outputs, shapes, strict=False)
        ), record.op
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError):
        # Whatever the rule stated so far only restricts, so that to refuse now is sound.
        if strict:
            raise
        return _listed(call.refuse())
    return outputs


def _rule_of(record: Record) -> Any:
    name = record.op
    tags = getattr(record.target, "tags", ())
    if name not in RULES and name.endswith("_"):
        name = name.removesuffix("_")
    if name in RULES:
        return RULES[name]
    torchs_own = getattr(record.target, "namespace", "") in TORCH
    random = torch.Tag.nondeterministic_seeded in tags
    if torchs_own and torch.Tag.pointwise in tags and not random:
        return pointwise.entrywise
    return None


def _listed(result: Result) -> list[Value | None]:
    return [result] if isinstance(result, Value) else list(result)
