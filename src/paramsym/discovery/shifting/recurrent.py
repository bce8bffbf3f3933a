"""Recurrent layers, whose biases meet inside of one op: the sums are put in front of it."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from paramsym.discovery.recording import Record, Recording, Ref

_RECURRENT = ("lstm", "rnn_tanh", "rnn_relu", "gru")
_ATEN = torch.ops.aten


def sums_in_front(recording: Recording) -> Recording:
    """The run with the products of inputs, and the sums of biases, as calls of their own.

    The state is W x + b + W' h + b' in front of the gates; in the last gate of a GRU, b' is
    multiplied before it is added. What is left of the op has no rule, and notices everything. Of
    deeper layers, whose inputs are within the op, only the biases are taken out.
    """
    if not any(record.op in _RECURRENT for record in recording.records):
        return recording
    shapes = dict(recording.shapes)
    records: list[Record] = []
    for record in recording.records:
        bound = record.bind() if record.op in _RECURRENT else {}
        plain = isinstance(bound.get("input"), Ref) and bound.get("has_biases")
        records += _apart(record, shapes) if plain else [record]
    return replace(recording, records=tuple(records), shapes=shapes)


def _apart(record: Record, shapes: dict[int, tuple[int, ...]]) -> Iterator[Record]:
    bound = record.bind()
    params: list[Ref] = list(bound["params"])
    directions = 2 if bound["bidirectional"] else 1
    size = len(params) // (bound["num_layers"] * directions)

    def new(shape: tuple[int, ...]) -> Ref:
        number = max(shapes) + 1
        shapes[number] = shape
        return Ref(number)

    def made(target: torch._ops.OpOverload, args: tuple[object, ...], *outputs: Ref) -> Record:
        numbers = tuple(output.id for output in outputs)
        return Record(target, args, {}, outputs=numbers, module=record.module)

    left: list[Ref] = []
    for k in range(0, len(params), size):
        weight, state, bias, again, *rest = params[k : k + size]
        left += [state, *rest]
        width = shapes[bias.id][0]
        summed = width - width // 3 if record.op == "gru" else width
        sizes = [summed, width - summed] if summed < width else [width]
        if k < size * directions:
            gates = new((*shapes[bound["input"].id][:-1], width))
            yield made(_ATEN.linear.default, (bound["input"], weight, bias), gates)
        else:
            gates = bias
            left.append(weight)
        parts = []
        for whole in (gates, again):
            cut = [new((*shapes[whole.id][:-1], n)) for n in sizes]
            yield made(_ATEN.split_with_sizes.default, (whole, sizes, -1), *cut)
            parts.append(cut)
        total = new(shapes[parts[0][0].id])
        yield made(_ATEN.add.Tensor, (parts[0][0], parts[1][0]), total)
        left += [total, *parts[0][1:], *parts[1][1:]]
    last, *others = left
    given = {**bound, "input": last, "params": others}
    yield replace(record, args=tuple(given.values()), kwargs={})
