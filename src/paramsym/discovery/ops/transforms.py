"""Linear maps along some axes, the same for whatever stands beside them.

Along those axes the scale is constant and nothing mixes; vectors along other axes are summed with
numbers, which commutes with every matrix.
"""

from collections.abc import Sequence
from dataclasses import replace

from paramsym.discovery.labels import Layer, Value, first_along, pad_left
from paramsym.discovery.ops.registry import Call, Result, rule


def along(call: Call, value: Value, axes: Sequence[int]) -> tuple[Layer, ...]:
    """Layers behind a linear map along some axes, where they are of size 1."""
    ndim, layers = len(value.shape), []
    axes = tuple(a % ndim for a in axes)
    for layer in pad_left(value.layers, ndim):
        if set(layer.axes) & set(axes):
            layer = Layer(call.facts.constant_along(layer, axes), layer.exponent)
        call.facts.use(layer.labels, ())
        layers.append(layer)
    return tuple(layers)


@rule("cumsum")
def cumulative_sum(call: Call) -> Result:
    """Sums of all entries before."""
    return call.output(along(call, call["self"], [call["dim"]]))


@rule("_fft_r2c", "_fft_c2r", "_fft_c2c")
def fourier(call: Call) -> Result:
    """Fourier transforms."""
    return call.output(along(call, call["self"], call["dim"]))


@rule("grid_sampler_2d", "grid_sampler_3d")
def sampled(call: Call) -> Result:
    """Interpolation between positions, at places that are data."""
    value, grid = call["input"], call["grid"]
    call.facts.pin(grid)
    return call.output(along(call, value, range(2, len(value.shape))))


@rule(*(f"{kind}_pad{k}d" for kind in ("reflection", "replication") for k in (1, 2, 3)))
def mirrored(call: Call) -> Result:
    """Padding by what is there, along the last axes."""
    value, count = call["self"], len(call["padding"]) // 2
    return call.output(along(call, value, range(-count, 0)))


@rule("im2col")
def patches(call: Call) -> Result:
    """Patches as columns: every channel once for each place in the patch, channels slowest."""
    value = call["self"]
    batch, places = value.shape[:-3], call.shape[-2] // value.shape[-3]
    layers = []
    for layer in along(call, value, (-2, -1)):
        labels = layer.labels.reshape(*layer.labels.shape[: len(batch) + 1], 1)
        varies = labels.shape[-2] > 1
        layers.append(Layer(labels.repeat(places, axis=-2) if varies else labels, layer.exponent))
    return call.output(layers)


@rule("col2im")
def image(call: Call) -> Result:
    """The sum of patches where they overlap, the transpose of `im2col`."""
    value = call["self"]
    batch, channels = value.shape[:-2], call.shape[-3]
    parts = Value((*batch, channels, value.shape[-2] // channels, value.shape[-1]), tuple(
        Layer(x.labels.reshape(*x.labels.shape[:-2], channels, -1, x.labels.shape[-1]), x.exponent)
        if x.labels.shape[-2] > 1
        else Layer(x.labels[..., None, :], x.exponent)
        for x in pad_left(value.layers, len(value.shape))
    ))  # fmt: skip
    return call.output(along(call, _one_vector(call, parts), (-2, -1)))


def _one_vector(call: Call, parts: Value) -> Value:
    """What stands at one place of a patch is added to what stands at others, vector by vector."""
    place, layers = len(parts.shape) - 2, []
    for layer in parts.layers:
        if place in layer.axes:
            first = first_along(layer.labels, (place,))
            call.facts.balance(layer, Layer(first, -layer.exponent))
            call.facts.unify(layer.labels, first)
            call.facts.use(layer.labels, (place,))
            layer = Layer(first, layer.exponent)
        layers.append(layer)
    return replace(parts, layers=tuple(layers))
