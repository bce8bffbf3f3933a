"""Null directions of readers: where Σ nᵢ xᵢ = c whatever the data, a weight W may change by v nᵀ,
which shifts what it gives by the constant c v."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import final

import numpy as np

from paramsym.discovery.labels import Labels
from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.looking_up import LookUp
from paramsym.discovery.shifting.pushing import Pushed, push
from paramsym.discovery.shifting.reading import Reading, readings_of
from paramsym.discovery.shifting.taking_up import families_of
from paramsym.discovery.shifting.tolerance import Tolerance, none_spanned
from paramsym.discovery.shifting.uses import final_uses
from paramsym.discovery.shifting.values import Piece
from paramsym.discovery.shifting.walk import Run, Use
from paramsym.discovery.shifting.weights import Weights
from paramsym.discovery.shifting.words import Axis, Factor, Irregular, Word, placed
from paramsym.family import Family
from paramsym.terms import Term


def families_null(
    run: Run, name: str, killed: Tolerance | None, *, as_table: bool
) -> Iterator[Family]:
    """Shifts of a reader along its null directions, and of what takes up the constant.

    Args:
        run: The run.
        name: The reader.
        killed: Changes of it that go unnoticed by themselves.
        as_table: Whether to look for the shift of all rows of a table along that direction, which
            its shifts along any direction would contain.
    """
    uses = final_uses(run, name)
    for reading in _by_block(run, uses):
        weights = _weights(run, name, reading, killed)
        source = NullDirection(run, name, reading, tuple(uses), weights)
        components = reading.components()
        families = list(families_of(source, components, killed))
        if not families and as_table and len(uses) > 1:
            # A table as well: only what all of its rows have in common is the same for all data.
            families = list(families_of(source, np.zeros_like(components), killed))
        yield from families


def _by_block(run: Run, uses: Sequence[Use]) -> list[Reading]:
    """For every block of the parameter what the first use reads of which something is known: blocks
    of a fused projection may read several values."""
    found: dict[object, list[Reading]] = {}
    for use in uses:
        readings = list(readings_of(run, use))
        if readings:
            view = readings[0].view
            found.setdefault((view.shape, view.blocks), readings)
    return [reading for readings in found.values() for reading in readings]


def _weights(run: Run, name: str, reading: Reading, killed: Tolerance | None) -> Weights:
    """By what rows are multiplied in the changes of the reader that go unnoticed by themselves."""
    view, shape = reading.view, run.parameters[name].shape
    if killed is None or view.shape != shape:
        return ()
    summed = {reading.axis, *(a for a, _ in reading.taps)}
    rows = [a for a, size in enumerate(shape) if a not in summed and size > 1]
    whole = all(view.blocks[a] == (0, shape[a]) for a in rows)
    along = all([w.axis] == rows and w.parameter != name for w in killed.weights)
    return killed.weights if whole and along else ()


@final
@dataclass(frozen=True)
class NullDirection:
    """Shifts of a reader along its null direction.

    Attributes:
        run: The run.
        name: The reader.
        reading: What it reads, and where.
        uses: Where it is used.
        weights: By what the rows of the shift are multiplied.
    """

    run: Run
    name: str
    reading: Reading
    uses: tuple[Use, ...]
    weights: Weights = ()

    def pushed(self, places: Labels) -> Pushed:
        rows, taps = self._rows(places)
        if rows is None:
            return Pushed(np.ones(int(places.max()) + 1, dtype=bool))
        count = int(rows.max()) + 1
        by_row = self._pushed(rows, count, Word.identity(count))
        if taps == 1 and not self.weights:
            return by_row
        # What rows do is seen on rows; the terms are of the whole shift.
        word = Word({0: taps, 1: count}, (0, 1), (), (1,)) if taps > 1 else Word.identity(count)
        axis = Axis(word.result[0], count, 0, count)
        whole = self._pushed(rows, taps * count, self._weighed(word, [axis]))
        events = [(what, np.tile(mask, taps)) for what, mask in by_row.events]
        seen = np.tile(by_row.seen, taps) | whole.seen
        return Pushed(seen, events, whole.terms, by_row.partial or whole.partial)

    def _pushed(self, rows: Labels, n: int, word: Word) -> Pushed:
        starts = []
        for use in self.uses:
            start = self._start(use, rows, word)
            if start is None:
                return Pushed(np.ones(n, dtype=bool))
            starts += start
        return push(self.run, self.name, n, starts)

    def _rows(self, places: Labels) -> tuple[Labels | None, int]:
        """Numbers of the rows that have components, and how many taps each has; `None` where they
        have not all the same."""
        axes = tuple(a for a, _ in self.reading.taps)
        filled = places != NONE
        rows, taps = filled.any(axis=axes, keepdims=True), filled
        for a in range(places.ndim):
            if a not in axes:
                taps = taps.any(axis=a, keepdims=True)
        rows_at, taps_at = (np.where(x, x.cumsum().reshape(x.shape) - 1, 0) for x in (rows, taps))
        count = int(rows.sum())
        numbered = np.where(rows & taps, rows_at + count * taps_at, NONE)
        if axes and not np.array_equal(numbered, places):
            return None, 0
        return (np.where(rows, rows_at, NONE), int(taps.sum())) if axes else (places, 1)

    def _start(self, use: Use, rows: Labels, word: Word) -> list[tuple[int, Piece]] | None:
        """What the shift does where the parameter is used; `None` if that depends on data."""
        step = self.run.steps[use.step]
        output = step.outputs[0]
        if output is None:
            return None
        alike = [r for r in readings_of(self.run, use) if self.reading.same_as(r)]
        if alike:
            labels = alike[0].on_output(rows, step.call.value(use.key).shape)
            constant = self._constant(word)
            return [] if constant is None else [(output, Piece(constant, labels))]
        view = step.call.value(use.key).view
        if view is not None and view.is_apart_from(self.reading.view):
            return []
        if isinstance(step.op, LookUp) and word.size == 1 and bool((rows == 0).all()):
            return self._of_table(use, output)
        return None

    def _of_table(self, use: Use, output: int) -> list[tuple[int, Piece]] | None:
        """The same shift of all rows, where data choose among them."""
        step = self.run.steps[use.step]
        value, ndim = step.call.value(use.key), len(step.call.shape)
        whole = value.view is not None and value.view.is_whole
        last = self.reading.axis == len(value.shape) - 1
        if not whole or not last or self.reading.support.block is not None:
            return None
        word, letter = self._direction(Word.identity(1))
        if letter is None:
            return [(output, Piece(word, np.zeros((1,) * ndim, dtype=np.int64)))]
        size = word.sizes[letter]
        labels = np.arange(size).reshape((1,) * (ndim - 1) + (size,))
        return [(output, Piece(replace(word, result=(letter,)), labels))]

    def _weighed(self, word: Word, axes: Sequence[Axis]) -> Word:
        """The word times the weights of the rows, which have these letters."""
        factors = (Factor(w.parameter, tuple(axes), w.power) for w in self.weights)
        return replace(word, factors=(*word.factors, *factors))

    def _constant(self, word: Word) -> Word | None:
        """c v; `None` where c is 0."""
        support, number = self.reading.support, self.reading.product.number
        if support.bias is None:
            return word.times(support.constant * number) if support.constant else None
        size = prod(self.run.parameters[support.bias].shape)
        word, (letter,) = word.fresh((size,))
        axis = (Axis(letter, size, 0, size),)
        factors = [Factor(support.bias, axis)]
        if support.gain is not None:
            gain, offset = support.gain
            factors.append(Factor(gain, axis, -1, offset))
        return replace(word, factors=(*word.factors, *factors)).times(number)

    def _direction(self, word: Word) -> tuple[Word, int | None]:
        """v times n, and the letter of n; none where n is constant."""
        if self.reading.support.gain is None:
            return word, None
        gain, offset = self.reading.support.gain
        size = prod(self.run.parameters[gain].shape)
        word, (letter,) = word.fresh((size,))
        factor = Factor(gain, (Axis(letter, size, 0, size),), -1, offset)
        return replace(word, factors=(*word.factors, factor)), letter

    def term(self, places: Labels) -> Term:
        word, parts = placed(Word.identity(int(places.max()) + 1), places)
        word, letter = self._direction(word)
        view, axes = self.reading.view, []
        for a, (size, (start, stop)) in enumerate(zip(view.shape, view.blocks, strict=True)):
            if a == self.reading.axis or not parts[a]:
                if a == self.reading.axis and self.reading.support.block is not None:
                    first, last = self.reading.support.block
                    start, stop = start + first, start + last
                own = letter if a == self.reading.axis else None
                if own is None:
                    word, (own,) = word.fresh((stop - start,))
                axes.append([Axis(own, size, start, stop)])
                continue
            if len(parts[a]) > 1 and (start, stop) != (0, size):
                raise Irregular
            made = []
            for part in parts[a]:
                own = part.letter
                if own is None:
                    word, (own,) = word.fresh((part.stop - part.start,))
                size = part.size if (start, stop) == (0, view.shape[a]) else view.shape[a]
                made.append(Axis(own, size, start + part.start, start + part.stop))
            axes.append(made)
        if self.weights:
            word = self._weighed(word, axes[self.weights[0].axis])
        return word.term(self.name, [axis for own in axes for axis in own], 1.0)

    def spanned(self, places: Labels, killed: Tolerance | None) -> Labels:
        whole = self.reading.view.shape == self.run.parameters[self.name].shape
        known = killed is not None and whole and self.reading.axis in killed.free
        if killed is None or not known or killed.weights != self.weights:
            return none_spanned(places)
        return killed.spanned(self._in_whole(places))

    def _in_whole(self, places: Labels) -> Labels:
        """Labels of the block that is read, in the parameter; of size 1 along what is summed."""
        view = self.reading.view
        for a, ((start, stop), size) in enumerate(zip(view.blocks, view.shape, strict=True)):
            if a != self.reading.axis and (start, stop) != (0, size):
                pad = [(start, size - stop) if b == a else (0, 0) for b in range(places.ndim)]
                places = np.pad(places, pad, constant_values=NONE)
        return places

    def label(self, pushed: Pushed) -> str:
        gain = self.reading.support.gain
        left = f"{_module(gain[0])} null" if gain else "null"
        return f"{left} → {_module(self.name)}"


def _module(parameter: str) -> str:
    module, _, leaf = parameter.rpartition(".")
    return module if module and leaf in ("weight", "bias") else parameter
