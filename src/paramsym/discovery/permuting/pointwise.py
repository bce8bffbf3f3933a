"""Ops that treat every entry alike: they commute with permutations, and some with signs."""

from numbers import Number
from typing import Any

from paramsym.discovery.permuting.aligning import Pairing, cut, pair
from paramsym.discovery.permuting.registry import Call, Result, Value, rule, without_signs
from paramsym.discovery.permuting.spaces import uniform

ODD = (
    "neg", "tanh", "sin", "asin", "atan", "sinh", "asinh", "tan", "atanh", "erf", "erfinv", "sign",
    "sgn", "trunc", "round", "hardshrink", "softshrink", "reciprocal", "clone", "_to_copy", "to",
    "alias", "contiguous", "detach", "lift", "lift_fresh", "lift_fresh_copy", "positive",
    "_autocast_to_full_precision", "_autocast_to_reduced_precision", "to_dtype",
)  # fmt: skip
"""σ(−z) = −σ(z); copies among them."""

EVEN = ("abs", "cos", "cosh", "square")
"""σ(−z) = σ(z)."""

UNTAGGED = (
    "hardswish", "log_sigmoid", "masked_fill", "floor_divide", "_prelu_kernel", "isnan", "isinf",
    "isfinite", "where", "fill", "hardsigmoid",
)  # fmt: skip
"""Entrywise ops that torch does not tag as such."""


@rule(*ODD)
def odd(call: Call) -> Result:
    """Signs pass."""
    value = next(iter(call.values()))
    return call.only(call.settle(value), of_parameter=value.of_parameter and _copies(call))


def _copies(call: Call) -> bool:
    return call.record.op in ("clone", "_to_copy", "to", "alias", "contiguous", "detach")


@rule(*EVEN)
def even(call: Call) -> Result:
    """Signs vanish."""
    return call.only(without_signs(call.settle(next(iter(call.values())))))


@rule("pow")
def power(call: Call) -> Result:
    """Integer powers are odd or even; others are neither."""
    base, exponent = call["self"], call["exponent"]
    if not isinstance(base, Value) or not isinstance(exponent, int | float):
        return entrywise(call)
    axes = call.settle(base)
    if exponent % 2 == 0:
        return call.only(without_signs(axes))
    return call.only(axes if exponent % 2 == 1 else call.even(axes))


@rule("clamp", "hardtanh", "clip")
def clamp(call: Call) -> Result:
    """Odd between symmetric bounds."""
    low = call.get("min", call.get("min_val"))
    high = call.get("max", call.get("max_val"))
    if isinstance(low, int | float) and isinstance(high, int | float) and low == -high:
        return odd(call)
    return entrywise(call)


@rule("add", "sub", "rsub")
def add(call: Call) -> Result:
    """Summands change sign together; a number keeps them from it."""
    values = call.values()
    axes = call.broadcast(values, Pairing.ADDED)
    numbers = [call.get(k) for k in ("self", "other") if isinstance(call.get(k), Number)]
    return call.only(axes if all(x == 0 for x in numbers) else call.even(axes))


@rule("mul", "div", "true_divide")
def multiply(call: Call) -> Result:
    """Signs multiply."""
    if call.get("rounding_mode") is not None:
        return entrywise(call)
    return call.only(call.broadcast(call.values(), Pairing.MULTIPLIED))


@rule("masked_fill", "where")
def choose(call: Call) -> Result:
    """Signs pass where the other choice is 0, or changes sign too."""
    mask = call["mask"] if "mask" in call.arguments else call["condition"]
    names = ("self", "value", "other")
    choices = [call[k] for k in names if k in call.arguments]
    plain = Value(call.even(mask.axes))
    values = [x for x in choices if isinstance(x, Value)]
    zero = all(x == 0 for x in choices if not isinstance(x, Value))
    axes = call.broadcast(values, Pairing.ADDED) if values else tuple(map(uniform, call.shape))
    axes = axes if zero else call.even(axes)
    return call.only(call.broadcast([Value(axes), plain], Pairing.MULTIPLIED))


@rule("glu")
def glu(call: Call) -> Result:
    """Half of an axis times the sigmoid of the other half."""
    dim = call["dim"] % len(call["self"].axes)
    axes = list(call.settle(call["self"]))
    half = call.shape[dim]
    left, right = cut(call.spaces, axes[dim], (half, half))
    # A sign along another axis is one of both halves.
    axes = [axis if d == dim else call.spaces.even(axis) for d, axis in enumerate(axes)]
    axes[dim] = pair(call.spaces, left, call.spaces.even(right), Pairing.MULTIPLIED)
    return call.only(axes)


@rule("prelu")
def prelu(call: Call) -> Result:
    """One slope for all, or one a channel."""
    value, weight = call["self"], call["weight"]
    axes = list(call.even(call.settle(value)))
    slopes = call.even(call.settle(weight))
    if weight.shape and weight.shape[0] > 1:
        dim = 1 if len(axes) > 1 else 0
        axes[dim] = pair(call.spaces, axes[dim], slopes[0], Pairing.ADDED)
    return call.only(axes)


@rule(
    "zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "empty_like",
    "new_zeros", "new_ones", "new_full", "new_empty", "scalar_tensor",
)  # fmt: skip
def factory(call: Call) -> Result:
    """All entries are the same; nothing is read but a shape, and a number that may be a tensor."""
    fill: Any = call.get("fill_value")
    if isinstance(fill, Value) and not fill.is_fixed:
        return call.refuse()
    return call.only([uniform(size) for size in call.shape])


@rule(*(op for op in UNTAGGED if op not in ("masked_fill", "where")))
def entrywise(call: Call) -> Result:
    """Any function of corresponding entries; nothing may change sign."""
    axes = call.broadcast(
        [Value(call.even(call.settle(v))) for v in call.values()], Pairing.MULTIPLIED
    )
    return [Value(axes) if shape is not None else None for shape in call.shapes]


@rule("softmax", "_softmax", "log_softmax", "_log_softmax")
def softmax(call: Call) -> Result:
    """Commutes with permutations of every axis."""
    axes = call.even(call.settle(call["self"]))
    call.note_statistics(axes, [call["dim"] % max(len(axes), 1)])
    return call.only(axes)
