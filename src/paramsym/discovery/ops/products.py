"""Products and quotients, entry by entry."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from paramsym.discovery.combinations import scaled, settled
from paramsym.discovery.labels import Value, merge, pad_left
from paramsym.discovery.ops.complexes import times_number, unpaired
from paramsym.discovery.ops.contraction import Operand, contract
from paramsym.discovery.ops.gains import multiplied
from paramsym.discovery.ops.powers import power_of
from paramsym.discovery.ops.registry import Call, Result, rule
from paramsym.discovery.ops.sums import add
from paramsym.discovery.pending import read_by_entries
from paramsym.discovery.sampling import numbers


@rule("mul", "multiply", "div", "divide", "true_divide", combines=True, holds_pairs=True)
def multiply(call: Call) -> Result:
    """Products and quotients: exponents add; coordinates mix where the other does not vary."""
    divides = not call.record.op.startswith("mul")
    if any(value.holds_pairs for value in call.values()):
        found = _turned(call, divides=divides)
        if found is not None:
            return found
        arguments = {
            name: unpaired(settled(x, call.facts), call.facts) if isinstance(x, Value) else x
            for name, x in call.arguments.items()
        }
        call = replace(call, arguments=arguments)
    left, right = call["self"], call["other"]
    if call.get("rounding_mode") is None:
        if not isinstance(right, Value):
            factor = 1 / right if divides and right != 0 else right
            return _times_constant(call, left, factor, lambda: call.facts.treat_alike(left))
        if left.is_zero or (right.is_zero and not divides):
            return product_of(call, left, right, divides=divides)
        for value, other in ((left, right), *([] if divides else [(right, left)])):
            number = numbers(other)
            if value.layers and number is not None and value.shape == call.shape:
                factor = 1 / number if divides else number
                return _times_constant(call, value, factor, partial(_key, call, value, other))
    left = settled(left, call.facts)
    right = settled(right, call.facts) if isinstance(right, Value) else right
    if call.get("rounding_mode") is not None:
        return call.refuse()
    if call["self"] is call["other"]:
        return call.output() if divides else power_of(call, left, 2.0)
    return product_of(call, left, right, divides=divides)


def product_of(call: Call, left: Value, right: Value, *, divides: bool) -> Value:
    """left · right or left / right: of two tensors."""
    if left is right:
        return call.output() if divides else power_of(call, left, 2.0)
    if left.is_zero or (right.is_zero and not divides):  # as the first state of a recurrence
        return call.output(constant=torch.zeros(()).expand(call.shape))
    both = left.parameter is not None and right.parameter is not None
    if not divides and not both:
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
    factors = (
        Operand(a, extents[0], left.parameter),
        Operand(b, extents[1], None if divides else right.parameter),
    )
    layers = merge([*a, *b])
    if a and b and layers and not divides:  # a sum may read it, as one reads matrix products
        return call.output(layers, product=partial(contract, call.facts, *factors))
    return call.output(contract(call.facts, *factors))


def _turned(call: Call, *, divides: bool) -> Value | None:
    """Pairs times a complex constant."""
    left, right = call["self"], call["other"]
    for value, other in ((left, right), *([] if divides else [(right, left)])):
        if not isinstance(value, Value) or not isinstance(other, Value) or not value.holds_pairs:
            continue
        number = numbers(other)
        if number is not None:
            return times_number(call, value, 1 / number if divides else number)
    return None


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
    call: Call, value: Value, factor: Tensor | complex, fact: Callable[[], None]
) -> Value:
    """The value times a constant, which states a fact now or at the end of a combination."""
    combination = scaled(value, factor, fact)
    if combination is None:
        settled(value, call.facts)
        fact()
    layers = pad_left(value.layers, len(call.shape))
    return call.output(layers, is_norm=value.is_norm, combination=combination)


@rule("addcmul", "addcdiv")
def add_product(call: Call) -> Result:
    """x + value · a b, or a / b."""
    left, right = call["tensor1"], call["tensor2"]
    shape = tuple(np.broadcast_shapes(left.shape, right.shape))
    inner = replace(call, shapes=(shape,))
    product = product_of(inner, left, right, divides=call.record.op == "addcdiv")
    return add(call, call["self"], read_by_entries(product, call.facts), call["value"])
