"""The walk: every record's rule in turn, from parameters to outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, final

import torch
from torch import Tensor

from paramsym.discovery.arguments import mapped
from paramsym.discovery.choosing import assignments
from paramsym.discovery.combinations import settled
from paramsym.discovery.distinct import distinct
from paramsym.discovery.facts import Facts
from paramsym.discovery.fixed_statistics import settle_compensated
from paramsym.discovery.labels import Layer, Value
from paramsym.discovery.layouts import label_parameters, state_gauges
from paramsym.discovery.ops import COMBINES, HOLDS_PAIRS, READS_SQUARES, RULES, Call
from paramsym.discovery.ops.complexes import unpaired
from paramsym.discovery.ops.registry import STOPS_GRADIENT, Result
from paramsym.discovery.ops.views import EXPANSIONS, expanded
from paramsym.discovery.pending import read_by_entries
from paramsym.discovery.recording import Record, Recording, Ref
from paramsym.discovery.sampling import drawn, sampled


@final
@dataclass(frozen=True)
class Walk:
    """What a walk found.

    Attributes:
        facts: Everything the rules stated.
        parameters: Labels of every parameter that is used, by canonical name.
    """

    facts: Facts
    parameters: dict[str, Value]


def walk(
    recording: Recording, centred: Mapping[int, frozenset[int]] = MappingProxyType({})
) -> Walk:
    """Label the parameters and carry the labels through the recorded calls.

    Args:
        recording: The run.
        centred: Number of a value → axes along which it is known to add up to zero.
    """
    facts = Facts()
    labelled = label_parameters(recording, facts)
    _note_complex(recording, facts)
    for number, stand_ins in enumerate(assignments(recording, facts.matrices())):
        barriers = dict(facts.barriers)
        _carry(recording, labelled, facts, stand_ins, centred)
        if number:
            facts.barriers = barriers  # they are counted once
    if any(record.is_sink for record in recording.records):
        _pin_unread(labelled, facts)
    _settle_displaced(facts)
    settle_compensated(facts, recording, labelled)
    state_gauges(labelled, facts)
    return Walk(facts, labelled)


def _note_complex(recording: Recording, facts: Facts) -> None:
    """Complex parameters are read as data: what moves them is not looked for."""
    for p in recording.parameters:
        if recording.state[p.name].is_complex() and p.name not in recording.unused:
            module = p.name.rpartition(".")[0]
            facts.barrier("complex parameter", module, "complex parameters carry no labels")


def _carry(
    recording: Recording,
    labelled: dict[str, Value],
    facts: Facts,
    stand_ins: dict[int, Tensor],
    centred: Mapping[int, frozenset[int]],
) -> None:
    """Carry the labels through the calls once, with indices that stand in for those of the data."""
    values: dict[int, Value] = {}
    written = {i for record in recording.records for i in record.mutates}
    fixed = recording.buffer_ids.keys() - written
    for i, tensor in recording.constants.items():
        # A buffer that happens to be zero now is state, not structure; a number in the code is.
        is_number = tensor.ndim == 0 and i not in recording.buffer_ids
        is_zero = tensor.device.type != "meta" and not is_number and bool((tensor == 0).all())
        sample = drawn(recording.shapes[i], i) if tensor.device.type == "meta" else None
        constant, is_fixed = None if is_zero else tensor, i in fixed
        values[i] = Value(recording.shapes[i], constant=constant, is_fixed=is_fixed, sample=sample)
    for i in recording.inputs:
        values[i] = Value(recording.shapes[i], sample=drawn(recording.shapes[i], i))
    for i, name in recording.parameter_ids.items():
        values[i] = labelled.get(name) or Value(recording.shapes[i])

    for i in stand_ins.keys() & values.keys():
        values[i] = replace(values[i], stand_in=stand_ins[i])

    last_reads = recording.last_reads
    for index, record in enumerate(recording.records):
        facts.record = index
        stale = [
            i for i in record.mutates if i not in record.outputs and last_reads.get(i, -1) > index
        ]
        outputs = _run(index, record, recording, values, facts, stale)
        for i, value in zip(record.outputs, outputs, strict=False):
            if i is not None:
                values[i] = value if value is not None else Value(recording.shapes[i])
                if i in stand_ins:
                    values[i] = replace(values[i], stand_in=stand_ins[i])
                if i in centred:
                    values[i] = replace(values[i], centred=centred[i])
        _note_ended(index, record, values, facts)
    facts.record = len(recording.records)
    for i in recording.outputs:
        facts.pin(settled(read_by_entries(values[i], facts), facts))


def _run(
    index: int,
    record: Record,
    recording: Recording,
    values: dict[int, Value],
    facts: Facts,
    stale: list[int],
) -> list[Value | None]:
    """One call. `stale` are values that it changes under other names, and that are read later."""
    shapes = tuple(None if i is None else recording.shapes[i] for i in record.outputs)
    read = [values[i] for i in record.inputs()]
    if any(value.layers for value in (*read, *(values[i] for i in stale if i in values))):
        if stale:  # a write through one view of shared memory changes the others; not followed
            for i in stale:
                facts.pin(settled(read_by_entries(values[i], facts), facts))
                values[i] = Value(recording.shapes[i])
            return _as_list(_call(index, record, values, facts, shapes).refuse())
    else:
        for i in stale:
            values[i] = Value(recording.shapes[i])
        return _unlabelled(record, read, values, shapes)
    call = _call(index, record, values, facts, shapes)
    name = _without_underscore(record.op)
    arguments = call.arguments
    if name not in READS_SQUARES:
        arguments = _map_values(read_by_entries, arguments, facts)
    if name not in COMBINES:
        arguments = _map_values(settled, arguments, facts)
    if name not in HOLDS_PAIRS:
        arguments = _map_values(unpaired, arguments, facts)
    call = replace(call, arguments=arguments)
    stopped = [value.stopped for value in call.values() if value.layers]
    is_live = not record.stops_gradient and (None in stopped or not stopped)
    if is_live:
        call = replace(call, arguments=_map_values(_live, call.arguments, facts))
    rule = RULES.get(name)
    outputs = _as_list(call.refuse() if rule is None else rule(call))
    if not is_live:
        where = next((x for x in stopped if x is not None), (record.op, record.module))
        outputs = [x and (x if x.stopped else replace(x, stopped=where)) for x in outputs]
    return outputs


def _live(value: Value, facts: Facts) -> Value:
    """A value whose gradient was stopped stands still where it meets others: a symmetry that moved
    it would hold of the function, and not of what training sees."""
    if value.stopped is None:
        return value
    if value.layers:
        facts.barrier(*value.stopped, STOPS_GRADIENT)
        facts.pin(value)
    return replace(value, layers=(), stopped=None)


def _note_ended(index: int, record: Record, values: dict[int, Value], facts: Facts) -> None:
    """Which call ended the labels of a result that has none, although it reads parameters."""
    read = record.inputs()
    if any(values[i].layers for i in read):
        cause = index
    else:
        cause = next((facts.ended[i] for i in read if i in facts.ended), None)
    if cause is not None:
        facts.ended.update(
            (i, cause) for i in record.outputs if i is not None and not values[i].layers
        )


def _map_values(
    settle: Callable[[Value, Facts], Value], arguments: Mapping[str, Any], facts: Facts
) -> dict[str, Any]:
    return mapped(lambda x: settle(x, facts) if isinstance(x, Value) else x, dict(arguments))


def _as_list(result: Result) -> list[Value | None]:
    return [result] if isinstance(result, Value) else list(result)


def _call(
    index: int,
    record: Record,
    values: dict[int, Value],
    facts: Facts,
    shapes: tuple[tuple[int, ...] | None, ...],
) -> Call:
    def resolve(leaf: Any) -> Any:
        return values[leaf.id] if isinstance(leaf, Ref) else leaf

    arguments = mapped(resolve, record.bind())
    return Call(record, arguments, shapes, index, facts)


def _without_underscore(op: str) -> str:
    """In-place ops (`relu_`) follow the rule of the op itself."""
    return op if op in RULES or not op.endswith("_") else op.removesuffix("_")


FILLS = {"zeros_like": 0.0, "new_zeros": 0.0, "ones_like": 1.0, "new_ones": 1.0}
"""Ops that read nothing but a shape, and their number."""


def _unlabelled(
    record: Record,
    read: list[Value],
    values: dict[int, Value],
    shapes: tuple[tuple[int, ...] | None, ...],
) -> list[Value | None]:
    """Outputs of a call that no parameter reaches; computed where its inputs are constants, or one
    factor is zero (a state at its start)."""
    results: list[Any] = [None] * len(shapes)
    tags = getattr(record.target, "tags", ())
    random = torch.Tag.nondeterministic_seeded in tags
    if not random and all(value.constant is not None for value in read):

        def resolve(leaf: Any) -> Any:
            constant = values[leaf.id].constant if isinstance(leaf, Ref) else None
            if constant is None:
                return leaf
            return constant.clone() if leaf.id in record.mutates else constant

        args, kwargs = record.filled(resolve)
        with torch.no_grad():
            result = record.target(*args, **kwargs)
        results = list(result) if isinstance(result, tuple | list) else [result]
    elif _without_underscore(record.op) == "mul" and any(value.is_zero for value in read):
        results = [torch.zeros(()).expand(shape) for shape in shapes if shape is not None]
    elif record.op in FILLS and shapes[0] is not None:
        results = [torch.tensor(FILLS[record.op]).expand(shapes[0])]
    samples = sampled(record, values, shapes)
    return [
        None
        if shape is None
        else Value(
            shape,
            constant=tensor if isinstance(tensor, Tensor) else None,
            extent=expanded(read[0], shape) if record.op in EXPANSIONS else None,
            sample=sample,
        )
        for shape, tensor, sample in zip(shapes, results, samples, strict=False)
    ]


def _pin_unread(parameters: dict[str, Value], facts: Facts) -> None:
    """Where data decide what runs, parts that this run did not read (experts without a token) may
    be read on other data: nothing is known of them."""
    read = facts.read()
    for value in parameters.values():
        for layer in value.layers:
            unread = distinct(layer.labels[~read[layer.labels]])
            facts.isolate(unread)
            facts.balance(Layer(unread))


def _settle_displaced(facts: Facts) -> None:
    """A parameter that is only read after a number is added is scaled about minus that number, and
    not about 0; if it is read in another way too, it is not scaled at all."""
    read = facts.read()
    for found in facts.displaced.values():
        if read[found.before].any():
            facts.pin(Value(found.after.shape, (Layer(found.after),)))
        facts.pin(Value(found.before.shape, (Layer(found.before),)))
        facts.gauges.append((distinct(found.after),))  # one axis: its scale means something
