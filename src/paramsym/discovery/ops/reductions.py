"""Sums, means, norms, and extrema along axes."""

from typing import Any

import numpy as np

from paramsym.discovery.labels import Layer, Value, first_along, pad_left
from paramsym.discovery.ops.registry import Call, Result, rule


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
    layers, reduced = [], []
    rotates = False
    for layer in pad_left(value.layers, ndim):
        labels = layer.labels
        square = value.square is not None and _same(value.square.labels, labels)
        if set(layer.axes) & set(axes):
            if square:
                facts.use(labels, kept, rotated=True)
                rotates = True
            else:
                facts.isolate(labels)
            reduced.append(layer)
            continue
        if square:
            facts.isolate(labels)
        else:
            facts.use(labels, ())
        layers.append(layer)
    if reduced:
        # The label of the sum is new: it stands for a scale and mixes with nothing.
        shapes = [first_along(layer.labels, axes).shape for layer in reduced]
        total = Layer(facts.fresh(np.broadcast_shapes(*shapes)))
        facts.balance(*reduced, -total)
        facts.isolate(total.labels)
        layers.append(total)
    if not keepdim:
        layers = [
            Layer(x.labels.reshape([x.labels.shape[a] for a in kept]), x.exponent) for x in layers
        ]
    return call.output(layers, is_norm=rotates)


def _same(a: Any, b: Any) -> bool:
    return a.size == b.size and bool((a.ravel() == b.ravel()).all())
