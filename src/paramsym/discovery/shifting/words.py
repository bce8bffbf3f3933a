"""Words: vectors that depend linearly on a shift, written as products of parameters.

A word `z = coefficient · Σ u · W · γ⁻¹ …` has letters for the axes of the shift u, of the
parameters that it reads, and of its result. Composing words is what pushing a shift through a
linear layer means; at the end a word becomes a `Term`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import final

from paramsym.discovery.labels import Labels
from paramsym.discovery.shifting.layout import Range, layout
from paramsym.terms import Slot, Source, Term

_NAMES = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Irregular(Exception):
    """A structure that products of ranges do not describe."""


@final
@dataclass(frozen=True)
class Axis:
    """An axis of a factor: how long it is in the parameter, the block taken, and its letter."""

    letter: int
    size: int
    start: int
    stop: int

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.stop == self.size

    @property
    def length(self) -> int:
        return self.stop - self.start


@final
@dataclass(frozen=True)
class Factor:
    """A parameter in a word, seen in some shape, with a letter for every axis; or a constant, if
    it has values."""

    parameter: str
    axes: tuple[Axis, ...]
    power: float = 1
    offset: float = 0.0
    values: tuple[float, ...] | None = None

    @property
    def slot(self) -> Slot:
        return _slot(self.parameter, self.axes)


@final
@dataclass(frozen=True)
class Word:
    """A vector that depends linearly on a shift.

    Attributes:
        sizes: Length of every letter.
        shift: Letters of the shift u, in row order.
        factors: The parameters read.
        result: Letters of the vector, in row order.
        coefficient: A number.
    """

    sizes: dict[int, int]
    shift: tuple[int, ...]
    factors: tuple[Factor, ...]
    result: tuple[int, ...]
    coefficient: float = 1.0

    @classmethod
    def identity(cls, n: int) -> "Word":
        return cls({0: n}, (0,), (), (0,))

    @property
    def size(self) -> int:
        return math.prod(self.sizes[x] for x in self.result)

    @property
    def is_identity(self) -> bool:
        """Whether the vector is the shift itself, up to a number."""
        return not self.factors and self.shift == self.result

    def fresh(self, sizes: Sequence[int]) -> tuple["Word", tuple[int, ...]]:
        """The word, with new letters of these lengths known to it."""
        letters = tuple(max(self.sizes, default=-1) + 1 + i for i in range(len(sizes)))
        return replace(
            self, sizes={**self.sizes, **dict(zip(letters, sizes, strict=True))}
        ), letters

    def times(self, number: float) -> "Word":
        return replace(self, coefficient=self.coefficient * number)

    def split(self, letter: int, sizes: Sequence[int]) -> tuple["Word", tuple[int, ...]]:
        """The word with a letter replaced by several, in row order.

        Raises:
            Irregular: If a factor takes a part of the axis only, which cannot be cut.
        """
        if len(sizes) == 1:
            return self, (letter,)
        word, parts = self.fresh(sizes)

        def spelled(letters: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(y for x in letters for y in (parts if x == letter else (x,)))

        factors = []
        for factor in word.factors:
            axes: list[Axis] = []
            for axis in factor.axes:
                if axis.letter == letter:
                    axes += _cut(axis, sizes, parts)
                else:
                    axes.append(axis)
            factors.append(replace(factor, axes=tuple(axes)))
        rest = {x: size for x, size in word.sizes.items() if x != letter}
        return (
            Word(rest, spelled(word.shift), tuple(factors), spelled(word.result), word.coefficient),
            parts,
        )

    def restricted(self, letter: int, start: int, stop: int) -> "Word":
        """The word where a letter runs over a part of its range.

        Raises:
            Irregular: If it is a letter of the shift, of which a part would then do nothing.
        """
        if (start, stop) == (0, self.sizes[letter]):
            return self
        if letter in self.shift:
            raise Irregular
        factors = tuple(
            replace(
                factor,
                axes=tuple(
                    replace(a, start=a.start + start, stop=a.start + stop)
                    if a.letter == letter
                    else a
                    for a in factor.axes
                ),
            )
            for factor in self.factors
        )
        return replace(self, sizes={**self.sizes, letter: stop - start}, factors=factors)

    def term(self, parameter: str, axes: Sequence[Axis], coefficient: float) -> Term:
        """What adds the vector to a parameter, whose axes carry its letters (and others)."""
        letters = dict.fromkeys([*self.shift, *(a.letter for f in self.factors for a in f.axes),
                                 *(a.letter for a in axes)])  # fmt: skip
        if len(letters) > len(_NAMES):
            raise Irregular
        names = dict(zip(letters, _NAMES, strict=False))
        operands = [self.shift, *(tuple(a.letter for a in f.axes) for f in self.factors)]
        spelled = ",".join("".join(names[x] for x in operand) for operand in operands)
        equation = f"{spelled}->{''.join(names[a.letter] for a in axes)}"
        sources = tuple(Source(f.slot, f.power, f.offset, f.values) for f in self.factors)
        view = tuple(self.sizes[x] for x in self.shift) if len(self.shift) != 1 else ()
        target = _slot(parameter, tuple(axes))
        return Term(target, equation, sources, coefficient * self.coefficient, view)


def _cut(axis: Axis, sizes: Sequence[int], letters: Sequence[int]) -> list[Axis]:
    """An axis in several, if all of it is taken, or whole slices of the slowest part."""
    inner = math.prod(sizes[1:])
    if axis.is_whole:
        outer = Axis(letters[0], sizes[0], 0, sizes[0])
    elif axis.size % inner == 0 and axis.start % inner == 0:
        start = axis.start // inner
        outer = Axis(letters[0], axis.size // inner, start, start + sizes[0])
    else:
        raise Irregular
    return [outer, *(Axis(x, n, 0, n) for x, n in zip(letters[1:], sizes[1:], strict=True))]


def _slot(parameter: str, axes: tuple[Axis, ...]) -> Slot:
    """The block of the parameter, in the shape that the axes count."""
    block = () if all(a.is_whole for a in axes) else tuple(
        None if a.is_whole else (a.start, a.stop) for a in axes
    )  # fmt: skip
    return Slot(parameter, block, tuple(a.size for a in axes))


@final
@dataclass(frozen=True)
class Part:
    """A factor of an axis on which a vector stands: a range, and its letter; `None` where the
    vector does not vary."""

    size: int
    start: int
    stop: int
    letter: int | None


def placed(word: Word, labels: Labels) -> tuple[Word, list[list[Part]]]:
    """The letters of the word's result along the axes of an array of labels.

    Returns:
        The word, its letters split as far as the array needs, and for every axis its parts.

    Raises:
        Irregular: If the labels are no product of ranges, or list a part of the result that cannot
            be cut out.
    """
    found = layout(labels)
    if found is None:
        raise Irregular
    axes = [list(ranges) for ranges in found.axes]
    strided = sorted(
        (
            (r.stride, a, i)
            for a, ranges in enumerate(axes)
            for i, r in enumerate(ranges)
            if r.stride
        ),
        reverse=True,
    )
    lengths = [axes[a][i].stop - axes[a][i].start for _, a, i in strided]
    for k, (stride, _, _) in enumerate(strided):
        if stride != math.prod(lengths[k + 1 :]):
            raise Irregular
    total = math.prod(lengths)
    if total != word.size:
        word = _window(word, found.first, total)
    # Both spell the same range of labels; cut both until they agree.
    letters = list(word.result)
    spelled: dict[tuple[int, int], list[int]] = {}
    for (_, a, i), length in zip(strided, lengths, strict=True):
        taken: list[int] = []
        need = length
        while need > 1:
            if not letters:
                raise Irregular
            letter = letters.pop(0)
            size = word.sizes[letter]
            if size > need:
                if size % need:
                    raise Irregular
                word, parts = word.split(letter, (need, size // need))
                letter, letters = parts[0], [parts[1], *letters]
                size = need
            elif need % size:
                raise Irregular
            taken.append(letter)
            need //= size
        spelled[a, i] = taken
    return word, [
        [part for i, r in enumerate(ranges) for part in _parts(word, r, spelled.get((a, i), []))]
        for a, ranges in enumerate(axes)
    ]


def _parts(word: Word, found: Range, letters: list[int]) -> list[Part]:
    """A range in as many parts as letters run over it."""
    if len(letters) < 2:
        return [Part(found.size, found.start, found.stop, letters[0] if letters else None)]
    inner = math.prod(word.sizes[x] for x in letters[1:])
    if found.size % inner or found.start % inner:
        raise Irregular
    start = found.start // inner
    outer = Part(found.size // inner, start, start + word.sizes[letters[0]], letters[0])
    return [outer, *(Part(word.sizes[x], 0, word.sizes[x], x) for x in letters[1:])]


def _window(word: Word, first: int, total: int) -> Word:
    """The word's result from entry `first` on: a part of its slowest letter."""
    if not word.result:
        raise Irregular
    letter = word.result[0]
    inner = word.size // word.sizes[letter]
    if first % inner or total % inner:
        raise Irregular
    return word.restricted(letter, first // inner, (first + total) // inner)


def target_axes(
    word: Word, axes: list[list[Part]], sizes: Sequence[int]
) -> tuple[Word, list[list[Axis]]]:
    """For every axis of a parameter of this shape its letters, for parts found in labels that
    broadcast to it."""
    found: list[list[Axis]] = []
    letters = count(max(word.sizes, default=-1) + 1)
    for parts, size in zip(axes, sizes, strict=True):
        own: list[Axis] = []
        for part in parts or [Part(size, 0, size, None)]:
            letter = next(letters) if part.letter is None else part.letter
            own.append(Axis(letter, part.size, part.start, part.stop))
        found.append(own)
    return word, found
