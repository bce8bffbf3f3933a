"""Layers that read one value and are added: what one of them changes another takes up.

Of y = W x + s B A x only W + s B A matters. So A may shift by any matrix if W shifts by −s B times
it, and B if W shifts by that times −s A; each is a family of translations that reads the other
factor. (docs/derivations.md §33)
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from paramsym.discovery.shifting.adding import Sum
from paramsym.discovery.shifting.layers import Layer, layers
from paramsym.discovery.shifting.multiplying import Division, Multiplication
from paramsym.discovery.shifting.values import Piece
from paramsym.discovery.shifting.viewing import Viewed
from paramsym.discovery.shifting.walk import Run, Step, Use
from paramsym.discovery.shifting.words import Axis, Word, placed
from paramsym.family import Family
from paramsym.groups import Translation
from paramsym.terms import Term


def parallel_families(run: Run) -> dict[str, Family]:
    """By the parameter that shifts, families of layers of which others take up what they change."""
    search = _Search(run)
    taking: set[str] = set()
    found: dict[str, Family] = {}
    for layer in search.layers.values():
        if layer.name in taking:
            continue
        terms = run.ask(lambda layer=layer: search.taken_up(layer, found), None)
        if not terms:
            continue
        targets = {term.target.parameter for term in terms}
        if len(targets) < len(terms) or any(targets & term.reads for term in terms):
            continue
        group = Translation(layer.size[0] * layer.size[1])
        takers = ", ".join(term.target.parameter for term in terms[1:])
        found[layer.name] = Family(f"{layer.name} → {takers}", group, terms=tuple(terms))
        taking |= targets - {layer.name}
    return found


@final
@dataclass
class _Search:
    """Layers of a run, by their outputs, and where each can take up a change.

    Attributes:
        run: The run.
        layers: By number of the output.
        made_by: For every value the step that makes it.
        taken: By number of a value the layers that are added to it alone, each with its factor.
    """

    run: Run
    layers: dict[int, Layer] = field(default_factory=dict)
    made_by: dict[int, Step] = field(default_factory=dict)
    taken: dict[int, list[tuple[Layer, float]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        found = list(layers(self.run))
        self.made_by = {i: s for s in self.run.steps for i in s.outputs if i is not None}
        self.layers = {layer.output: layer for layer in found}
        read_by: dict[int, list[Layer]] = defaultdict(list)
        for layer in found:
            for source, *_ in self._chain(layer.source):
                read_by[source].append(layer)
        for reading in read_by.values():
            for layer in reading if len(reading) > 1 else ():
                if layer.output not in self.taken:
                    self._follow(layer)

    def taken_up(self, layer: Layer, moving: Collection[str]) -> list[Term] | None:
        """What a shift of a layer by any matrix does to it and to others; `None` if it is seen."""
        rows, columns = (layer.size[a] for a in (layer.rows, layer.columns))
        word = Word({0: rows, 1: columns}, (0, 1), (), (0,), layer.number)
        shape = self.run.values[layer.output].shape
        line = np.arange(rows).reshape([-1 if a == layer.axis else 1 for a in range(len(shape))])
        own = replace(word, coefficient=1.0)
        whole = layer.axes(Axis(0, rows, 0, rows), 1)
        terms = [own.term(layer.name, whole, 1.0)]
        pending = [(layer.output, Piece(word, line))]
        sources = list(self._chain(layer.source))
        while pending:
            number, piece = pending.pop()
            term = self._term(number, piece, layer, sources, moving)
            if term is not None:
                terms.append(term)
                continue
            if number in self.run.outputs:
                return None
            for use in self.run.uses[number]:
                behind = self._through(use, piece, layer.axis)
                if behind is None:
                    return None
                pending.append(behind)
        return terms if len(terms) > 1 else None

    def _term(
        self,
        number: int,
        piece: Piece,
        layer: Layer,
        sources: list[tuple[int, tuple[Layer, ...], float]],
        moving: Collection[str],
    ) -> Term | None:
        """What a layer that is added to a value does against a change of it."""
        for taker, sign in self.taken.get(number, ()):
            rows = taker.size[taker.rows]
            is_vector = piece.labels.size == piece.labels.shape[layer.axis] == rows
            if taker is layer or taker.name in moving or taker.axis != layer.axis:
                continue
            if not is_vector or not np.array_equal(piece.labels.ravel(), np.arange(rows)):
                continue
            read = [s for s in self._chain(taker.source) if not s[1]]
            for source, chain, factor in sources:
                scale = next((f for i, _, f in read if i == source), None)
                if scale is not None:
                    word, letter = piece.word, 1
                    for before in reversed(chain):
                        word, (column,) = word.fresh((before.size[before.columns],))
                        factors = (*word.factors, before.factor(letter, column))
                        word, letter = replace(word, factors=factors), column
                    placing = piece.labels.reshape(-1)
                    word, ((part,),) = placed(word, placing)
                    assert part.letter is not None
                    axes = taker.axes(Axis(part.letter, rows, 0, rows), letter)
                    ratio = factor / (sign * taker.number * scale)
                    return word.term(taker.name, axes, -ratio)
        return None

    def _chain(self, number: int) -> Iterator[tuple[int, tuple[Layer, ...], float]]:
        """The value itself, and those of which it is a product with matrices: the number of each,
        the matrices, the first to act first, and a factor."""
        chain: tuple[Layer, ...] = ()
        factor = 1.0
        while True:
            yield number, chain, factor
            step = self.made_by.get(number)
            layer = self.layers.get(number)
            if layer is not None and not layer.adds:
                number, chain, factor = layer.source, (layer, *chain), factor * layer.number
                continue
            scale = None if step is None else _scale(step)
            if step is None or scale is None:
                return
            number, factor = next(step.call.values())[1].number, factor * scale

    def _follow(self, layer: Layer) -> None:
        """Values to which the layer's output is added, and nothing else reads it."""
        number, sign = layer.output, 1.0
        while True:
            self.taken[number].append((layer, sign))
            uses = self.run.uses[number]
            if len(uses) != 1 or number in self.run.outputs:
                return
            behind = self._passed(uses[0], layer.axis)
            if behind is None:
                return
            number, sign = behind[0], sign * behind[1]

    def _through(self, use: Use, piece: Piece, axis: int) -> tuple[int, Piece] | None:
        """A change of a value behind a call that does the same at every place."""
        passed = self._passed(use, axis)
        if passed is not None:
            return passed[0], piece.times(passed[1])
        step = self.run.steps[use.step]
        output = step.outputs[0]
        layer = None if output is None else self.layers.get(output)
        if output is None or step.op is None or layer is None or layer.axis != axis:
            return None
        if self.run.values[layer.source] is not step.call.value(use.key):
            return None  # it is added to what the layer gives, or is its matrix
        return output, step.op.push(step.call, use.key, piece)[0]

    def _passed(self, use: Use, axis: int) -> tuple[int, float] | None:
        """The output of a call that adds vectors to an argument of the same shape or multiplies it
        by a number, and that number."""
        step = self.run.steps[use.step]
        value, output = step.call.value(use.key), step.outputs[0]
        if step.op is None or output is None or value.shape != step.call.shape:
            return None
        if isinstance(step.op, Sum) or _scale(step) is not None:
            made = step.op.push(step.call, use.key, _marked(value.shape, axis))
            return output, made[0].word.coefficient
        return None


def _marked(shape: tuple[int, ...], axis: int) -> Piece:
    """A shift of every coordinate."""
    size = shape[axis]
    line = np.arange(size).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return Piece(Word.identity(size), line)


def _scale(step: Step) -> float | None:
    """By what a call multiplies its only argument; `None` where it does something else."""
    if isinstance(step.op, Multiplication | Division) and len(list(step.call.values())) == 1:
        key, value = next(step.call.values())
        if not value.shape or not step.op.carried(step.call, key, 0):
            return None
        return step.op.push(step.call, key, _marked(value.shape, 0))[0].word.coefficient
    if isinstance(step.op, Viewed) and step.op.is_identity(step.call):
        return 1.0
    return None
