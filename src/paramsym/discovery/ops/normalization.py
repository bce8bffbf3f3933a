"""Batch, layer, group and RMS normalisation: they erase a scale, up to ε."""

import numpy as np
from torch import Tensor

from paramsym.discovery.buffers import STATISTICS
from paramsym.discovery.labels import Layer, Value, first_along, pad_left
from paramsym.discovery.ops.gains import behind_gain
from paramsym.discovery.ops.registry import Call, Result, rule
from paramsym.discovery.ops.sums import add


@rule("_native_batch_norm_legit_functional", "_native_batch_norm_legit", "native_batch_norm",
      "batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")  # fmt: skip
def batch_norm(call: Call) -> Result:
    """In training a channel's scale is erased; in evaluation the running statistics fix it, but
    for what the gain and the bias make up for, unless they move with the parameters."""
    value = call["input"]
    training = call.get("training", "no_training" not in call.record.op)
    if training:
        channel = tuple(a for a in range(len(value.shape)) if a != 1)
        _erase(call, value, channel)
    elif any(call[name] is not None and call[name].layers for name in STATISTICS):
        return call.outputs(_by_statistics(call, value))
    else:
        _about_fixed_statistics(call, value)
    return call.outputs(_affine(call, _channel_shape(value)))


def _by_statistics(call: Call, value: Value) -> Value:
    """γ (x − μ) / √(σ² + ε) + β with statistics that are labelled."""
    facts, shape = call.facts, _channel_shape(value)
    mean, variance = (_lifted(call[name], shape) for name in STATISTICS)
    centred = add(call, value, mean, alpha=-1)
    facts.isolate_all(centred)
    facts.isolate_all(variance)
    facts.guard(call.index, "eps", variance)
    layers = [*centred.layers, *(x._replace(exponent=-x.exponent / 2) for x in variance.layers)]
    weight, bias = call["weight"], call["bias"]
    if weight is not None:
        facts.isolate_all(weight)
        layers += _viewed(weight, shape)
    result = call.output(layers)
    return result if bias is None else add(call, result, _lifted(bias, shape))


def _about_fixed_statistics(call: Call, value: Value) -> None:
    """A channel of what is read may scale if the gain is divided by as much, and the bias takes up
    the change of γμ/σ. The scale behind it is that of the gain and the bias in any case."""
    gain, bias, facts = call["weight"], call["bias"], call.facts
    channels = _channel_shape(value)
    if not value.layers:
        return
    scale = None
    if _is_parameter(gain, channels[0]) and _is_parameter(bias, channels[0]):
        scale = facts.compensate(gain.parameter, bias.parameter, channels[0])
    if scale is None:
        facts.pin(value)
        return
    facts.isolate_all(value)
    facts.balance(*value.layers, Layer(scale.reshape(channels), -1.0))


def _is_parameter(value: Value | None, size: int) -> bool:
    """Whether it is a vector of parameters as it is, one entry a channel."""
    return (
        value is not None
        and value.parameter is not None
        and value.offset == 0
        and value.shape == (size,)
        and [(x.labels.size, x.exponent) for x in value.layers] == [(size, 1)]
    )


def _lifted(value: Value, shape: tuple[int, ...]) -> Value:
    return Value(shape, _viewed(value, shape), constant=_constant(value, shape))


@rule("instance_norm")
def instance_norm(call: Call) -> Result:
    """As batch normalisation, sample by sample."""
    value = call["input"]
    if call["use_input_stats"]:
        _erase(call, value, tuple(range(2, len(value.shape))))
    else:
        _about_fixed_statistics(call, value)
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
    """A sample's scale is erased; rotations that fix the mean pass."""
    return call.outputs(_norm_of_samples(call, centred=True))


@rule("rms_norm", "_fused_rms_norm")
def rms_norm(call: Call) -> Result:
    """A sample's scale is erased; rotations pass."""
    return call.outputs(_norm_of_samples(call, centred=False))


def _norm_of_samples(call: Call, *, centred: bool) -> Value:
    value, normalized = call["input"], len(call["normalized_shape"])
    ndim = len(value.shape)
    axes = tuple(range(ndim - normalized, ndim))
    space = _rotated(call, value, axes, centred=centred)
    _erase_scale(call, value, axes)
    if space is None and normalized == 1:  # nothing mixes before the gain, but behind it may
        space = Layer(call.facts.fresh((1,) * (ndim - 1) + value.shape[-1:]))
        call.facts.isolate(space.labels)
    return _affine(call, value.shape[ndim - normalized :], space, is_centred=centred)


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
    call.facts.isolate_all(value)
    _erase_scale(call, value, axes, eps=eps)


def _erase_scale(
    call: Call, value: Value, axes: tuple[int, ...], *, eps: str | None = "eps"
) -> None:
    if not value.layers:
        return
    layers = pad_left(value.layers, len(value.shape))
    first = [Layer(first_along(x.labels, axes), -x.exponent) for x in layers]
    call.facts.balance(*layers, *first)
    if eps is not None:
        call.facts.guard(call.index, eps, value)


def _rotated(call: Call, value: Value, axes: tuple[int, ...], *, centred: bool) -> Layer | None:
    """The layer whose coordinates are normalised, which only rotations mix; `None` if there is not
    just one, and nothing mixes."""
    ndim, facts = len(value.shape), call.facts
    layers = pad_left(value.layers, ndim)
    inside = [x for x in layers if set(x.axes) & set(axes)]
    space = inside[0] if len(inside) == 1 and inside[0].exponent == 1 else None
    for layer in layers:
        if layer is not space:
            facts.isolate(layer.labels)
    if space is None:
        return None
    kept = tuple(a for a in range(ndim) if a not in axes)
    facts.use(space.labels, kept, rotated=True)
    if centred:
        facts.centre(space.labels, kept)
    return space


def _channel_shape(value: Value) -> tuple[int, ...]:
    return (value.shape[1],) + (1,) * (len(value.shape) - 2)


def _affine(
    call: Call,
    shape: tuple[int, ...],
    space: Layer | None = None,
    *,
    is_centred: bool = False,
) -> Value:
    """The gain and the bias, viewed in `shape`, on what is normalised; `space` are coordinates of
    that which rotations may mix."""
    facts, weight, bias = call.facts, call["weight"], call.get("bias")
    if weight is None and bias is None:
        return call.output() if space is None else _unscaled(call, space)
    if weight is None:
        facts.pin(bias)
        if space is not None:
            facts.isolate(space.labels)
        return call.output()
    gain = Value(shape, _viewed(weight, shape), parameter=weight.parameter, offset=weight.offset)
    labels = space and behind_gain(facts, space, gain, is_centred=is_centred)
    if labels is None:
        facts.isolate_all(weight)
        if space is not None:
            facts.isolate(space.labels)
        result = call.output(gain.layers)
    else:  # of the scale, only that of the gain is left
        facts.balance(Layer(labels), *(-x for x in gain.layers))
        result = call.output([Layer(labels)])
    if bias is None:
        return result
    return add(call, result, _lifted(bias, shape))


def _unscaled(call: Call, space: Layer) -> Value:
    """What is normalised, without its scale."""
    labels = call.facts.fresh(space.labels.shape)
    call.facts.unify(space.labels, labels)
    call.facts.balance(Layer(labels))
    return call.output([Layer(labels)])


def _viewed(value: Value, shape: tuple[int, ...]) -> tuple[Layer, ...]:
    return tuple(
        Layer(x.labels.reshape(shape if x.labels.size > 1 else (1,) * len(shape)), x.exponent)
        if len(value.shape) == 1
        else x
        for x in value.layers
    )


def _constant(value: Value, shape: tuple[int, ...]) -> Tensor | None:
    return None if value.constant is None else value.constant.reshape(shape)
