"""Convolutions: a shift that is the same at every position passes where nothing is padded."""

from collections.abc import Mapping

import numpy as np

from paramsym.discovery.shifting.contracting import Product, through_parameter
from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.steps import Reshape
from paramsym.discovery.shifting.tolerance import Tolerance, joined_along
from paramsym.discovery.shifting.values import Piece


@op("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d")  # fmt: skip
class Convolution(Op):
    """A linear map of channels, position by position."""

    weighs = True

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        tolerance, found = outputs[0], {}
        ndim = len(call.shape)
        batched = ndim == len(call["weight"].shape)
        if not batched:
            return {}
        others = [a for a in range(ndim) if a != 1]
        if call["bias"] is not None:
            back = joined_along(tolerance, others)
            free = frozenset({0} if 1 in back.free else ())
            found["bias", 0] = back.seen_as(back.labels.reshape(-1), free, _of_channels)
        transposed = _is_transposed(call)
        if call["groups"] == 1 and not transposed and all(tolerance.frees(a) for a in others):
            back = joined_along(tolerance, others)
            labels = back.labels.reshape(-1, *[1] * (ndim - 1))
            free = frozenset(range(1, ndim)) | ({0} if 1 in back.free else set())
            found["weight", 0] = back.seen_as(labels, free, _of_channels)
        return found

    def adds(self, call: Call, key: Key) -> bool:
        """Whether an argument is no factor, but what is added."""
        return key[0] == "bias"

    def product(self, call: Call) -> Product | None:
        """The sum over channels and taps, as if positions in front of and behind the kernel were
        the same; `None` for other kinds of convolutions."""
        ndim = len(call.shape)
        batched = ndim == len(call["weight"].shape)
        if not batched or call["groups"] != 1 or _is_transposed(call):
            return None
        places = tuple(f"x{k}" for k in range(ndim - 2))
        kernel = tuple(f"k{k}" for k in range(ndim - 2))
        letters = (("b", "i", *places), ("o", "i", *kernel))
        return Product((("input", 0), ("weight", 0)), letters, ("b", "o", *places))

    def inner_taps(self, call: Call, axis: int) -> tuple[int, int]:
        """The block of taps along an axis of the weight that lie on the input, and not on padding,
        for every output."""
        k = axis - 2
        size, length = call["weight"].shape[axis], call["input"].shape[axis]
        stride, dilation = (_along(call[name], k) for name in ("stride", "dilation"))
        padding = call["padding"]
        if padding == "same":
            padding = dilation * (size - 1) // 2
        padding = 0 if padding == "valid" else _along(padding, k)
        last = stride * (call.shape[axis] - 1)
        inside = [0 <= dilation * t - padding < length - last for t in range(size)]
        taps = np.flatnonzero(inside)
        return (int(taps[0]), int(taps[-1]) + 1) if len(taps) else (0, 0)

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        """Along the channels of the output; positions are mixed."""
        is_output = key[0] in ("weight", "bias") and axis == 0
        return {0: 1} if is_output and self.product(call) is not None else {}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        ndim = len(call.shape)
        if ndim != len(call["weight"].shape):
            raise Refused
        if key[0] == "bias":
            return {0: piece.at(piece.labels.reshape(1, -1, *[1] * (ndim - 2)))}
        weight, groups = call["weight"], call["groups"]
        even = all(n == 1 for a, n in enumerate(piece.labels.shape) if a != 1)
        padding = call["padding"]
        padded = padding != "valid" and bool(
            np.any(np.atleast_1d(padding if padding != "same" else 1))
        )
        if key[0] == "weight" or weight.view is None or _is_transposed(call):
            raise Refused
        if not even or padded:
            raise Refused
        outputs, inputs = weight.shape[:2]
        view = Reshape((groups, outputs // groups, *weight.shape[1:])).view(
            weight.view, weight.shape
        )
        if view is None:
            raise Refused
        value = call.value(key)
        grouped = (value.shape[0], groups, inputs, *value.shape[2:])
        labels = Reshape(grouped).labels(piece.labels, value.shape)
        places = tuple(f"x{k}" for k in range(ndim - 2))
        kernel = tuple(f"k{k}" for k in range(ndim - 2))
        product = Product(
            (key, ("weight", 0)),
            (("b", "g", "i", *places), ("g", "o", "i", *kernel)),
            ("b", "g", "o", *places),
        )
        shape = (groups, outputs // groups, *weight.shape[1:])
        made = through_parameter(product, 0, piece.at(labels), view, shape)
        full = (call.shape[0], groups, outputs // groups, *call.shape[2:])
        return {0: made.at(Reshape(call.shape).labels(made.labels, full))}


def _of_channels(axis: int) -> int | None:
    """The axis of a bias or a weight for that of the channels."""
    return 0 if axis == 1 else None


def _along(given: int | list[int], k: int) -> int:
    """An argument's number for one of the axes of positions."""
    numbers = np.atleast_1d(given)
    return int(numbers[k if len(numbers) > 1 else 0])


def _is_transposed(call: Call) -> bool:
    return call.get("transposed", "conv_transpose" in call.record.op)
