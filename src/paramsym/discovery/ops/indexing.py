"""Reading and writing at indices.

Known indices move entries. Where indices are data, an entry may come from anywhere along the
indexed axes: scales do not vary along them, and nothing mixes along them; other axes pass.
"""

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from paramsym.discovery.labels import (
    FIXED,
    Layer,
    Value,
    compress,
    full_labels,
    map_layers,
    pad_left,
)
from paramsym.discovery.ops.choices import either
from paramsym.discovery.ops.registry import Call, Result, rule
from paramsym.discovery.ops.sums import add


def anywhere(call: Call, value: Value, axes: tuple[int, ...]) -> tuple[Layer, ...]:
    """Layers of entries that come from anywhere along some axes, which become of size 1."""
    layers = []
    for layer in pad_left(value.layers, len(value.shape)):
        labels = layer.labels
        if set(layer.axes) & set(axes):
            labels = call.facts.constant_along(layer, axes)
        layers.append(Layer(labels, layer.exponent))
    return tuple(layers)


@rule("index_select")
def index_select(call: Call) -> Result:
    """Slices along one axis."""
    value, dim, index = call["self"], call["dim"], call["index"]
    chosen = _known(index)
    if chosen is not None:
        return call.output(map_layers(value, lambda x: x.index_select(dim, chosen)))
    call.facts.pin(index)
    stand_in = _stand_in(call, value, index)
    if stand_in is not None and dim == 0:
        return _matrices(call, value, stand_in)
    return call.output(anywhere(call, value, (dim % len(value.shape),)))


@rule("gather", "take_along_dim")
def gather(call: Call) -> Result:
    """Entries chosen along one axis, for every place of the index."""
    value, dim = call["self"], call["dim"]
    index = call["index"] if "index" in call.arguments else call["indices"]
    if dim is None or len(value.shape) != len(index.shape):
        return call.refuse()
    call.facts.pin(index)
    layers = anywhere(call, value, (dim % len(value.shape),))
    _apart(call, layers, index)
    return call.output(_cut(layers, call.shape))


def _apart(call: Call, layers: tuple[Layer, ...], index: Value) -> None:
    """Where an index varies along the axis of a vector, its coordinates come from several."""
    varies = tuple(a for a, size in enumerate(index.varies()) if size > 1)
    for layer in layers:
        call.facts.use(layer.labels, varies)


def _cut(layers: tuple[Layer, ...], shape: tuple[int, ...]) -> list[Layer]:
    """The first entries along every axis."""
    kept = tuple(slice(0, size) for size in shape)
    return [Layer(compress(x.labels[kept]), x.exponent) for x in layers]


@rule("index", "_unsafe_index")
def index(call: Call) -> Result:
    """`x[…]` with tensors of indices or masks."""
    value, indices = call["self"], call["indices"]
    if not isinstance(value, Value):
        return call.refuse()
    chosen = [None if i is None else _known(i) for i in indices]
    if all((i is None) == (c is None) for i, c in zip(indices, chosen, strict=True)):
        for layer in value.layers:  # several indices may take coordinates of different vectors
            if layer.axes and sum(i is not None for i in indices) > 1:
                call.facts.isolate(layer.labels)
        known: list[Tensor | None] = chosen
        return call.output(map_layers(value, lambda x: torch.ops.aten.index.Tensor(x, known)))
    for i in indices:
        if isinstance(i, Value):
            call.facts.pin(i)
    stand_in = _stand_in(call, value, indices[0])
    if stand_in is not None and all(i is None for i in indices[1:]):
        return _matrices(call, value, stand_in)
    axes = _indexed(value.shape, call.shape, indices)
    if axes is None:
        return call.refuse()
    layers = []
    for layer in anywhere(call, value, axes.read):
        kept = [layer.labels.shape[a] for a in range(layer.labels.ndim) if a not in axes.read]
        layers.append(Layer(layer.labels.reshape(axes.place(kept)), layer.exponent))
    return call.output(layers)


def _stand_in(call: Call, value: Value, index: Any) -> Tensor | None:
    """Indices that may choose matrices of a stack."""
    is_stack = value.parameter in call.facts.stacks
    return index.stand_in if is_stack and isinstance(index, Value) else None


def _matrices(call: Call, value: Value, chosen: Tensor) -> Result:
    """Matrices of a stack, each with its own labels."""
    return call.output(map_layers(value, lambda x: x[chosen]), parameter=value.parameter)


@final
@dataclass(frozen=True)
class _Axes:
    """Axes that indices read, and where the axes of the result that they make stand."""

    read: tuple[int, ...]
    start: int
    count: int

    def place(self, kept: list[int]) -> list[int]:
        """Sizes of the other axes, with axes of size 1 for the indices."""
        return [*kept[: self.start], *[1] * self.count, *kept[self.start :]]


def _indexed(shape: tuple[int, ...], result: tuple[int, ...], indices: list[Any]) -> _Axes | None:
    """What `x[indices]` reads: one axis each index, or all axes of a mask; else `None`."""
    given = [(axis, i) for axis, i in enumerate(indices) if i is not None]
    read = tuple(axis for axis, _ in given)
    count = max(len(i.shape) for _, i in given)
    beside = read == tuple(range(read[0], read[0] + len(read)))
    if len(result) == len(shape) - len(read) + count:
        # Indices that are not beside one another put their axes in front.
        return _Axes(read, read[0] if beside else 0, count)
    if len(given) == 1 and len(result) == len(shape) - count + 1:
        return _Axes(tuple(range(read[0], read[0] + count)), read[0], 1)
    return None


def _known(index: Any) -> Tensor | None:
    if not isinstance(index, Value) or index.constant is None:
        return None
    return None if index.constant.device.type == "meta" else index.constant


@rule("index_add", "index_copy", "index_reduce")
def index_write(call: Call) -> Result:
    """Slices added to, or put in the place of, slices that data choose."""
    value, source, dim = call["self"], call["source"], call["dim"] % len(call.shape)
    call.facts.pin(call["index"])
    if call.record.op == "index_reduce":
        return call.refuse()
    layers = anywhere(call, source, (dim,))
    shape = tuple(1 if a == dim else size for a, size in enumerate(call.shape))
    return _written(call, value, Value(shape, layers), (dim,), adds=call.record.op == "index_add")


@rule("scatter", "scatter_add", "scatter_reduce")
def scatter(call: Call) -> Result:
    """Entries put, added or otherwise reduced where data say, along one axis; along the others they
    stay where they are."""
    value, dim, source = call["self"], call["dim"] % len(call.shape), call.get("src")
    index, how = call["index"], call.get("reduce")
    call.facts.pin(index)
    if not isinstance(source, Value) or how not in (None, "sum", "mean", "amax", "amin"):
        return call.pin() if isinstance(call.get("value"), int | float) else call.refuse()
    if source.layers and source.shape != index.shape:
        return call.refuse()
    beside = tuple(a for a in range(len(call.shape)) if a != dim)
    whole = all(source.shape[a] == call.shape[a] for a in beside)
    layers = anywhere(call, source, (dim,) if whole else tuple(range(len(call.shape))))
    if not whole or how not in (None, "sum", "mean"):
        call.facts.isolate_all(value)
        call.facts.isolate_all(source)
    else:
        _apart(call, layers, index)
        if value.layers:
            _apart(call, pad_left(value.layers, len(call.shape)), index)
    shape = tuple(call.shape[a] if whole and a != dim else 1 for a in range(len(call.shape)))
    adds = how is not None or call.record.op.startswith("scatter_add")
    places = (dim, *(a for a in beside if index.varies()[a] > 1))
    return _written(call, value, Value(shape, layers), places if whole else (dim,), adds=adds)


@rule("index_put", "_unsafe_index_put", "_index_put_impl")
def index_put(call: Call) -> Result:
    """`x[…] = values`, or `+=`, at indices of the first axes, or at a mask of one axis."""
    value, indices, source = call["self"], call["indices"], call["values"]
    for i in indices:
        if isinstance(i, Value):
            call.facts.pin(i)
    count = len(indices)
    single_axes = count > 1 or all(i is None or len(i.shape) <= 1 for i in indices)
    kept = len(value.shape) - count
    if any(i is None for i in indices) or not single_axes:
        return call.refuse()
    if len(source.shape) < kept:
        shape = (1,) * (kept - len(source.shape)) + source.shape
        source = replace(
            source, shape=shape, constant=None if not source.is_zero else torch.zeros(shape)
        )
    lead = len(source.shape) - kept
    layers = [
        Layer(x.labels.reshape((1,) * count + x.labels.shape[lead:]), x.exponent)
        for x in anywhere(call, source, tuple(range(lead)))
    ]
    placed = Value(
        (1,) * count + source.shape[lead:],
        tuple(layers),
        constant=torch.zeros((1,) * count + source.shape[lead:]) if source.is_zero else None,
    )
    return _written(call, value, placed, tuple(range(count)), adds=bool(call["accumulate"]))


def _written(
    call: Call, value: Value, source: Value, axes: tuple[int, ...], *, adds: bool
) -> Value:
    """`value` with `source` added or put somewhere along some axes."""
    if adds:
        result = add(call, value, source)
    else:
        place = tuple(size if a in axes else 1 for a, size in enumerate(call.shape))
        result = either(call, Value(place), source, value)
    return call.output(pad_left(result.layers, len(call.shape)))


@rule("slice_scatter", "select_scatter", "diagonal_scatter")
def write_view(call: Call) -> Result:
    """`x` with a part replaced: the same op, run on the labels. Data are fixed entries, and zeros
    are vectors of any space."""
    value, source, ndim = call["self"], call["src"], len(call.shape)
    axis = None if call.record.op == "diagonal_scatter" else call["dim"] % ndim
    layers = pad_left(value.layers, ndim)
    written = source.layers
    if call.record.op == "select_scatter" and axis is not None:
        written = tuple(
            Layer(np.expand_dims(x.labels, axis), x.exponent)
            for x in pad_left(source.layers, ndim - 1)
        )
    for layer in (*layers, *written):
        if axis is None or axis in layer.axes:
            call.facts.isolate(layer.labels)
        else:
            call.facts.use(layer.labels, ())
    if axis is not None and source.is_zero:
        return call.output(layers)
    if value.is_zero and not any(axis is None or axis in layer.axes for layer in written):
        return call.output(written)
    exponents = {tuple(x.exponent for x in v.layers) for v in (value, source) if v.layers}
    if len(exponents) > 1:
        return call.refuse()
    names = [a.name for a in call.record.target._schema.arguments]  # type: ignore[attr-defined]
    rest = {name: call[name] for name in names[2:]}
    found = []
    for k, exponent in enumerate(next(iter(exponents))):
        whole, part = (_layer_or_fixed(v, k) for v in (value, source))
        labels = call.record.target(whole, part, **rest)
        found.append(Layer(compress(labels.numpy()), exponent))
    return call.output(found)


def _layer_or_fixed(value: Value, k: int) -> Tensor:
    labels = value.layers[k].labels if value.layers else np.array(FIXED, dtype=np.int64)
    return full_labels(labels, value.shape)


@rule("sort", "topk", "kthvalue", "median", "nanmedian", "mode", "cummax", "cummin")
def order(call: Call) -> Result:
    """Order along an axis: homogeneous of degree 1 along it; nothing mixes. Which entry is which
    does not change."""
    value = call["self"]
    call.facts.isolate_all(value)
    dim = call.get("dim")
    if dim is None or not value.shape:
        call.facts.pin(value)
        return call.outputs()
    axis = dim % len(value.shape)
    layers = anywhere(call, value, (axis,))
    if len(call.shape) < len(value.shape):
        layers = tuple(Layer(np.squeeze(x.labels, axis), x.exponent) for x in layers)
    return call.outputs(call.output(layers))


@rule("argsort", "msort")
def argsort(call: Call) -> Result:
    """As `order`; only the positions are returned by `argsort`."""
    if call.record.op == "msort":
        return call.refuse()
    value = call["self"]
    call.facts.isolate_all(value)
    anywhere(call, value, (call.get("dim", -1) % len(value.shape),))
    return call.output()
