"""Sums, means, norms, and extrema along axes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from paramsym.discovery.labels import Layer, Value, compress, first_along, pad_left, varying
from paramsym.discovery.ops.registry import Call, Result, rule
from paramsym.discovery.ops.sums import add

SUMMANDS = 16
"""Up to so many vectors are added one by one."""


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
    if _adds_vectors(call, value, reduced, axes):
        return call.output(_without(_added(call, value, axes[0]), () if keepdim else axes))
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


def _adds_vectors(
    call: Call, value: Value, reduced: Sequence[Layer], axes: tuple[int, ...]
) -> bool:
    """Whether a sum is one of a few vectors, written by the matrices of a stack that data choose:
    those of the experts of a token, each times its weight."""
    few = len(axes) == 1 and value.shape[axes[0]] <= SUMMANDS
    plain = call.record.op in ("sum", "mean") and not value.is_square
    return few and plain and any(_differs_by_matrix(call, layer, axes[0]) for layer in reduced)


def _differs_by_matrix(call: Call, layer: Layer, axis: int) -> bool:
    """Whether labels vary along an axis by the matrix of a stack alone, coordinates being alike."""
    coordinates = call.facts.coordinates(layer.labels)
    return coordinates is not None and axis not in varying(compress(coordinates))


def _added(call: Call, value: Value, axis: int) -> tuple[Layer, ...]:
    """The sum of the slices along an axis, one after the other; the axis stays, of size 1."""
    ndim = len(value.shape)
    shape = tuple(1 if a == axis else size for a, size in enumerate(value.shape))

    def part(k: int) -> Value:
        return Value(shape, tuple(
            Layer(x.labels.take([k], axis) if x.labels.shape[axis] > 1 else x.labels, x.exponent)
            for x in pad_left(value.layers, ndim)
        ))  # fmt: skip

    total = part(0)
    for k in range(1, value.shape[axis]):
        total = add(call, total, part(k))
    return pad_left(total.layers, ndim)


def _without(layers: Sequence[Layer], axes: tuple[int, ...]) -> list[Layer]:
    """Layers without some axes, which have size 1."""
    return [Layer(np.squeeze(x.labels, axes), x.exponent) for x in layers]
