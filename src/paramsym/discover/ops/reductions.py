"""Sums, means, norms, and extrema along axes."""

from typing import Any

import numpy as np

from paramsym.discover.labels import Layer, Value, first_along
from paramsym.discover.ops.registry import Call, Result, rule


@rule("sum", "mean", reads_squares=True)
def total(call: Call) -> Result:
    """A sum of squares lets only rotations mix what it sums; other sums let nothing."""
    value = call["self"]
    return _reduce(call, value, call.get("dim"), call.get("keepdim", False))


@rule("linalg_vector_norm", "norm")
def norm(call: Call) -> Result:
    """The Euclidean norm; other norms are homogeneous but let nothing mix."""
    value = call["self"]
    order = call.get("ord", call.get("p"))
    spaces = [layer for layer in value.layers if layer.axes]
    if order in (None, 2) and len(spaces) == 1:
        value = Value(value.shape, value.layers, square=spaces[0])
    else:
        call.facts.isolate_all(value)
    return _reduce(call, value, call.get("dim"), call.get("keepdim", False))


@rule("amax", "amin", "max", "min")
def extremum(call: Call) -> Result:
    """Homogeneous of degree 1; nothing mixes."""
    value = call["self"]
    if isinstance(call.get("other"), Value):
        return call.refuse()
    call.facts.isolate_all(value)
    reduced = _reduce(call, value, call.get("dim"), call.get("keepdim", False))
    return call.outputs(reduced)


def _reduce(call: Call, value: Value, dims: Any, keepdim: bool) -> Value:
    facts, ndim = call.facts, len(value.shape)
    dims = list(range(ndim)) if dims is None or dims == [] else np.atleast_1d(dims).tolist()
    axes = tuple(d % ndim for d in dims)
    kept = tuple(a for a in range(ndim) if a not in axes)
    layers = []
    rotates = False
    for layer in value.layers:
        labels = layer.labels.reshape((1,) * (ndim - layer.labels.ndim) + layer.labels.shape)
        layer = Layer(labels, layer.exponent)
        square = value.square is not None and _same(value.square.labels, labels)
        if set(layer.axes) & set(axes):
            # A reduced label is new: it stands for a scale and mixes with nothing.
            sum_scale = Layer(facts.fresh(first_along(labels, axes).shape))
            facts.balance(layer, -sum_scale)
            if square:
                facts.use(labels, kept, rotated=True)
                rotates = True
            else:
                facts.isolate(labels)
            layer = sum_scale
        elif square:
            facts.isolate(labels)
        else:
            facts.use(labels, ())
        layers.append(layer)
    if not keepdim:
        layers = [
            Layer(x.labels.reshape([x.labels.shape[a] for a in kept]), x.exponent) for x in layers
        ]
    return call.output(layers, is_norm=rotates)


def _same(a: Any, b: Any) -> bool:
    return a.size == b.size and bool((a.ravel() == b.ravel()).all())
