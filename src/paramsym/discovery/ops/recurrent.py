"""Recurrent layers as whole ops: all steps in time are one set of facts."""

from collections.abc import Iterator

import numpy as np

from paramsym.discovery.labels import Layer, Value, pad_left
from paramsym.discovery.ops.linear import matrix_product, transposed
from paramsym.discovery.ops.registry import Call, Result, rule
from paramsym.discovery.ops.sums import add


@rule("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(call: Call) -> Result:
    """Gates pin what they read, so that a layer passes no scale on. Two things do: the projection
    of an LSTM, and relu, whose state scales as a whole."""
    value = call["input"] if "input" in call.arguments else call["data"]
    given = call["hx"]
    states = list(given) if isinstance(given, list | tuple) else [given]
    projected = call.record.op == "lstm" and states[0].shape[-1] != states[1].shape[-1]
    weights = iter(call["params"])
    last: list[Value] = []
    for layer in range(call["num_layers"]):
        if layer and call["train"] and call["dropout"] > 0:
            call.facts.isolate_all(value)
        outputs = [
            _direction(call, value, weights, states[0], projected=projected)
            for _ in range(2 if call["bidirectional"] else 1)
        ]
        last += outputs
        value = _beside(outputs, (*value.shape[:-1], sum(x.shape[-1] for x in outputs)))
    final = Value(states[0].shape, _stacked(last, len(states[0].shape)))
    return call.outputs(call.output(value.layers), final)


def _direction(
    call: Call, value: Value, weights: Iterator[Value], state: Value, *, projected: bool
) -> Value:
    """One layer in one direction: from its input to its output."""
    facts = call.facts
    from_input, from_state = next(weights), next(weights)
    biases = [next(weights) for _ in range(2)] if call["has_biases"] else []
    lead = value.shape[:-1]
    before = matrix_product(call, value, transposed(from_input), (*lead, from_input.shape[0]))
    width = from_state.shape[1]
    if projected:
        hidden = Value((*lead, from_state.shape[0] // 4))
        output = matrix_product(call, hidden, transposed(next(weights)), (*lead, width))
    elif call.record.op == "rnn_relu":
        labels = facts.fresh((width,)).reshape((1,) * len(lead) + (-1,))
        output = Value((*lead, width), (Layer(labels),))
        facts.isolate(labels)
    else:
        output = Value((*lead, width))
    if not state.is_zero:  # the first step reads it, and all others the output
        facts.pin(output)
    again = matrix_product(call, output, transposed(from_state), (*lead, from_state.shape[0]))
    summands = [before, again, *biases]
    if call.record.op != "rnn_relu":
        for summand in summands:
            facts.pin(summand)
        return output
    for summand in summands:
        if summand.layers:
            add(call, output, summand)
        else:
            facts.pin(output)
    return output


def _beside(outputs: list[Value], shape: tuple[int, ...]) -> Value:
    """Both directions, feature by feature."""
    if not all(x.layers for x in outputs):
        return Value(shape)
    parts = [np.broadcast_to(_labels(x, len(shape)), _row(x, len(shape))) for x in outputs]
    return Value(shape, (Layer(np.concatenate(parts, -1)),))


def _stacked(outputs: list[Value], ndim: int) -> tuple[Layer, ...]:
    """The last states of all layers and directions, along the first axis."""
    if not all(x.layers for x in outputs):
        return ()
    parts = [np.broadcast_to(_labels(x, ndim), _row(x, ndim)) for x in outputs]
    return (Layer(np.concatenate(parts, 0)),)


def _labels(value: Value, ndim: int) -> np.ndarray:
    (layer,) = pad_left([Layer(x.labels.reshape(-1)) for x in value.layers], ndim)
    return layer.labels


def _row(value: Value, ndim: int) -> tuple[int, ...]:
    return (1,) * (ndim - 1) + (value.shape[-1],)
