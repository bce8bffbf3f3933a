"""Sums, products, powers, and activations, entry by entry."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from paramsym.discovery.combinations import added, combination_of, scaled, settled
from paramsym.discovery.labels import Layer, Value, map_layers, pad_left
from paramsym.discovery.ops.contraction import Operand, contract
from paramsym.discovery.ops.gains import may_be_gain, multiplied
from paramsym.discovery.ops.registry import STOPS_GRADIENT, Call, Result, rule

EPS_LIMIT = 1e-3
"""Largest constant added to a norm that counts as its ε."""


def add(call: Call, left: Value, right: Value, alpha: float = 1) -> Value:
    """left + alpha·right: their scales agree, and corresponding coordinates transform alike."""
    facts = call.facts
    shape = tuple(np.broadcast_shapes(left.shape, right.shape))
    combination = None
    if left.layers and right.layers:
        combination = added(left, right, alpha, lambda: _unify(call, left, right))
    if combination is None:
        left, right = settled(left, facts), settled(right, facts)
    if right.is_zero or left.is_zero:
        other = left if right.is_zero else right
        facts.treat_alike(other)
        return Value(shape, pad_left(other.layers, len(shape)))
    if not left.layers or not right.layers:
        facts.pin(left)
        facts.pin(right)
        return Value(shape)
    a, b = pad_left(left.layers, len(shape)), pad_left(right.layers, len(shape))
    facts.balance(*a, *(-layer for layer in b))
    if combination is None:
        _unify(call, left, right)
    kept = _centred(a, b, left, right)
    if kept is None:
        kept = min(a, b, key=lambda ls: (len(ls), sum(x.labels.size for x in ls)))
    return Value(shape, kept, combination=combination)


def _unify(call: Call, left: Value, right: Value) -> None:
    """Corresponding coordinates of two summands transform alike."""
    facts, ndim = call.facts, max(len(left.shape), len(right.shape))
    a, b = pad_left(left.layers, ndim), pad_left(right.layers, ndim)
    pairs = _matching(a, b)
    for x, y in pairs:
        facts.unify(x.labels, y.labels, dual=x.exponent * y.exponent < 0)
        facts.use(x.labels, ())
        facts.use(y.labels, ())
    paired = {id(layer) for pair in pairs for layer in pair}
    centred = _centred(a, b, left, right) or ()
    for layer in (*a, *b):
        if id(layer) in paired:
            continue
        if layer.axes and any(layer is x for x in centred):
            facts.centre(layer.labels, ())
        else:
            facts.isolate(layer.labels)


def _centred(
    a: tuple[Layer, ...], b: tuple[Layer, ...], left: Value, right: Value
) -> tuple[Layer, ...] | None:
    """The layers of the summand, if any, to whose vectors the other one adds the same number in
    every coordinate, so that the sum has the coordinates of the first."""
    paired = {id(layer) for pair in _matching(a, b) for layer in pair}
    alone = [[x for x in layers if x.axes and id(x) not in paired] for layers in (a, b)]
    for own, others, layers, other in ((*alone, a, right), (*alone[::-1], b, left)):
        extent = [1] * (layers[0].labels.ndim - len(other.shape)) + other.varies()
        if own and not others and all(extent[axis] == 1 for x in own for axis in x.axes):
            return layers
    return None


def _matching(a: tuple[Layer, ...], b: tuple[Layer, ...]) -> list[tuple[Layer, Layer]]:
    """Pairs of layers along the same axes, best overlap first, each layer once."""
    candidates = sorted(
        (-len(set(x.axes) & set(y.axes)), -max(x.axes), i, j)
        for i, x in enumerate(a)
        for j, y in enumerate(b)
        if set(x.axes) == set(y.axes) and x.axes and abs(x.exponent) == abs(y.exponent)
    )
    pairs: list[tuple[Layer, Layer]] = []
    used_a: set[int] = set()
    used_b: set[int] = set()
    for _, _, i, j in candidates:
        if i not in used_a and j not in used_b:
            used_a.add(i)
            used_b.add(j)
            pairs.append((a[i], b[j]))
    return pairs


@rule("add", "sub", "subtract", "rsub", combines=True)
def add_or_subtract(call: Call) -> Result:
    """Sums and differences; adding a number other than 0 pins."""
    left, right, alpha = call["self"], call["other"], call.get("alpha", 1)
    if not isinstance(right, Value) or alpha == 0:
        left = settled(left, call.facts)
        right = settled(right, call.facts) if isinstance(right, Value) else right
        call = replace(call, arguments={**call.arguments, "self": left, "other": right})
    if not isinstance(right, Value):
        if right == 0 or alpha == 0:
            call.facts.treat_alike(left)
            return call.output(left.layers) if call.record.op != "rsub" else call.pin()
        if left.is_norm and abs(right * alpha) <= EPS_LIMIT:
            call.facts.guard(call.index, "other", left)
            return call.output(left.layers, is_norm=True)
        if may_be_gain(left) and call.record.op != "rsub":
            offset = right * alpha if call.record.op == "add" else -right * alpha
            call.facts.pin(left)  # its scale: that of 1 + γ is none of γ
            return call.output(left.layers, parameter=left.parameter, offset=left.offset + offset)
        return call.pin()
    if alpha == 0:
        return call.refuse()
    if call.record.op == "rsub":
        left, right = right, left
    return add(call, left, right, alpha if call.record.op == "add" else -alpha)


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


@rule("pow")
def power(call: Call) -> Result:
    """x^p for a number p."""
    exponent = call.get("exponent")
    if not isinstance(call.get("self"), Value) or isinstance(exponent, Value | type(None)):
        return call.pin()
    return power_of(call, call["self"], float(exponent))


@rule("square", "sqrt", "rsqrt", "reciprocal")
def fixed_power(call: Call) -> Result:
    """x², √x, 1/√x, 1/x."""
    exponent = {"square": 2.0, "sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1.0}[call.record.op]
    return power_of(call, call["self"], exponent)


def power_of(call: Call, value: Value, exponent: float) -> Value:
    """Exponents multiply. A square waits for what reads it: a sum makes it a norm."""
    if exponent == 0:
        return call.output()
    layers = tuple(Layer(x.labels, x.exponent * exponent) for x in value.layers)
    if exponent == 2 and all(abs(x.exponent) == 1 for x in value.layers):
        return call.output(layers, is_square=True)
    if exponent != 1:
        call.facts.isolate_all(value)
    return call.output(layers, is_norm=value.is_norm)


@rule(
    "clone", "alias", "contiguous", "_to_copy", "to", "lift_fresh", "lift_fresh_copy",
    "positive", "identity", "type_as", "feature_dropout", "alpha_dropout", combines=True,
)  # fmt: skip
def identity(call: Call) -> Result:
    """Ops that change no entry."""
    dtype = call.get("dtype")
    value = call["self"] if "self" in call.arguments else call["input"]
    unclear = call.get("train")  # alpha and feature dropout in training
    if unclear or (dtype is not None and not (dtype.is_floating_point or dtype.is_complex)):
        value = settled(value, call.facts)
        return call.refuse() if unclear else call.pin()
    return call.output(value.layers, constant=value.constant, parameter=value.parameter,
                       offset=value.offset, is_norm=value.is_norm,
                       combination=combination_of(value))  # fmt: skip


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


@rule("detach")
def detach(call: Call) -> Result:
    """Training does not see through it, so that no law would hold of what it reads."""
    return call.refuse(STOPS_GRADIENT)


@rule("dropout", "native_dropout")
def dropout(call: Call) -> Result:
    """A random mask in training keeps scales and breaks mixing."""
    value = call["input"]
    if call["train"] and call["p"] > 0:
        call.facts.isolate_all(value)
    return call.outputs(call.output(value.layers))


@rule("relu", "leaky_relu", "abs", "rrelu", "rrelu_with_noise")
def homogeneous(call: Call) -> Result:
    """Positively homogeneous of degree 1: scales pass, nothing mixes."""
    call.facts.isolate_all(call["self"])
    return call.output(call["self"].layers)


@rule("clamp", "clamp_min", "clip")
def clamp(call: Call) -> Result:
    """ReLU when the bound is 0 from below; an ε when it guards a norm; otherwise pins."""
    value, low = call["self"], call["min"]
    if call.get("max") is not None or isinstance(low, Value):
        return call.pin()
    if low == 0:
        return homogeneous(call)
    if value.is_norm and low is not None and 0 < low <= EPS_LIMIT:
        call.facts.guard(call.index, "min", value)
        return call.output(value.layers, is_norm=True)
    return call.pin()


@rule("glu")
def gated(call: Call) -> Result:
    """a · sigmoid(b) of the halves a, b of an axis: scales of a pass, b is pinned."""
    value, dim = call["self"], call["dim"]
    half = value.shape[dim] // 2
    a, b = (map_layers(value, lambda x, k=k: x.narrow(dim, k, half)) for k in (0, half))
    for layers in (a, b):
        for layer in layers:
            call.facts.isolate(layer.labels)
    call.facts.balance(*b)
    return call.output(a)


@rule("_prelu_kernel", "prelu")
def prelu(call: Call) -> Result:
    """Homogeneous in its input; the learned slope is fixed."""
    call.facts.pin(call["weight"])
    return homogeneous(call)


@rule("maximum", "minimum", "fmax", "fmin")
def larger_or_smaller(call: Call) -> Result:
    """Homogeneous of degree 1 in both arguments together."""
    left, right = call["self"], call["other"]
    call.facts.isolate_all(left)
    call.facts.isolate_all(right)
    if left.is_zero or right.is_zero:
        kept = right if left.is_zero else left
        return call.output(pad_left(kept.layers, len(call.shape)))
    return add(call, left, right)


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


@rule("gt", "lt", "ge", "le", "sign", "signbit")
def sign(call: Call) -> Result:
    """Signs are unchanged by positive scalings; other comparisons pin."""
    bound = call.get("other", 0)
    zero = bound.is_zero if isinstance(bound, Value) else bound == 0
    if not zero:
        return call.pin()
    call.facts.isolate_all(call["self"])
    return call.output()


@rule(
    "tanh", "sigmoid", "gelu", "silu", "softplus", "elu", "selu", "celu", "mish", "hardswish",
    "hardsigmoid", "hardtanh", "relu6", "clamp_max", "exp", "expm1", "log", "log1p", "log2",
    "log10", "exp2", "sin", "cos", "tan", "erf", "erfc", "asinh", "atan", "sinh", "cosh", "asin",
    "acos", "log_sigmoid", "log_sigmoid_forward", "hardshrink", "softshrink", "threshold", "floor",
    "ceil", "round", "trunc", "frac", "isnan", "isinf", "logit", "softmax", "_softmax",
    "log_softmax", "_log_softmax", "logsumexp", "eq", "ne", "logical_not",
    "_local_scalar_dense", "argmax", "argmin",
)  # fmt: skip
def pointwise(call: Call) -> Result:
    """Known activations, heads and comparisons without a linear symmetry: they pin."""
    return call.pin()


@rule("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
def constant_like(call: Call) -> Result:
    """Only the shape is read."""
    name = call.record.op
    fill = 0.0 if "zeros" in name else 1.0 if "ones" in name else call["fill_value"]
    if isinstance(fill, Value):
        return call.pin()
    return call.output(constant=torch.tensor(fill).expand(call.shape))


@rule("empty_like", "new_empty", "rand_like", "randn_like", "randint_like")
def like(call: Call) -> Result:
    """Only the shape is read."""
    return call.output()
