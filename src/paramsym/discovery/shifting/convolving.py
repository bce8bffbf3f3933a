"""Convolutions: a shift that is the same at every position passes where nothing is padded."""

from collections.abc import Mapping

import numpy as np

from paramsym.discovery.shifting.contracting import Product, through_parameter
from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.steps import Reshape
from paramsym.discovery.shifting.tolerance import Tolerance, joined_along
from paramsym.discovery.shifting.values import Piece


@op("conv1d", "conv2d", "conv3d", "convolution")
class Convolution(Op):
    """A linear map of channels, position by position."""

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
            found["bias", 0] = Tolerance(back.labels.reshape(-1), free, back.cause)
        transposed = call.get("transposed", False)
        if call["groups"] == 1 and not transposed and all(tolerance.frees(a) for a in others):
            back = joined_along(tolerance, others)
            labels = back.labels.reshape(-1, *[1] * (ndim - 1))
            free = frozenset(range(1, ndim)) | ({0} if 1 in back.free else set())
            found["weight", 0] = Tolerance(labels, free, back.cause)
        return found

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
        if key[0] == "weight" or weight.view is None or call.get("transposed", False):
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
