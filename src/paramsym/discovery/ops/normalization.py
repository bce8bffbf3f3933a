"""Batch, layer, group and RMS normalisation: they erase a scale, up to ε."""

import numpy as np
from torch import Tensor

from paramsym.discovery.labels import Layer, Value, first_along, pad_left
from paramsym.discovery.ops.elementwise import add
from paramsym.discovery.ops.registry import Call, Result, rule


@rule("_native_batch_norm_legit_functional", "_native_batch_norm_legit", "native_batch_norm",
      "batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")  # fmt: skip
def batch_norm(call: Call) -> Result:
    """In training a channel's scale is erased; in evaluation the running statistics, which no
    parameter moves, pin the channel."""
    value = call["input"]
    training = call.get("training", "no_training" not in call.record.op)
    if training:
        channel = tuple(a for a in range(len(value.shape)) if a != 1)
        _erase(call, value, channel)
    else:
        call.facts.pin(value)
    return call.outputs(_affine(call, _channel_shape(value)))


@rule("instance_norm")
def instance_norm(call: Call) -> Result:
    """As batch normalisation, sample by sample."""
    value = call["input"]
    if call["use_input_stats"]:
        _erase(call, value, tuple(range(2, len(value.shape))))
    else:
        call.facts.pin(value)
    return call.outputs(_affine(call, _channel_shape(value)))


@rule("_weight_norm", "_weight_norm_interface")
def weight_norm(call: Call) -> Result:
    """g · v/‖v‖ by rows: the scale of every row of v is erased, exactly."""
    value, gain, dim = call["v"], call["g"], call["dim"]
    ndim = len(value.shape)
    rows = () if dim == -1 else (dim % ndim,)
    _erase(call, value, tuple(a for a in range(ndim) if a not in rows), eps=None)
    call.facts.isolate_all(gain)
    return call.outputs(call.output(pad_left(gain.layers, ndim)))


@rule("layer_norm", "native_layer_norm")
def layer_norm(call: Call) -> Result:
    """A sample's scale is erased; the mean that is subtracted lets nothing mix."""
    value, normalized = call["input"], len(call["normalized_shape"])
    ndim = len(value.shape)
    _erase(call, value, tuple(range(ndim - normalized, ndim)))
    return call.outputs(_affine(call, value.shape[ndim - normalized :]))


@rule("group_norm", "native_group_norm")
def group_norm(call: Call) -> Result:
    """As layer normalisation, group of channels by group."""
    value = call["input"]
    groups = call.get("num_groups", call.get("group"))
    n, channels = value.shape[:2]
    if value.layers:
        call.facts.isolate_all(value)
        split = [
            Layer(np.broadcast_to(x.labels, value.shape).reshape(n, groups, channels // groups, -1),
                  x.exponent)
            for x in value.layers
        ]  # fmt: skip
        first = [Layer(x.labels[:, :, :1, :1], -x.exponent) for x in split]
        call.facts.balance(*split, *first)
        call.facts.guard(call.index, "eps", value)
    return call.outputs(_affine(call, _channel_shape(value)))


def _erase(call: Call, value: Value, axes: tuple[int, ...], *, eps: str | None = "eps") -> None:
    """The scale is constant along the normalised axes, and is lost there, up to an ε if any."""
    if not value.layers:
        return
    layers = pad_left(value.layers, len(value.shape))
    first = [Layer(first_along(x.labels, axes), -x.exponent) for x in layers]
    call.facts.balance(*layers, *first)
    call.facts.isolate_all(value)
    if eps is not None:
        call.facts.guard(call.index, eps, value)


def _channel_shape(value: Value) -> tuple[int, ...]:
    return (value.shape[1],) + (1,) * (len(value.shape) - 2)


def _affine(call: Call, shape: tuple[int, ...]) -> Value:
    """The gain and the bias, viewed in `shape`."""
    weight, bias = call["weight"], call["bias"]
    if weight is None:
        if bias is not None:
            call.facts.pin(bias)
        return call.output()
    call.facts.isolate_all(weight)
    result = call.output(_viewed(weight, shape))
    if bias is None:
        return result
    lifted = Value(shape, _viewed(bias, shape), constant=_constant(bias, shape))
    return add(call, result, lifted)


def _viewed(value: Value, shape: tuple[int, ...]) -> tuple[Layer, ...]:
    return tuple(
        Layer(x.labels.reshape(shape if x.labels.size > 1 else (1,) * len(shape)), x.exponent)
        if len(value.shape) == 1
        else x
        for x in value.layers
    )


def _constant(value: Value, shape: tuple[int, ...]) -> Tensor | None:
    return None if value.constant is None else value.constant.reshape(shape)
