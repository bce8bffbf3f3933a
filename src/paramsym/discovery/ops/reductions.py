"""Sums, means, norms, and extrema along axes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from paramsym.discovery.labels import Layer, Value, first_along, pad_left
from paramsym.discovery.ops.registry import Call, Result, rule


@rule("sum", "mean", reads_squares=True)
def total(call: Call) -> Result:
    """A sum of squares lets only rotations mix what it sums; other sums what fixes the mean."""
    value = call["self"]
    return reduce(call, value, call.get("dim"), call.get("keepdim", False))


@rule("var", "std", "var_mean", "std_mean")
def spread(call: Call) -> Result:
    """Homogeneous of degree 2 or 1; only rotations that fix the mean pass."""
    value, dims, keepdim = call["self"], call.get("dim"), call.get("keepdim", False)
    degree = 2 if call.record.op.startswith("var") else 1
    powers = tuple(Layer(x.labels, x.exponent * degree) for x in value.layers)
    deviation = reduce(call, replace(value, layers=powers, is_square=True), dims, keepdim)
    mean = reduce(call, replace(value, is_square=False), dims, keepdim)
    return call.outputs(replace(deviation, is_norm=True), mean)[: len(call.shapes)]


@rule("linalg_vector_norm", "norm")
def norm(call: Call) -> Result:
    """The Euclidean norm; other norms are homogeneous but let nothing mix."""
    value = call["self"]
    euclidean = call.get("ord", call.get("p")) in (None, 2)
    if not euclidean:
        call.facts.isolate_all(value)
    dims, keepdim = call.get("dim"), call.get("keepdim", False)
    reduced = reduce(call, replace(value, is_square=euclidean), dims, keepdim)
    return replace(reduced, is_norm=True)


@rule("amax", "amin", "max", "min")
def extremum(call: Call) -> Result:
    """Homogeneous of degree 1; nothing mixes."""
    value = call["self"]
    if isinstance(call.get("other"), Value):
        return call.refuse()
    call.facts.isolate_all(value)
    reduced = reduce(call, value, call.get("dim"), call.get("keepdim", False))
    return call.outputs(reduced)


def reduce(call: Call, value: Value, dims: Any, keepdim: bool) -> Value:
    """The sum along some axes, or whatever scales and mixes like it; of squares a norm."""
    facts, ndim = call.facts, len(value.shape)
    dims = list(range(ndim)) if dims is None or dims == [] else np.atleast_1d(dims).tolist()
    axes = tuple(d % ndim for d in dims)
    kept = tuple(a for a in range(ndim) if a not in axes)
    if value.product is not None:
        return call.output(_without(value.product(axes), () if keepdim else axes))
    layers = pad_left(value.layers, ndim)
    reduced = [layer for layer in layers if set(layer.axes) & set(axes)]
    rest = [layer for layer in layers if not set(layer.axes) & set(axes)]
    if value.is_square and len(reduced) == 1:
        facts.use(reduced[0].labels, kept, rotated=True)
    elif len(reduced) == 1 and abs(reduced[0].exponent) == 1:
        facts.centre(reduced[0].labels, kept)
    else:
        for layer in reduced:
            facts.isolate(layer.labels)
    for layer in rest:
        if value.is_square:
            facts.isolate(layer.labels)
        else:
            facts.use(layer.labels, ())
    if reduced:
        # The label of the sum is new: it stands for a scale and mixes with nothing.
        shapes = [first_along(layer.labels, axes).shape for layer in reduced]
        total = Layer(facts.fresh(np.broadcast_shapes(*shapes)))
        facts.balance(*reduced, -total)
        facts.isolate(total.labels)
        rest.append(total)
    return call.output(_without(rest, () if keepdim else axes), is_norm=value.is_square)


def _without(layers: Sequence[Layer], axes: tuple[int, ...]) -> list[Layer]:
    """Layers without some axes, which have size 1."""
    return [Layer(np.squeeze(x.labels, axes), x.exponent) for x in layers]
