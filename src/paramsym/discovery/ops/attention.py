"""Attention as one op: softmax(Q Kᵀ + mask) V."""

from paramsym.discovery.labels import Layer, Value, map_layers, pad_left
from paramsym.discovery.ops.linear import matrix_product
from paramsym.discovery.ops.registry import Call, Result, rule


@rule(
    "scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_attention_math",
)  # fmt: skip
def attention(call: Call) -> Result:
    """Queries and keys are dual, head by head; the scores are pinned; values pass.

    Dropout multiplies the probabilities by a random mask, which values do not notice.
    """
    query, key, value = call["query"], call["key"], call["value"]
    for name in ("attn_mask", "attn_bias"):
        mask = call.get(name)
        if isinstance(mask, Value):
            call.facts.pin(mask)
    if len(query.shape) > 2:
        heads = query.shape[-3]
        key, value = _shared(key, heads), _shared(value, heads)
    scores_shape = (*query.shape[:-1], key.shape[-2])
    scores = matrix_product(call, query, _mT(key), scores_shape)
    call.facts.pin(scores)
    return call.outputs(matrix_product(call, Value(scores_shape), value, call.shape))


def _shared(value: Value, heads: int) -> Value:
    """Keys or values once for every query head: grouped queries share them."""
    repeats = heads // value.shape[-3]
    if repeats == 1:
        return value
    shape = (*value.shape[:-3], heads, *value.shape[-2:])
    layers = map_layers(value, lambda x: x.repeat_interleave(repeats, -3))
    return Value(shape, layers)


def _mT(value: Value) -> Value:
    shape = (*value.shape[:-2], value.shape[-1], value.shape[-2])
    layers = pad_left(value.layers, len(shape))
    return Value(shape, tuple(Layer(x.labels.swapaxes(-1, -2), x.exponent) for x in layers))
