"""Convolutions in one, two and three dimensions, grouped and transposed."""

import numpy as np

from paramsym.discovery.labels import Labels, Layer, Value, compress, merge, pad_left
from paramsym.discovery.ops.contraction import Operand, contract
from paramsym.discovery.ops.registry import Call, Result, layout, rule
from paramsym.discovery.ops.sums import add

_PLAIN = ("conv1d", "conv2d", "conv3d")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_NAMES = (*_PLAIN, *_TRANSPOSED, "convolution")


def _is_transposed(call: Call) -> bool:
    return call.record.op in _TRANSPOSED or bool(call.get("transposed", False))


@layout("weight", *_NAMES)
def kernel(call: Call, shape: tuple[int, ...], _: int) -> tuple[Layer, ...]:
    """Labels of a kernel: one for every first channel and one for every second channel of every
    group; none for positions, which a convolution ties together, nor for a lone second channel
    (depthwise kernels), which the first one says all about."""
    facts, groups, rest = call.facts, call["groups"], (1,) * (len(shape) - 2)
    first = Layer(facts.fresh((shape[0], 1, *rest)))
    if shape[1] == 1:
        return (first,)
    blocks = facts.fresh((groups, shape[1])).repeat(shape[0] // groups, axis=0)
    second = Layer(compress(blocks.reshape(shape[0], shape[1], *rest)))
    return (second,) if shape[0] == 1 else (first, second)


@rule(*_NAMES)
def convolution(call: Call) -> Result:
    """A linear map of channels, position by position."""
    name = "input" if "input" in call.arguments else "self"
    value, weight, bias = call[name], call["weight"], call["bias"]
    if len(value.shape) != len(weight.shape):  # unbatched input
        value = _batched(value)
        return _unbatched(call, _convolve(call, value, weight, bias))
    return _convolve(call, value, weight, bias)


def _convolve(call: Call, value: Value, weight: Value, bias: Value | None) -> Value:
    facts, groups, ndim = call.facts, call["groups"], len(weight.shape)
    channels = value.shape[1]
    space = (groups, 1, channels // groups)
    spatial = tuple(a for a in range(ndim) if a != 1)
    left = tuple(
        Layer(_to_space(facts.constant_along(x, spatial).reshape(-1), space), x.exponent)
        for x in pad_left(value.layers, ndim)
    )
    # The common space is (group, output in group, input in group).
    right = []
    for x in pad_left(weight.layers, ndim):
        if any(size > 1 for size in x.labels.shape[2:]):
            facts.pin(Value(weight.shape, (x,)))
            continue
        right.append(Layer(_kernel_space(call, x.labels, weight.shape, groups), x.exponent))
    outputs = weight.shape[1] if _is_transposed(call) else weight.shape[0] // groups
    layers = contract(
        facts,
        Operand(left, space, value.parameter),
        Operand(tuple(right), (groups, outputs, channels // groups), weight.parameter),
        (2,),
    )
    shape = call.shape if len(call.shape) == ndim else (1, *call.shape)
    result = Value(
        shape,
        merge(Layer(_to_channels(x.labels, groups, outputs, ndim), x.exponent) for x in layers),
    )
    if bias is None:
        return result
    column = (1, -1) + (1,) * (ndim - 2)
    lifted = tuple(Layer(x.labels.reshape(column), x.exponent) for x in bias.layers)
    extent = (1, groups * outputs) + (1,) * (ndim - 2)
    constant = None if bias.constant is None else bias.constant.reshape(extent)
    return add(call, result, Value(extent, lifted, constant=constant))


def _to_space(labels: Labels, space: tuple[int, ...]) -> Labels:
    return labels.reshape((1, 1, 1) if labels.size == 1 else space)


def _kernel_space(call: Call, labels: Labels, shape: tuple[int, ...], groups: int) -> Labels:
    full = np.broadcast_to(labels.reshape(labels.shape[:2]), shape[:2])
    blocks = full.reshape(groups, shape[0] // groups, shape[1])
    return compress(np.swapaxes(blocks, 1, 2) if _is_transposed(call) else blocks)


def _to_channels(labels: Labels, groups: int, outputs: int, ndim: int) -> Labels:
    if labels.size == 1:
        return labels.reshape((1,) * ndim)
    full = np.broadcast_to(labels, (groups, outputs, 1))
    return compress(full.reshape((1, -1) + (1,) * (ndim - 2)))


def _batched(value: Value) -> Value:
    return Value((1, *value.shape), pad_left(value.layers, len(value.shape) + 1))


def _unbatched(call: Call, value: Value) -> Value:
    layers = [Layer(x.labels.reshape(x.labels.shape[1:]), x.exponent) for x in value.layers]
    return call.output(layers)
