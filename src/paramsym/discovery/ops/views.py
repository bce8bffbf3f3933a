"""Ops that move entries: the same op, run on the labels."""

import torch
from torch import Tensor

from paramsym.discovery.labels import Layer, Value, compress, full_labels, map_layers
from paramsym.discovery.ops.registry import Call, Result, rule

_EXPANSIONS = ("expand", "expand_as", "broadcast_to")


@rule(
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "unsqueeze", "squeeze",
    "expand", "slice", "select", "split", "split_with_sizes", "unsafe_split",
    "unsafe_split_with_sizes", "chunk", "unsafe_chunk", "unbind", "flip", "roll", "repeat",
    "repeat_interleave", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "flatten",
    "unflatten", "narrow", "unfold", "movedim", "expand_as", "view_as", "swapaxes", "tile",
    "diagonal", "_reshape_alias", "numpy_T", "mT", "adjoint", "swapdims", "moveaxis", "ravel",
    "broadcast_to", "tensor_split", "hsplit", "vsplit", "dsplit", "fliplr", "flipud", "rot90",
    "atleast_1d", "atleast_2d", "atleast_3d",
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

    pieces = [run(full_labels(layer.labels, value.shape)) for layer in value.layers]
    outputs: list[Value | None] = []
    for i, shape in enumerate(call.shapes):
        assert shape is not None
        layers = tuple(
            Layer(compress(piece[i].numpy()), layer.exponent)
            for piece, layer in zip(pieces, value.layers, strict=True)
        )
        extent = _expanded(value, shape) if call.record.op in _EXPANSIONS else None
        outputs.append(Value(shape, layers, parameter=value.parameter, extent=extent))
    return outputs


def _expanded(value: Value, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes along the axes of an expansion, 1 where it repeats its entries."""
    return tuple([1] * (len(shape) - len(value.shape)) + value.varies())


@rule("index_select")
def index_select(call: Call) -> Result:
    """A constant index moves entries; another one may read along unlabelled axes only."""
    value, dim, index = call["self"], call["dim"], call["index"]
    if isinstance(index, Value) and index.constant is not None:
        chosen = index.constant
        return call.output(map_layers(value, lambda x: x.index_select(dim, chosen)))
    if any(dim % len(value.shape) in layer.axes for layer in value.layers):
        return call.refuse()
    return call.output(value.layers)


@rule("index")
def index(call: Call) -> Result:
    """Constant indices move entries."""
    value, indices = call["self"], call["indices"]
    chosen = [i.constant if isinstance(i, Value) else i for i in indices]
    constant = all(
        c is not None or i is None for c, i in zip(chosen, indices, strict=True)
    ) and not any(c is not None and c.device.type == "meta" for c in chosen)
    if not constant or not isinstance(value, Value):
        return call.refuse()
    return call.output(map_layers(value, lambda x: torch.ops.aten.index.Tensor(x, chosen)))


@rule("tril", "triu")
def triangle(call: Call) -> Result:
    """A fixed mask."""
    call.facts.isolate_all(call["self"])
    return call.output(call["self"].layers)
