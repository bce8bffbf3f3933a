"""Which labels every parameter starts with: one a coordinate of every axis, or as an op asks."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from paramsym.discovery.choosing import added_beside, read_beside
from paramsym.discovery.distinct import distinct, distinct_rows
from paramsym.discovery.facts import Facts
from paramsym.discovery.fused import read_apart
from paramsym.discovery.labels import Labels, Layer, Value
from paramsym.discovery.ops import LAYOUTS, Call
from paramsym.discovery.ops.stacking import joint
from paramsym.discovery.recording import Record, Recording, Ref


def label_parameters(recording: Recording, facts: Facts) -> dict[str, Value]:
    """One label a coordinate of every axis; some ops ask for another layout."""
    layouts: dict[str, tuple[Layer, ...]] = {}
    shapes = {p.name: p.shape for p in recording.parameters if p.is_real}
    names = {i: name for i, name in recording.parameter_ids.items() if name in shapes}
    for index, record in enumerate(recording.records):
        bound = record.bind()
        for argument, given in bound.items():
            special = LAYOUTS.get((record.op, argument))
            if special is None:
                continue
            for position, leaf in enumerate(given if isinstance(given, list | tuple) else [given]):
                name = names.get(leaf.id) if isinstance(leaf, Ref) else None
                if name is None or name in layouts:
                    continue
                call = Call(record, bound, (), index, facts)
                layers = special(call, shapes[name], position)
                if layers is not None:
                    layouts[name] = layers
                    _note_stack(name, layers, facts)
        source = next(iter(record.args), None)
        if _keeps_first_axis(record) and isinstance(source, Ref) and source.id in names:
            names |= {i: names[source.id] for i in record.outputs if i is not None}
    rows = {
        name: shapes[name][0]
        for name, layers in layouts.items()
        if any({0, len(shapes[name]) - 1} <= set(layer.axes) for layer in layers)
    }
    beside = (*read_beside(recording, facts.matrices()), *added_beside(recording, rows))
    for name in beside:
        layouts[name] = joint(facts, shapes[name], (0, 1))
        _note_stack(name, layouts[name], facts)
    for name, block in read_apart(recording).items():
        if name not in layouts:
            layouts[name] = _apart(facts, shapes[name], block, name)
    unused = set(recording.unused)
    return {
        name: Value(shape, layouts.get(name) or _axis_by_axis(shape, facts), parameter=name)
        for name, shape in shapes.items()
        if name not in unused
    }


def _apart(facts: Facts, shape: tuple[int, ...], block: Labels, name: str) -> tuple[Layer, ...]:
    """Rows as ever; every block of rows has columns of its own, as it reads another vector."""
    rows = facts.fresh((shape[0], 1))
    columns = facts.fresh((int(block.max()) + 1, shape[1]))
    facts.apart[name] = int(columns.min()), shape[1]
    return Layer(rows), Layer(columns[block])


def _note_stack(name: str, layers: tuple[Layer, ...], facts: Facts) -> None:
    if all(0 in layer.axes and len(layer.axes) == 2 for layer in layers):
        facts.stacks[name] = [
            (int(x.labels.min()), x.labels.size // len(x.labels), len(x.labels)) for x in layers
        ]


def _keeps_first_axis(record: Record) -> bool:
    """Whether the call returns its argument with the axes behind the first in another order."""
    if record.op == "transpose":
        return 0 not in record.args[1:] and len(record.args) == 3
    return record.op in ("mT", "_to_copy", "to", "clone", "contiguous")


def _axis_by_axis(shape: tuple[int, ...], facts: Facts) -> tuple[Layer, ...]:
    axes = [a for a, size in enumerate(shape) if size > 1]
    if not axes:
        return (Layer(facts.fresh((1,) * len(shape))),)
    return tuple(
        Layer(facts.fresh((size,)).reshape([-1 if i == a else 1 for i in range(len(shape))]))
        for a in axes
        for size in [shape[a]]
    )


def state_gauges(parameters: dict[str, Value], facts: Facts) -> None:
    """The axes of every parameter, block by block (the groups of a convolution)."""
    for value in parameters.values():
        layers = [layer.labels for layer in value.layers]
        joint = len(layers) > 1 and set(value.layers[0].axes) & set(value.layers[1].axes)
        blocks = _blocks(layers) if joint else [tuple(distinct(labels) for labels in layers)]
        facts.gauges += blocks


def _blocks(layers: list[Labels]) -> list[tuple[Labels, ...]]:
    """Labels that meet in an entry, directly or through others."""
    columns = [x.ravel() for x in np.broadcast_arrays(*layers)]
    entries = distinct_rows(np.stack(columns, 1))
    names, numbers = np.unique(entries, return_inverse=True)
    numbers = numbers.reshape(entries.shape)
    size = len(names)
    links = coo_array((np.ones(len(numbers)), (numbers[:, 0], numbers[:, 1])), (size, size))
    count, block = connected_components(links, directed=False)
    where = block[numbers[:, 0]]
    return [tuple(distinct(column) for column in entries[where == k].T) for k in range(count)]
