"""Ops that move entries: the same op, run on the labels."""

from torch import Tensor

from paramsym.discovery.labels import Layer, Value, compress, full_labels, pad_left
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


@rule("tril", "triu")
def triangle(call: Call) -> Result:
    """A fixed mask of the last two axes."""
    value = call["self"]
    layers = pad_left(value.layers, len(value.shape))
    for layer in layers:
        call.facts.use(layer.labels, (len(value.shape) - 2, len(value.shape) - 1))
    return call.output(layers)
