"""Sums and differences, entry by entry."""

from dataclasses import replace

import numpy as np

from paramsym.discovery.combinations import added, settled
from paramsym.discovery.labels import Layer, Value, pad_left
from paramsym.discovery.ops.gains import may_be_gain
from paramsym.discovery.ops.registry import Call, Result, rule

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
    """Pairs of layers along the same axes, best overlap first, each layer once. One may vary along
    more axes, as the coordinates of concatenated tokens do, which then all are those of the other.
    """
    candidates = sorted(
        (len(set(x.axes) ^ set(y.axes)), -len(x.axes), -max(set(x.axes) & set(y.axes)), i, j)
        for i, x in enumerate(a)
        for j, y in enumerate(b)
        if x.axes and y.axes and abs(x.exponent) == abs(y.exponent)
        if set(x.axes) <= set(y.axes) or set(y.axes) <= set(x.axes)
    )
    pairs: list[tuple[Layer, Layer]] = []
    used_a: set[int] = set()
    used_b: set[int] = set()
    for *_, i, j in candidates:
        if i not in used_a and j not in used_b:
            used_a.add(i)
            used_b.add(j)
            pairs.append((a[i], b[j]))
    return pairs


def _displaced(call: Call, gain: Value, offset: float) -> Value:
    """A gain 1 + γ: it may scale, but γ may not."""
    (layer,), labels = gain.layers, None
    assert gain.parameter is not None
    if gain.offset == 0:
        labels = call.facts.displace(gain.parameter, layer.labels, offset)
    if labels is None:
        call.facts.pin(gain)
        labels = layer.labels
    return call.output([Layer(labels)], parameter=gain.parameter, offset=gain.offset + offset)


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
            return _displaced(call, left, offset)
        return call.pin()
    if alpha == 0:
        return call.refuse()
    if call.record.op == "rsub":
        left, right = right, left
    return add(call, left, right, alpha if call.record.op == "add" else -alpha)
