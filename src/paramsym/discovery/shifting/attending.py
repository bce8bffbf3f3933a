"""Attention as one op: softmax(Q Kᵀ + mask) V."""

from collections.abc import Mapping
from dataclasses import replace

from paramsym.discovery.labels import Labels
from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.tolerance import (
    Tolerance,
    constant_along,
    explicit,
    joined_along,
)
from paramsym.discovery.shifting.values import Piece, Support, Value


@op("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_attention_math")  # fmt: skip
class Attention(Op):
    """The softmax removes what is the same for all keys; its rows average the values."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        key, value, output = call["key"], call["value"], outputs[0]
        ndim = len(key.shape)
        found = {("key", 0): constant_along(ndim, [-2], "softmax")}
        mask = call.get("attn_mask", call.get("attn_bias"))
        if isinstance(mask, Value) and mask.moves:
            name = "attn_mask" if "attn_mask" in call.arguments else "attn_bias"
            lead = len(mask.shape)
            found[name, 0] = constant_along(lead, [-1], "softmax")
        if not call.get("dropout_p", 0.0):
            spread = range(len(call.shape) - 1)
            if all(output.frees(a) for a in spread) and len(value.shape) == len(call.shape):
                back = joined_along(output, spread)
                free = frozenset(range(ndim - 1)) | ({ndim - 1} & output.free)
                found["value", 0] = Tolerance(back.labels, free, output.cause)
        return found

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        if key[0] != "value" or call.get("dropout_p", 0.0):
            raise Refused
        labels = piece.labels
        if labels.shape[-2] > 1:
            raise Refused
        return {0: piece.at(_repeated(labels, call))}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        if call.get("dropout_p", 0.0):
            return {}
        last = len(call["value"].shape) - 1
        kept = (s for s in call["value"].supports if s.axis == last)
        return {0: tuple(replace(s, axis=len(call.shape) - 1) for s in kept)}


def _repeated(labels: Labels, call: Call) -> Labels:
    """Labels of the values, for the heads of the queries, which share them."""
    if labels.ndim < 3 or labels.shape[-3] == 1:
        return labels
    repeats = call.shape[-3] // labels.shape[-3]
    return labels.repeat(repeats, axis=labels.ndim - 3)


assert explicit
