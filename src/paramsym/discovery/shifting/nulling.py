"""Null directions of readers: where Σ nᵢ xᵢ = c whatever the data, a weight W may change by v nᵀ,
which shifts what it gives by the constant c v."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from paramsym.discovery.labels import Labels, compress
from paramsym.discovery.shifting.contracting import Contraction
from paramsym.discovery.shifting.looking_up import LookUp
from paramsym.discovery.shifting.pushing import Pushed, push
from paramsym.discovery.shifting.taking_up import families_of
from paramsym.discovery.shifting.tolerance import Tolerance, none_spanned
from paramsym.discovery.shifting.uses import final_uses
from paramsym.discovery.shifting.values import Piece, Support, View
from paramsym.discovery.shifting.walk import Run, Use
from paramsym.discovery.shifting.words import Axis, Factor, Irregular, Word, placed
from paramsym.family import Family
from paramsym.terms import Term


def families_null(
    run: Run, name: str, killed: Tolerance | None, *, as_table: bool
) -> Iterator[Family]:
    """Shifts of a reader along its null direction, and of what takes up the constant.

    Args:
        run: The run.
        name: The reader.
        killed: Changes of it that go unnoticed by themselves.
        as_table: Whether to look for the shift of all rows of a table along that direction, which
            its shifts along any direction would contain.
    """
    uses = final_uses(run, name)
    reading = next((r for use in uses if (r := reading_of(run, use))), None)
    if reading is None:
        return
    source = NullDirection(run, name, reading, tuple(uses))
    families = list(families_of(source, reading.rows(), killed))
    if not families and as_table and len(uses) > 1:
        # A table as well: only what all of its rows have in common is the same for all data.
        families = list(families_of(source, np.zeros_like(reading.rows()), killed))
    yield from families


@final
@dataclass(frozen=True)
class Reading:
    """A parameter that reads a value of which a support is known.

    Attributes:
        use: Where.
        view: As what the parameter is seen there.
        axis: The axis of the parameter (of `view.shape`) that is summed.
        support: The fact.
    """

    use: Use
    view: View
    axis: int
    support: Support

    def rows(self) -> Labels:
        """A component for every row of the parameter."""
        lengths = [b - a for a, b in self.view.blocks]
        lengths[self.axis] = 1
        return np.arange(int(np.prod(lengths))).reshape(lengths)

    def same_as(self, other: "Reading | None") -> bool:
        return (
            other is not None
            and (self.view.shape, self.view.blocks, self.axis)
            == (other.view.shape, other.view.blocks, other.axis)
            and replace(self.support, axis=0) == replace(other.support, axis=0)
        )


def reading_of(run: Run, use: Use) -> Reading | None:
    """What a use of a parameter reads, if something is known of it."""
    step = run.steps[use.step]
    if not isinstance(step.op, Contraction):
        return None
    product = step.op.product(step.call)
    if product is None or use.key not in product.keys:
        return None
    side = product.keys.index(use.key)
    own, other = product.letters[side], product.letters[1 - side]
    value, read = step.call.value(use.key), step.call.value(product.keys[1 - side])
    summed = [x for x in own if x not in product.result]
    if len(summed) != 1 or value.view is None or summed[0] not in other:
        return None
    axes = value.view.axes[own.index(summed[0])]
    supports = [s for s in read.supports if s.axis == other.index(summed[0])]
    if len(axes) != 1 or not supports:
        return None
    seen = {a for axis in value.view.axes for a in axis}
    rest = (block for a, block in enumerate(value.view.blocks) if a not in seen)
    alone = all(stop - start == 1 for start, stop in rest)
    return Reading(use, value.view, axes[0], supports[0]) if alone else None


@final
@dataclass(frozen=True)
class NullDirection:
    """Shifts of a reader along its null direction."""

    run: Run
    name: str
    reading: Reading
    uses: tuple[Use, ...]

    def pushed(self, places: Labels) -> Pushed:
        n = int(places.max()) + 1
        starts = []
        for use in self.uses:
            start = self._start(use, places, n)
            if start is None:
                return Pushed(np.ones(n, dtype=bool))
            starts += start
        return push(self.run, self.name, n, starts)

    def _start(self, use: Use, places: Labels, n: int) -> list[tuple[int, Piece]] | None:
        """What the shift does where the parameter is used; `None` if that depends on data."""
        step = self.run.steps[use.step]
        output = step.outputs[0]
        if output is None:
            return None
        reading = reading_of(self.run, use)
        if self.reading.same_as(reading):
            assert reading is not None
            labels = self._on_output(reading, places)
            word = self._constant(Word.identity(n))
            return [] if word is None else [(output, Piece(word, labels))]
        if isinstance(step.op, LookUp) and n == 1 and bool((places == 0).all()):
            value = step.call.value(use.key)
            ndim = len(step.call.shape)
            whole = value.view is not None and value.view.is_whole
            if not whole or self.reading.axis != len(value.shape) - 1:
                return None
            word, letter = self._direction(Word.identity(1))
            if letter is None:
                return [(output, Piece(word, np.zeros((1,) * ndim, dtype=np.int64)))]
            size = word.sizes[letter]
            labels = np.arange(size).reshape((1,) * (ndim - 1) + (size,))
            return [(output, Piece(replace(word, result=(letter,)), labels))]
        return None

    def _on_output(self, reading: Reading, places: Labels) -> Labels:
        step = self.run.steps[reading.use.step]
        assert isinstance(step.op, Contraction)
        product = step.op.product(step.call)
        assert product is not None
        own = product.letters[product.keys.index(reading.use.key)]
        view = reading.view
        order = [a for axis in view.axes for a in axis]
        rest = [a for a in range(places.ndim) if a not in order]
        value = step.call.value(reading.use.key)
        lengths = [
            1 if view.axes[k] == (reading.axis,) else size for k, size in enumerate(value.shape)
        ]
        full = np.broadcast_to(
            places, [1 if a == reading.axis else b[1] - b[0] for a, b in enumerate(view.blocks)]
        )
        there = full.transpose([*order, *rest]).reshape(
            [n if view.axes[k] else 1 for k, n in enumerate(lengths)]
        )
        sizes = dict(zip(own, there.shape, strict=True))
        kept = [x for x in product.result if x in own]
        moved = there.transpose([*(own.index(x) for x in kept),
                                 *(a for a, x in enumerate(own) if x not in kept)])  # fmt: skip
        return compress(moved.reshape([sizes.get(x, 1) for x in product.result]))

    def _constant(self, word: Word) -> Word | None:
        """c v; `None` where c is 0."""
        step = self.run.steps[self.reading.use.step]
        assert isinstance(step.op, Contraction)
        product = step.op.product(step.call)
        assert product is not None
        support = self.reading.support
        if support.bias is None:
            number = support.constant * product.number
            return word.times(number) if number else None
        (size,) = self.run.parameters[support.bias].shape
        word, (letter,) = word.fresh((size,))
        axis = (Axis(letter, size, 0, size),)
        factors = [Factor(support.bias, axis)]
        if support.gain is not None:
            gain, offset = support.gain
            factors.append(Factor(gain, axis, -1, offset))
        return replace(word, factors=(*word.factors, *factors)).times(product.number)

    def _direction(self, word: Word) -> tuple[Word, int | None]:
        """v times n, and the letter of n; none where n is constant."""
        if self.reading.support.gain is None:
            return word, None
        gain, offset = self.reading.support.gain
        (size,) = self.run.parameters[gain].shape
        word, (letter,) = word.fresh((size,))
        factor = Factor(gain, (Axis(letter, size, 0, size),), -1, offset)
        return replace(word, factors=(*word.factors, factor)), letter

    def term(self, places: Labels) -> Term:
        word, parts = placed(Word.identity(int(places.max()) + 1), places)
        word, letter = self._direction(word)
        view, axes = self.reading.view, []
        for a, (size, (start, stop)) in enumerate(zip(view.shape, view.blocks, strict=True)):
            if a == self.reading.axis or not parts[a]:
                own = letter if a == self.reading.axis else None
                if own is None:
                    word, (own,) = word.fresh((stop - start,))
                axes.append(Axis(own, size, start, stop))
                continue
            if len(parts[a]) > 1 and (start, stop) != (0, size):
                raise Irregular
            for part in parts[a]:
                own = part.letter
                if own is None:
                    word, (own,) = word.fresh((part.stop - part.start,))
                size = part.size if (start, stop) == (0, view.shape[a]) else view.shape[a]
                axes.append(Axis(own, size, start + part.start, start + part.stop))
        return word.term(self.name, axes, 1.0)

    def spanned(self, places: Labels, killed: Tolerance | None) -> Labels:
        whole = self.reading.view.shape == self.run.parameters[self.name].shape
        if killed is None or not whole or self.reading.axis not in killed.free:
            return none_spanned(places)
        return killed.spanned(places)

    def label(self, pushed: Pushed) -> str:
        gain = self.reading.support.gain
        left = f"{_module(gain[0])} null" if gain else "null"
        return f"{left} → {_module(self.name)}"


def _module(parameter: str) -> str:
    module, _, leaf = parameter.rpartition(".")
    return module if module and leaf in ("weight", "bias") else parameter
