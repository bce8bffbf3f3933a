"""Gains: parameters that multiply the coordinates of a space, as those of normalisations do."""

from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import FIXED, Labels, Layer, Value, merge, pad_left
from paramsym.discovery.ops.registry import Call


def may_be_gain(value: Value) -> bool:
    """Whether a value is a parameter, up to an offset, with one entry a coordinate."""
    if value.parameter is None or len(value.layers) != 1 or value.layers[0].exponent != 1:
        return False
    layer = pad_left(value.layers, len(value.shape))[0]
    varies = [a for a, size in enumerate(value.varies()) if size > 1]
    return bool(layer.axes) and set(varies) <= set(layer.axes)


def behind_gain(
    facts: Facts, layer: Layer, gain: Value, *, is_centred: bool = False
) -> Labels | None:
    """Labels of the coordinates of a layer times a gain, in whose shape it broadcasts; `None` where
    they do not stand one to one. `is_centred`: what is multiplied has mean zero."""
    if not may_be_gain(gain) or layer.exponent != 1 or (layer.labels == FIXED).any():
        return None
    assert gain.parameter is not None
    entries = pad_left(gain.layers, layer.labels.ndim)[0]
    sizes = zip(entries.labels.shape, layer.labels.shape, strict=True)
    fits = all(size in (1, whole) for size, whole in sizes)
    if not fits or (entries.labels == FIXED).any():
        return None
    return facts.multiply(
        layer.labels, entries.labels, gain.parameter, gain.offset, is_centred=is_centred
    )


def multiplied(call: Call, value: Value, gain: Value) -> Value | None:
    """A value times a gain, entry by entry; `None` where the second is none, or multiplies along
    other axes than those of one layer of the first."""
    ndim = len(call.shape)
    if not may_be_gain(gain):
        return None
    entries = pad_left(gain.layers, ndim)[0]
    centred = {a + ndim - len(value.shape) for a in value.centred}
    is_centred = len(entries.axes) == 1 and set(entries.axes) <= centred
    layers = pad_left(value.layers, ndim)
    if not layers and is_centred:  # of data: nothing mixes before the gain, but behind it may
        layers = (Layer(call.facts.fresh(entries.labels.shape), 1.0),)
        call.facts.isolate(layers[0].labels)
        call.facts.balance(*layers)
    along = [x for x in layers if set(x.axes) & set(entries.axes)]
    if len(along) != 1:
        return None
    labels = behind_gain(call.facts, along[0], gain, is_centred=is_centred)
    if labels is None:
        return None
    others = [x for x in layers if x is not along[0]]
    for layer in others:
        call.facts.use(layer.labels, entries.axes)
    product = Layer(labels)
    call.facts.balance(product, -along[0], -entries)
    return call.output(merge([product, *others]))
