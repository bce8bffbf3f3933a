"""Products and quotients, entry by entry."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from paramsym.discovery.combinations import scaled, settled
from paramsym.discovery.labels import Value, pad_left
from paramsym.discovery.ops.contraction import Operand, contract
from paramsym.discovery.ops.gains import multiplied
from paramsym.discovery.ops.powers import power_of
from paramsym.discovery.ops.registry import Call, Result, rule


@rule("mul", "multiply", "div", "divide", "true_divide", combines=True)
def multiply(call: Call) -> Result:
    """Products and quotients: exponents add; coordinates mix where the other does not vary."""
    left, right = call["self"], call["other"]
    divides = not call.record.op.startswith("mul")
    if call.get("rounding_mode") is None:
        if not isinstance(right, Value):
            factor = 1 / right if divides and right != 0 else right
            return _times_constant(call, left, factor, lambda: call.facts.treat_alike(left))
        for value, other in ((left, right), *([] if divides else [(right, left)])):
            if value.layers and other.constant is not None and value.shape == call.shape:
                factor = 1 / other.constant if divides else other.constant
                return _times_constant(call, value, factor, partial(_key, call, value, other))
    left = settled(left, call.facts)
    right = settled(right, call.facts) if isinstance(right, Value) else right
    if call.get("rounding_mode") is not None:
        return call.refuse()
    if left is right or call["self"] is call["other"]:
        return call.output() if divides else power_of(call, left, 2.0)
    if not divides:
        for value, gain in ((left, right), (right, left)):
            product = multiplied(call, value, gain)
            if product is not None:
                return product
    ndim = len(call.shape)
    a, b = pad_left(left.layers, ndim), pad_left(right.layers, ndim)
    if divides:
        for layer in b:
            call.facts.isolate(layer.labels)
        b = tuple(-layer for layer in b)
    extents = [[1] * (ndim - len(v.shape)) + v.varies() for v in (left, right)]
    return call.output(
        contract(
            call.facts,
            Operand(a, extents[0], left.parameter),
            Operand(b, extents[1], None if divides else right.parameter),
        )
    )


def _key(call: Call, value: Value, other: Value) -> None:
    """The coordinates of a value mix where what multiplies it does not vary."""
    padded = [1] * (len(value.shape) - len(other.shape)) + other.varies()
    for layer in pad_left(value.layers, len(value.shape)):
        call.facts.use(layer.labels, tuple(a for a, size in enumerate(padded) if size > 1))


@rule("neg", "negative", combines=True)
def negative(call: Call) -> Result:
    """Linear, and the same in every entry."""
    value = call["self"]
    return _times_constant(call, value, -1.0, lambda: call.facts.treat_alike(value))


def _times_constant(
    call: Call, value: Value, factor: Tensor | float, fact: Callable[[], None]
) -> Value:
    """The value times a constant, which states a fact now or at the end of a combination."""
    combination = scaled(value, factor, fact)
    if combination is None:
        settled(value, call.facts)
        fact()
    layers = pad_left(value.layers, len(call.shape))
    return call.output(layers, is_norm=value.is_norm, combination=combination)
