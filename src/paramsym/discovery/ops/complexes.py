"""Complex tensors, which take real scales and real matrices like any other.

A product with a complex constant also turns the planes of real and imaginary parts. To see this, a
tensor that is made of pairs is followed as its pairs (`Value.holds_pairs`) for as long as nothing
else than such products and views reads it.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from paramsym.discovery.combinations import combination_of, settled, turned, viewed
from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import Layer, Value, first_along, pad_left
from paramsym.discovery.ops.joining import stack
from paramsym.discovery.ops.registry import Call, Result, rule


@rule("view_as_complex", combines=True)
def of_pairs(call: Call) -> Result:
    """Pairs along the last axis: both parts have the same scale."""
    return _paired(call, call["self"])


def _paired(call: Call, value: Value) -> Value:
    last = len(value.shape) - 1
    layers = pad_left(value.layers, last + 1)
    for layer in layers:
        call.facts.balance(layer, Layer(first_along(layer.labels, (last,)), -layer.exponent))
    return Value(value.shape, layers, combination=combination_of(value), holds_pairs=True)


@rule("view_as_real", combines=True, holds_pairs=True)
def to_pairs(call: Call) -> Result:
    """Real and imaginary parts, along a new last axis."""
    value = call["self"]
    if value.holds_pairs:
        return replace(value, holds_pairs=False)
    layers = pad_left(value.layers, len(value.shape))
    return call.output([Layer(x.labels[..., None], x.exponent) for x in layers])


@rule("complex")
def of_parts(call: Call) -> Result:
    """a + ib."""
    shape = (*call.shape, 2)
    parts = {"tensors": [call["real"], call["imag"]], "dim": -1}
    joined = stack(replace(call, arguments=parts, shapes=(shape,)))
    assert isinstance(joined, Value)
    return _paired(call, joined)


@rule("polar")
def polar(call: Call) -> Result:
    """r (cos φ + i sin φ): the scale of r passes."""
    call.facts.pin(call["angle"])
    call.facts.isolate_all(call["abs"])
    return call.output(pad_left(call["abs"].layers, len(call.shape)))


@rule("real", "imag", combines=True, holds_pairs=True)
def part(call: Call) -> Result:
    """One part of pairs."""
    value = call["self"]
    if not value.holds_pairs:
        return real_linear(replace(call, arguments={"self": settled(value, call.facts)}))
    call.facts.treat_alike(value)
    which = 0 if call.record.op == "real" else 1
    layers = [
        Layer(x.labels[..., min(which, x.labels.shape[-1] - 1)], x.exponent) for x in value.layers
    ]
    return call.output(layers, combination=viewed(value, lambda x: x[..., which]))


@rule("conj", "_conj", "conj_physical", "_neg_view")
def real_linear(call: Call) -> Result:
    """The same real-linear map of every entry."""
    call.facts.treat_alike(call["self"])
    return call.output(call["self"].layers)


@rule("resolve_conj", "resolve_neg")
def resolved(call: Call) -> Result:
    """No entry changes."""
    return call.output(call["self"].layers)


@rule("angle", "sgn")
def direction(call: Call) -> Result:
    """Unchanged by positive scales."""
    call.facts.isolate_all(call["self"])
    return call.output()


def unpaired(value: Value, facts: Facts) -> Value:
    """A complex value as such: real and imaginary parts do not mix."""
    if not value.holds_pairs:
        return value
    shape, last = value.shape[:-1], len(value.shape) - 1
    layers = []
    for layer in pad_left(value.layers, last + 1):
        labels = facts.constant_along(layer, (last,))
        layers.append(Layer(np.squeeze(labels, last), layer.exponent))
    return Value(shape, tuple(layers))


def times_number(call: Call, value: Value, factor: Tensor) -> Value | None:
    """Pairs times complex constants, which turn their planes; `None` where it is not known how."""
    shape = value.shape[:-1]
    if factor.device.type == "meta" or torch.broadcast_shapes(factor.shape, shape) != shape:
        return None
    fact = partial(call.facts.isolate_all, value)
    combination = turned(value, factor, fact)
    return None if combination is None else replace(value, combination=combination)
