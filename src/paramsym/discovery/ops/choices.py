"""Masks and choices between values, entry by entry."""

import numpy as np
import torch

from paramsym.discovery.labels import Value, pad_left
from paramsym.discovery.ops.contraction import Operand, contract
from paramsym.discovery.ops.registry import Call, Result, rule
from paramsym.discovery.ops.sums import add


def masked(call: Call, value: Value, mask: Value) -> Value:
    """The value times a mask that is data: its coordinates mix where the mask does not vary."""
    shape = tuple(np.broadcast_shapes(value.shape, mask.shape))
    extents = [[1] * (len(shape) - len(v.shape)) + v.varies() for v in (value, mask)]
    layers = contract(
        call.facts,
        Operand(pad_left(value.layers, len(shape)), extents[0], value.parameter),
        Operand((), extents[1]),
    )
    return Value(shape, layers, constant=value.constant if value.is_zero else None)


def either(call: Call, condition: Value, left: Value, right: Value) -> Value:
    """Entries of one value or the other: their scales agree; a zero takes any scale."""
    call.facts.pin(condition)
    return add(call, masked(call, left, condition), masked(call, right, condition))


@rule("where")
def where(call: Call) -> Result:
    """Entries of one or the other."""
    left, right = _tensor(call.get("self")), _tensor(call.get("other"))
    if left is None or right is None:
        return call.refuse()
    chosen = either(call, call["condition"], left, right)
    return call.output(pad_left(chosen.layers, len(call.shape)))


def _tensor(argument: Value | float | None) -> Value | None:
    """A number as a constant of no axes."""
    if isinstance(argument, Value) or argument is None:
        return argument
    return Value((), constant=torch.tensor(argument))


@rule("masked_fill")
def masked_fill(call: Call) -> Result:
    """A fill with 0 is a mask."""
    call.facts.pin(call["mask"])
    fill = call["value"]
    zero = fill.is_zero if isinstance(fill, Value) else fill == 0
    if not zero:
        return call.pin()
    return call.output(masked(call, call["self"], call["mask"]).layers)


@rule("lerp")
def interpolate(call: Call) -> Result:
    """(1 − w) x + w y."""
    left, right, weight = call["self"], call["end"], call["weight"]
    if isinstance(weight, Value):
        return call.output(pad_left(either(call, weight, left, right).layers, len(call.shape)))
    return add(call, left, right)
