"""Concatenation, stacking, padding."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from paramsym.discovery.combinations import joined, settled
from paramsym.discovery.labels import FIXED, Layer, Value, compress, map_layers, pad_left
from paramsym.discovery.ops.registry import Call, Result, rule
from paramsym.discovery.ops.transforms import along


@rule("cat", "concat", "concatenate", combines=True)
def cat(call: Call) -> Result:
    """Labels are concatenated; entries without a label are fixed."""
    values = [v for v in call["tensors"] if v.shape != (0,)]
    dim = call["dim"] % len(call.shape)
    return _join(call, values, values, dim, lambda parts: torch.cat(parts, dim))


@rule("stack", combines=True)
def stack(call: Call) -> Result:
    """As concatenation along a new axis."""
    dim = call["dim"] % len(call.shape)
    lifted = [
        Value(
            (*v.shape[:dim], 1, *v.shape[dim:]),
            tuple(Layer(np.expand_dims(x.labels, dim), x.exponent) for x in v.layers),
        )
        for v in call["tensors"]
    ]
    values = call["tensors"]
    return _join(call, values, lifted, dim, lambda parts: torch.stack(parts, dim))


def _join(
    call: Call,
    given: list[Value],
    values: list[Value],
    dim: int,
    join: Callable[[list[Tensor]], Tensor],
) -> Result:
    """Layers of equal exponent are laid side by side, those along the same axes first; a value
    that has none of the kind has fixed entries there. Coordinates of different parts do not mix,
    even if they were of one space: the parts may come from different vectors of it."""

    def apart() -> None:
        for value in given:
            call.facts.treat_alike(value)

    combination = joined(given, join, apart)
    if combination is None:
        for value in given:
            settled(value, call.facts)
        apart()
    kinds: list[float] = []
    for value in values:
        for exponent in {x.exponent for x in value.layers}:
            wanted = sum(x.exponent == exponent for x in value.layers)
            kinds += [exponent] * (wanted - kinds.count(exponent))
    left = [list(pad_left(value.layers, len(call.shape))) for value in values]
    layers = []
    for exponent in kinds:
        parts = []
        axes: tuple[int, ...] | None = None
        for value, rest in zip(values, left, strict=True):
            same = [x for x in rest if x.exponent == exponent]
            labels = np.full([1] * len(call.shape), FIXED)
            if same:
                chosen = next((x for x in same if x.axes == axes), same[0])
                rest[:] = [x for x in rest if x is not chosen]
                axes, labels = chosen.axes, chosen.labels
            parts.append(np.broadcast_to(labels, _with(labels.shape, dim, value.shape[dim])))
        common = np.broadcast_shapes(*(_with(p.shape, dim, 1) for p in parts))
        spread = [np.broadcast_to(p, _with(common, dim, p.shape[dim])) for p in parts]
        layers.append(Layer(compress(np.concatenate(spread, dim)), exponent))
    return call.output(layers, combination=combination)


def _with(shape: tuple[int, ...], dim: int, size: int) -> tuple[int, ...]:
    return (*shape[:dim], size, *shape[dim + 1 :])


@rule("constant_pad_nd", "pad")
def constant_pad(call: Call) -> Result:
    """Zeros around the entries; where labels vary the zeros are fixed entries."""
    value, widths = call["self"], list(call["pad"])
    ndim = len(value.shape)
    if call.get("mode", "constant") != "constant":  # by what is there
        return call.output(along(call, value, range(ndim - len(widths) // 2, ndim)))
    if (call["value"] or 0) != 0:
        return call.pin()
    padded = {ndim - 1 - i // 2 for i, width in enumerate(widths) if width}
    layers = []
    for layer in value.layers:
        axes = {a + ndim - layer.labels.ndim for a in layer.axes}
        if axes & padded or (axes and min(widths) < 0):
            pad = partial(torch.nn.functional.pad, pad=widths, value=FIXED)
            (layer,) = map_layers(Value(value.shape, (layer,)), pad)
        layers.append(layer)
    return call.output(layers)
