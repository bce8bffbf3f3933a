"""Two walks over the recorded calls: forward for what holds of values, backward for what changes of
them go unnoticed."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, final

import numpy as np

from paramsym.discovery.arguments import mapped
from paramsym.discovery.recording import Record, Recording, Ref
from paramsym.discovery.shifting import (
    adding,
    attending,
    averaging,
    contracting,
    convolving,
    looking_up,
    multiplying,
    normalising,
    ordering,
    viewing,
)
from paramsym.discovery.shifting.adding import Sum
from paramsym.discovery.shifting.contracting import Contraction
from paramsym.discovery.shifting.convolving import Convolution
from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.looking_up import LookUp, rows_of_buffer
from paramsym.discovery.shifting.normalising import centering
from paramsym.discovery.shifting.recurrent import sums_in_front
from paramsym.discovery.shifting.registry import OPS, Call, Key, Op, Refused
from paramsym.discovery.shifting.tolerance import UNREAD, Tolerance, meet, pinned, unread
from paramsym.discovery.shifting.values import Piece, Pivot, Value, View
from paramsym.discovery.shifting.words import Word

assert all((adding, attending, averaging, contracting, convolving, looking_up, multiplying,
            normalising, ordering, viewing))  # they register their ops  # fmt: skip

Answer = TypeVar("Answer")

FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError,
            Refused)  # fmt: skip
"""What an op may raise on arguments that it does not foresee; nothing was stated then."""


@final
@dataclass(frozen=True)
class Step:
    """A call with what is known of its arguments.

    Attributes:
        op: What is said of its op; `None` where nothing is, or nothing may be.
        call: The call.
        outputs: Numbers of its outputs.
    """

    op: Op | None
    call: Call
    outputs: tuple[int | None, ...]


@final
@dataclass(frozen=True)
class Use:
    """An argument of a step."""

    step: int
    key: Key


@final
@dataclass
class Run:
    """A run with what is known of its values.

    Attributes:
        steps: The calls, every value defined once.
        values: All values.
        parameters: The value of every parameter that is used.
        roots: Every number under which a parameter is read, and its name.
        views_of: The numbers of a parameter and of its views.
        uses: Where every value is read by a call.
        outputs: Values that the model returns, or that are lost sight of.
        tolerances: For every use of a value that depends on parameters what goes unnoticed there.
        decides: Whether data decide what runs and this run leaves something out, so that other
            data may have values read where this run does not.
        strict: Raise where an op fails on arguments that it does not foresee.
    """

    steps: list[Step]
    values: dict[int, Value]
    parameters: dict[str, Value]
    roots: dict[int, str]
    views_of: dict[str, list[int]]
    uses: dict[int, list[Use]]
    outputs: frozenset[int]
    tolerances: dict[tuple[int, Key], Tolerance]
    decides: bool
    strict: bool = False

    def numbers_of(self, name: str) -> list[int]:
        """The numbers under which a parameter is read."""
        return [i for i, own in self.roots.items() if own == name]

    def ask(self, question: Callable[[], Answer], default: Answer) -> Answer:
        """The answer of an op, or the default where it refuses."""
        try:
            return question()
        except Refused:
            return default
        except FAILURES:
            if self.strict:
                raise
            return default


def run_of(recording: Recording, *, strict: bool = False) -> Run:
    """Walk forward, then backward."""
    recording = sums_in_front(recording)
    defined = _Defined(recording, strict)
    run = defined.run
    known = _tolerances(run)
    if any(record.is_sink for record in recording.records):
        left = any(bool((known[i].labels == UNREAD).any()) for i in run.roots)
        run.decides = left or bool(recording.unused)
    return run


class _Defined:
    """The forward walk."""

    def __init__(self, recording: Recording, strict: bool) -> None:
        self.recording = recording
        self.records, self.outputs = _defined_once(recording)
        ends = {*self.outputs, *(i for *_, stale in self.records for i in stale)}
        self.run = Run(
            [], {}, {}, {}, defaultdict(list), defaultdict(list), frozenset(ends), {}, False, strict
        )
        self.reads: dict[int, int] = defaultdict(int)
        self.made_by: dict[int, tuple[Call, int]] = {}
        self.tables: set[int] = set()
        self.alone: set[int] = set()
        for record, _, _ in self.records:
            leaves = record.inputs()
            for leaf in leaves:
                self.reads[leaf] += 1
        for i in self.outputs:
            self.reads[i] += 1
        self._start()
        for record, outputs, stale in self.records:
            self._step(record, outputs, not stale)

    def _start(self) -> None:
        recording, values = self.recording, self.run.values
        unused = set(recording.unused)
        real = {p.name: p.shape for p in recording.parameters if p.is_real and p.name not in unused}
        for i in (*recording.constants, *recording.inputs, *recording.parameter_ids):
            values[i] = Value(i, tuple(recording.shapes[i]), reads=self.reads[i])
        written = {i for record in recording.records for i in record.mutates}
        for i, tensor in recording.constants.items():
            name = recording.buffer_ids.get(i, "constant")
            fixed = i in recording.buffer_ids and i not in written
            values[i] = replace(values[i], constant=(name, tensor), is_fixed=fixed)
        for record, _, _ in self.records:
            if not isinstance(OPS.get(record.op), LookUp):
                continue
            if rows_of_buffer(self._call(record, lambda i: values.get(i, Value(i, ())))) is None:
                self.tables.update(record.inputs())
        shared = defaultdict(list)
        for i, name in recording.parameter_ids.items():
            if self.reads[i]:
                shared[name].append(i)
        for i, name in recording.parameter_ids.items():
            if name not in real or not self.reads[i]:
                continue
            if self.reads[i] == 1 and len(shared[name]) == 1:
                self.alone.add(i)
            values[i] = replace(values[i], moves=True, view=View.of(name, real[name]))
            self.run.parameters.setdefault(name, values[i])
            self.run.roots[i] = name
            self.run.views_of[name].append(i)

    def _pivot(self, op: Op, call: Call, key: Key, value: Value) -> Pivot | None:
        """What can take up shifts of an argument of a call."""
        if value.number not in self.alone:
            return value.pivot
        if isinstance(op, Contraction | Convolution) and not op.adds(call, key):
            return None  # a weight
        name = self.run.roots[value.number]
        places = entries_of(value.shape, value.number in self.tables)
        return None if places is None else Pivot(name, places, places)

    def _call(self, record: Record, value: Callable[[int], Value]) -> Call:
        """The call with these values as arguments."""
        shapes = self.recording.shapes

        def resolve(leaf: Any) -> Any:
            return value(leaf.id) if isinstance(leaf, Ref) else leaf

        made = tuple(None if i is None else tuple(shapes[i]) for i in record.outputs)
        return Call(record, mapped(resolve, record.bind()), made)

    def _step(self, record: Record, outputs: tuple[int | None, ...], known: bool) -> None:
        run = self.run
        call = self._call(record, run.values.__getitem__)
        shapes = call.shapes
        given = list(call.values())
        moves = any(value.moves for _, value in given)
        found = op_of(record) if known and not record.stops_gradient else None
        if isinstance(found, Sum) and isinstance(call.get("other"), Value):
            found = centering(call, self.made_by) or found
        position = len(run.steps)
        self.made_by.update((i, (call, k)) for k, i in enumerate(outputs) if i is not None)
        run.steps.append(Step(found, call, outputs))
        for key, value in given:
            run.uses[value.number].append(Use(position, key))
        views = run.ask(lambda: found.view(call), {}) if found and moves else {}
        supports = run.ask(lambda: found.supports(call), {}) if found else {}
        pivots = self._pivots(found, call) if found and moves else {}
        for k, (i, shape) in enumerate(zip(outputs, shapes, strict=False)):
            if i is not None and shape is not None:
                view = views.get(k)
                if view is not None:
                    run.views_of[view.parameter].append(i)
                run.values[i] = Value(
                    i, shape, moves, view, supports.get(k, ()), pivots.get(k), self.reads[i]
                )

    def _pivots(self, op: Op, call: Call) -> dict[int, Pivot]:
        """Of the parameters that are added by this call or before, for each output the one that
        reaches most of it, with the most entries: it takes up what the others can, and them."""
        found: dict[int, Pivot] = {}
        for key, value in call.values():
            pivot = self._pivot(op, call, key, value)
            if pivot is None or value.reads != 1:
                continue
            word = Word.identity(int(pivot.places.max()) + 1)
            pushed = self.run.ask(
                lambda key=key, pivot=pivot, word=word: op.push(
                    call, key, Piece(word, pivot.labels)
                ),
                {},
            )
            for k, piece in pushed.items():
                if not piece.word.is_identity:
                    continue
                made = replace(pivot, labels=piece.labels, sign=pivot.sign * piece.word.coefficient)
                if k not in found or _reach(made) > _reach(found[k]):
                    found[k] = made
        return found


def _reach(pivot: Pivot) -> tuple[float, int]:
    return float((pivot.labels != NONE).mean()), pivot.places.size


def entries_of(shape: tuple[int, ...], is_table: bool) -> np.ndarray | None:
    """A component for every entry of a parameter; for one whose rows data choose, for every column.
    `None` where they are too many to be the bias of anything."""
    if is_table:
        shape = (1, *shape[1:])
    size = int(np.prod(shape, dtype=np.int64))
    return np.arange(size).reshape(shape) if 0 < size <= MOST_ENTRIES else None


MOST_ENTRIES = 2**20
"""Parameters with more entries than this are weights."""


def op_of(record: Record) -> Op | None:
    """What is said of the op of a call; ops in place (`add_`) are as the op itself."""
    return OPS.get(record.op) or OPS.get(record.op.removesuffix("_"))


def _defined_once(
    recording: Recording,
) -> tuple[list[tuple[Record, tuple[int | None, ...], list[int]]], list[int]]:
    """The records, with a new number for a value that is written again; and for each the values
    that it changes under other names, by a write through a view, and that are read later."""
    current: dict[int, int] = {}
    top = max(recording.shapes, default=-1) + 1
    found = []

    def renamed(leaf: Any) -> Any:
        return Ref(current.get(leaf.id, leaf.id)) if isinstance(leaf, Ref) else leaf

    seen = {*recording.constants, *recording.inputs, *recording.parameter_ids}
    for position, record in enumerate(recording.records):
        reading = record
        if not current.keys().isdisjoint(record.inputs()):
            args, kwargs = record.filled(renamed)
            reading = replace(record, args=args, kwargs=kwargs)
        stale = [
            current.get(i, i)
            for i in record.mutates
            if i not in record.outputs and recording.last_reads.get(i, -1) > position
        ]
        outputs: list[int | None] = []
        for i in record.outputs:
            if i is not None and i in seen:
                current[i], top = top, top + 1
            if i is not None:
                seen.add(i)
            outputs.append(None if i is None else current.get(i, i))
        found.append((reading, tuple(outputs), stale))
    return found, [current.get(i, i) for i in recording.outputs]


def _tolerances(run: Run) -> dict[int, Tolerance]:
    """The backward walk; what goes unnoticed of every value."""
    known: dict[int, Tolerance] = {}

    def of(i: int | None, shape: tuple[int, ...] | None) -> Tolerance:
        ndim = len(shape or ())
        if i is None:
            return unread(ndim)
        if i in run.outputs:
            return pinned(ndim)
        return known.get(i, unread(ndim))

    for position in reversed(range(len(run.steps))):
        step = run.steps[position]
        moving = [(key, value) for key, value in step.call.values() if value.moves]
        if not moving:
            continue
        outputs = [of(i, s) for i, s in zip(step.outputs, step.call.shapes, strict=False)]
        op = step.op
        if op is not None and not op.weighs:
            outputs = [tolerance.plain() for tolerance in outputs]
        said = (
            run.ask(lambda op=op, step=step, outputs=outputs: op.tolerances(step.call, outputs), {})
            if op
            else {}
        )
        for key, value in moving:
            tolerance = said.get(key, pinned(len(value.shape)))
            tolerance = replace(
                tolerance,
                free=tolerance.free | {a for a, n in enumerate(value.shape) if n == 1},
            )
            run.tolerances[position, key] = tolerance
            before = known.get(value.number)
            known[value.number] = tolerance if before is None else meet(before, tolerance)
    return known
