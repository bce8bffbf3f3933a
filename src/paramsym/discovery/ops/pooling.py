"""Pooling and resampling over positions."""

from paramsym.discovery.labels import Layer
from paramsym.discovery.ops.registry import Call, Result, rule


@rule(
    "max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices",
    "max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d",
)  # fmt: skip
def max_pool(call: Call) -> Result:
    """Homogeneous of degree 1 in every channel; nothing mixes."""
    call.facts.isolate_all(call["self"])
    return _over_positions(call)


@rule("max_unpool2d", "max_unpool3d")
def max_unpool(call: Call) -> Result:
    """Maxima back where they were, zeros elsewhere."""
    call.facts.pin(call["indices"])
    return max_pool(call)


@rule(
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d",
    "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d",
)  # fmt: skip
def average_pool(call: Call) -> Result:
    """Linear, and the same in every channel."""
    return _over_positions(call)


def _over_positions(call: Call) -> Result:
    value = call["self"] if "self" in call.arguments else call["input"]
    lead = len(value.shape) - _pooled_axes(call)
    positions = tuple(range(lead, len(value.shape)))
    layers = []
    for layer in value.layers:
        if layer.labels.ndim == len(value.shape):
            layer = Layer(call.facts.constant_along(layer, positions), layer.exponent)
        call.facts.use(layer.labels, ())
        layers.append(layer)
    return call.outputs(call.output(layers))


def _pooled_axes(call: Call) -> int:
    return next(int(d) for d in "123" if f"{d}d" in call.record.op)
