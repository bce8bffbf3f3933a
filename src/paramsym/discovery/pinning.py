"""Which ops keep a parameter still: read off from the facts, once the families are known.

Coordinates that no family moves belong to classes of labels whose scale must vanish. A class is
pinned by the calls that say so; where none does alone, by the calls whose equations it stands in;
where nothing forbids the scale, by those that keep its coordinates from mixing.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

import numpy as np

from paramsym.discovery.balances import Classes
from paramsym.discovery.distinct import distinct, distinct_rows
from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import FIXED, Labels, Value
from paramsym.discovery.recording import Recording
from paramsym.discovery.statements import Origin
from paramsym.family import Family
from paramsym.still import MODULES_NAMED, OUTPUTS, Pin, still_coordinates


class _Kind(IntEnum):
    """How a call pins, the strongest first."""

    PINS = 0
    FIXES = 1
    EQUATES = 2
    TIES = 3
    ISOLATES = 4


_WORDS = {
    _Kind.PINS: "lets no scale and no mixing through",
    _Kind.FIXES: "meets data or constants there",
    _Kind.EQUATES: "equates different powers of its scale",
    _Kind.TIES: "together with other ops it leaves no scale free",
    _Kind.ISOLATES: "keeps the coordinates from mixing, and their scale moves nothing by itself",
}
_ENDED = "its result scales with nothing that it reads"
_PLACED = "what stands along this axis keeps its place"
_RETURNED = "what the model returns must not change"


def pins(
    facts: Facts,
    recording: Recording,
    labelled: Mapping[str, Value],
    classes: Classes,
    families: Sequence[Family],
) -> tuple[Pin, ...]:
    """What keeps still the coordinates that no family moves.

    Args:
        facts: What the rules stated.
        recording: The run.
        labelled: Labels of the parameters.
        classes: Labels grouped by the scaling analysis.
        families: What was found.

    Returns:
        Pins by parameter and axis, those of the most coordinates first.
    """
    still: list[tuple[str, int, Labels]] = []
    ordered: list[Pin] = []
    for parameter in recording.parameters:
        value = labelled.get(parameter.name)
        if value is None:
            continue
        for axis, mask in enumerate(still_coordinates(parameter, families)):
            rows = mask.numpy().nonzero()[0]
            at = _classes_at(value, axis, rows, classes) if len(rows) else None
            if at is not None:
                still.append((parameter.name, axis, at))
            elif len(rows):
                ordered.append(_in_order(parameter.name, axis, len(rows), recording))
    wanted = np.zeros(len(classes.degenerate) + 1, dtype=bool)  # the last one stands for FIXED
    for _, _, at in still:
        wanted[at] = True
    wanted[FIXED] = False
    hits = _hits(facts, classes, wanted)
    found = [
        pin for name, axis, at in still for pin in _pins(name, axis, at, hits, facts, recording)
    ]
    order = {parameter.name: i for i, parameter in enumerate(recording.parameters)}
    return tuple(sorted([*found, *ordered], key=lambda pin: (order[pin.parameter], pin.axis)))


def _in_order(parameter: str, axis: int, rows: int, recording: Recording) -> Pin:
    """The first reader of a parameter pins an axis that has no coordinates of its own: positions
    of a kernel."""
    reads = (
        r for r in recording.records if parameter in map(recording.parameter_ids.get, r.inputs())
    )
    record = next(reads)
    return Pin(parameter, axis, record.op, 1, (record.module or "(model)",), _PLACED, rows)


def _classes_at(value: Value, axis: int, rows: Labels, classes: Classes) -> Labels | None:
    """Classes of some coordinates of an axis, `[coordinates, classes of each]`; `None` where the
    axis has no coordinates of its own."""
    found = []
    for layer in value.layers:
        labels = layer.labels
        if labels.ndim == 0 or labels.shape[axis] == 1:
            continue
        own = np.moveaxis(labels, axis, 0)[rows].reshape(len(rows), -1)
        found.append(np.where(own == FIXED, FIXED, classes.of[own]))
    if not found and max(value.shape, default=1) > 1:
        return None
    if not found:  # a number
        every = distinct(np.concatenate([layer.labels.ravel() for layer in value.layers]))
        found.append(np.where(every == FIXED, FIXED, classes.of[every])[None])
    return np.concatenate(found, 1)


def _hits(facts: Facts, classes: Classes, wanted: np.ndarray) -> Labels:
    """Classes and the calls that pin them, the strongest of each class: `[hits, 3]` as class, kind,
    record."""
    parts = [np.empty((0, 3), dtype=np.int64), *_by_balances(facts, classes, wanted)]
    for labels, origin in zip(facts.isolated, facts.isolated_by, strict=True):
        own = classes.of[labels[labels != FIXED]]
        parts.append(_entries(own[wanted[own]], _Kind.ISOLATES, origin))
    table = distinct_rows(np.concatenate(parts))
    if not len(table):
        return table
    # 0 where a call alone pins, 1 for calls that do so together, 2 for those that isolate.
    strength = np.maximum(table[:, 1] - int(_Kind.EQUATES), 0)
    strongest = np.full(len(wanted), np.iinfo(np.int64).max)
    np.minimum.at(strongest, table[:, 0], strength)
    return table[strength == strongest[table[:, 0]]]


def _by_balances(facts: Facts, classes: Classes, wanted: np.ndarray) -> Iterator[Labels]:
    for exponents, blocks in facts.balances.items():
        for rows, origin in zip(blocks, facts.balanced_by[exponents], strict=True):
            fixed = rows == FIXED
            own = np.where(fixed, FIXED, classes.of[rows])
            seen = wanted[own]
            if not seen.any():
                continue
            if origin.pins:
                yield _entries(own[seen], _Kind.PINS, origin)
                continue
            # One class alone with a sum other than 0 vanishes.
            first = own.max(1, keepdims=True)
            alone = ((own == first) | fixed).all(1)
            total = np.where(fixed, 0, classes.sign[rows] * np.array(exponents)).sum(1)
            vanishes = alone & (np.abs(total) > 1e-9) & wanted[first[:, 0]]
            once = (~fixed).sum(1) == 1
            yield _entries(first[vanishes & once], _Kind.FIXES, origin)
            yield _entries(first[vanishes & ~once], _Kind.EQUATES, origin)
            tied = own[~alone]
            yield _entries(tied[wanted[tied]], _Kind.TIES, origin)


def _entries(classes: Labels, kind: _Kind, origin: Origin) -> Labels:
    own = distinct(classes)
    return np.stack([own, np.full_like(own, kind), np.full_like(own, origin.record)], 1)


def _pins(
    parameter: str, axis: int, at: Labels, hits: Labels, facts: Facts, recording: Recording
) -> list[Pin]:
    own_hits = hits[np.isin(hits[:, 0], at)]
    pinned: dict[tuple[str, str], list[Labels]] = defaultdict(list)
    calls: dict[tuple[str, str], set[int]] = defaultdict(set)
    for kind, record in distinct_rows(own_hits[:, 1:]).tolist():
        chosen = (own_hits[:, 1] == kind) & (own_hits[:, 2] == record)
        for cause, reason in _causes(record, _Kind(kind), facts, recording):
            key = _op(cause, recording), reason
            pinned[key].append(own_hits[chosen, 0])
            calls[key].add(cause)
    found = []
    for (op, reason), own in pinned.items():
        records = sorted(calls[op, reason])
        modules = dict.fromkeys(
            recording.records[r].module or "(model)" for r in records if r < len(recording.records)
        )
        named = tuple(modules)[:MODULES_NAMED]
        rows = int(np.isin(at, np.concatenate(own)).any(1).sum())
        found.append(Pin(parameter, axis, op, len(records), named, reason, rows))
    return sorted(found, key=lambda pin: -pin.rows)


def _op(record: int, recording: Recording) -> str:
    if record >= len(recording.records):
        return OUTPUTS
    return recording.records[record].op if record >= 0 else "(recording)"


def _causes(record: int, kind: _Kind, facts: Facts, recording: Recording) -> list[tuple[int, str]]:
    """The records to blame, and why: where a sum has a side without labels, the call that ended
    them."""
    if record >= len(recording.records):
        return [(record, _RETURNED)]
    if kind is _Kind.FIXES and record >= 0:
        read = recording.records[record].inputs()
        ended = dict.fromkeys(facts.ended[i] for i in read if i in facts.ended)
        if ended:
            return [(r, facts.refused.get(r, _ENDED)) for r in ended]
    return [(record, facts.refused.get(record, _WORDS[kind]))]
