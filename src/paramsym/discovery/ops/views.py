"""Ops that move entries: the same op, run on the labels."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from paramsym.discovery.combinations import viewed
from paramsym.discovery.labels import FIXED, Layer, Value, compress, full_labels, pad_left
from paramsym.discovery.ops.registry import Call, Result, rule


def pairwise(run: Callable[[Tensor], list[Tensor]]) -> Callable[[Tensor], list[Tensor]]:
    """An op on complex tensors, run on labels of real and imaginary parts."""

    def on_pairs(labels: Tensor) -> list[Tensor]:
        parts = zip(run(labels[..., 0]), run(labels[..., 1]), strict=True)
        return [torch.stack(pair, -1) for pair in parts]

    return on_pairs


EXPANSIONS = ("expand", "expand_as", "broadcast_to")
"""Ops that repeat entries along axes of size 1."""


@rule(
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "unsqueeze", "squeeze",
    "expand", "slice", "select", "split", "split_with_sizes", "unsafe_split",
    "unsafe_split_with_sizes", "chunk", "unsafe_chunk", "unbind", "flip", "roll", "repeat",
    "repeat_interleave", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "flatten",
    "unflatten", "narrow", "unfold", "movedim", "expand_as", "view_as", "swapaxes", "tile",
    "diagonal", "_reshape_alias", "numpy_T", "mT", "adjoint", "swapdims", "moveaxis", "ravel",
    "broadcast_to", "tensor_split", "hsplit", "vsplit", "dsplit", "fliplr", "flipud", "rot90",
    "atleast_1d", "atleast_2d", "atleast_3d", "matrix_H", "mH", combines=True, holds_pairs=True,
)  # fmt: skip
def view(call: Call) -> Result:
    """Every output entry is one input entry."""
    value = next(iter(call.arguments.values()))
    shaped_like_another = call.record.op in ("expand_as", "view_as")
    others = [] if shaped_like_another else call.values()[1:]
    if not isinstance(value, Value) or any(other.layers for other in others):
        return call.refuse()

    def run(labels: Tensor) -> list[Tensor]:
        if call.record.op in ("view", "_unsafe_view", "_reshape_alias", "view_as"):
            return [labels.reshape(call.shape)]  # labels may lie in memory in another order
        if call.record.op == "expand_as":
            return [labels.expand(call.shape)]
        result = call.record.target(labels, *call.record.args[1:], **call.record.kwargs)
        return list(result) if isinstance(result, tuple | list) else [result]

    moved: Callable[[Tensor], list[Tensor]] = run
    if value.holds_pairs:
        if call.record.op in ("adjoint", "mH", "matrix_H"):  # they conjugate
            return call.refuse()
        moved = pairwise(run)
    if call.record.op not in _WHOLE and value.parameter not in call.facts.apart:
        _keep_vectors(call, value)
    pieces = [moved(full_labels(layer.labels, value.shape)) for layer in value.layers]
    outputs: list[Value | None] = []
    for i, shape in enumerate(call.shapes):
        assert shape is not None
        shape = (*shape, 2) if value.holds_pairs else shape
        layers = tuple(
            Layer(compress(piece[i].numpy()), layer.exponent)
            for piece, layer in zip(pieces, value.layers, strict=True)
        )
        extent = expanded(value, shape) if call.record.op in EXPANSIONS else None
        combination = viewed(value, lambda x, i=i: moved(x)[i])
        outputs.append(
            Value(shape, layers, parameter=value.parameter, offset=value.offset, extent=extent,
                  combination=combination, holds_pairs=value.holds_pairs)
        )  # fmt: skip
    return outputs


_WHOLE = (
    "view", "_unsafe_view", "reshape", "_reshape_alias", "view_as", "flatten", "unflatten", "ravel",
    "permute", "transpose", "t", "movedim", "moveaxis", "swapaxes", "swapdims", "numpy_T", "mT",
    "adjoint", "unsqueeze", "squeeze", "expand", "expand_as", "broadcast_to",
)  # fmt: skip
"""Ops that keep all entries and their order along every axis."""


def _keep_vectors(call: Call, value: Value) -> None:
    """Where labels recur along an axis, as pixels of a flattened channel do, moving entries along
    it may bring coordinates of different vectors together."""
    for layer in value.layers:
        ordered = ((a, np.sort(layer.labels, a)) for a in layer.axes)
        recur = any(
            bool(((np.diff(x, axis=a) == 0) & (np.delete(x, 0, a) != FIXED)).any())
            for a, x in ordered
        )
        if recur or (call.record.op in ("diagonal", "unfold") and layer.axes):
            call.facts.isolate(layer.labels)


def expanded(value: Value, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes along the axes of an expansion, 1 where it repeats its entries."""
    return tuple([1] * (len(shape) - len(value.shape)) + value.varies())


@rule("tril", "triu")
def triangle(call: Call) -> Result:
    """A fixed mask of the last two axes."""
    value = call["self"]
    layers = pad_left(value.layers, len(value.shape))
    for layer in layers:
        call.facts.use(layer.labels, (len(value.shape) - 2, len(value.shape) - 1))
    return call.output(layers)
