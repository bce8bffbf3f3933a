"""What is known of the values of a run, and the shifts that are carried through it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import final

from torch import Tensor

from paramsym.discovery.labels import Labels
from paramsym.discovery.shifting.words import Word


@final
@dataclass(frozen=True)
class View:
    """A value that is a parameter, with its axes in another order or shape, or in part.

    Attributes:
        parameter: Its name.
        shape: Shape in which the parameter is seen.
        blocks: The part taken of every axis of it.
        axes: For every axis of the value the axes of `shape` that it runs over, the slowest first;
            none where it only repeats.
    """

    parameter: str
    shape: tuple[int, ...]
    blocks: tuple[tuple[int, int], ...]
    axes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, parameter: str, shape: Sequence[int]) -> "View":
        return cls(
            parameter,
            tuple(shape),
            tuple((0, size) for size in shape),
            tuple((a,) for a in range(len(shape))),
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is the parameter as it is, up to axes of size 1."""
        taken = [a for axis in self.axes for a in axis]
        return (
            taken == [a for a in range(len(self.shape)) if a in taken]
            and all(self.shape[a] == 1 for a in range(len(self.shape)) if a not in taken)
            and all(b == (0, size) for b, size in zip(self.blocks, self.shape, strict=True))
        )

    def is_apart_from(self, other: "View") -> bool:
        """Whether two parts of one parameter certainly have no entry in common."""
        if self.shape == other.shape:
            both = zip(self.blocks, other.blocks, strict=True)
            return any(max(a[0], b[0]) >= min(a[1], b[1]) for a, b in both)
        (first, last), (start, end) = self._range(), other._range()
        return last < start or end < first

    def _range(self) -> tuple[int, int]:
        """The first and the last entry, by their numbers in the parameter."""
        corners = [(start, stop - 1) for start, stop in self.blocks]
        steps = [prod(self.shape[a + 1 :]) for a in range(len(self.shape))]
        ends = zip(*corners, strict=True) if corners else ((), ())
        first, last = (sum(k * n for k, n in zip(e, steps, strict=True)) for e in ends)
        return first, last


@final
@dataclass(frozen=True)
class Support:
    """A fact of a value: Σ nᵢ xᵢ = c along an axis, whatever the data.

    Attributes:
        axis: The axis.
        gain: The parameter γ in n = 1/γ, with what is added to it; `None` for n = 1.
        bias: The parameter β in c = Σ βᵢ/γᵢ.
        constant: c, where there is no such parameter.
        block: The part of the axis over which the sum runs, and which γ and β fill; `None` for all.
    """

    axis: int
    gain: tuple[str, float] | None = None
    bias: str | None = None
    constant: float = 0.0
    block: tuple[int, int] | None = None

    @property
    def is_sum(self) -> bool:
        """Whether all entries along the axis are added up as they are."""
        return self.gain is None and self.block is None

    @property
    def is_zero(self) -> bool:
        """Whether c = 0."""
        return self.bias is None and self.constant == 0


@final
@dataclass(frozen=True, eq=False)
class Pivot:
    """A parameter that can take up a shift of a value: it is added to it, and is nowhere else.

    Attributes:
        parameter: Its name.
        places: Which of its components every entry of the parameter is, compressed.
        labels: Which of them stands at every entry of the value.
        sign: By what factor.
    """

    parameter: str
    places: Labels
    labels: Labels
    sign: float = 1.0


@final
@dataclass(frozen=True, eq=False)
class Piece:
    """A change of a value that does not depend on data: at every entry one component of a word.

    Attributes:
        word: The vector.
        labels: Which component stands where; `NONE` for none.
    """

    word: Word
    labels: Labels

    def at(self, labels: Labels) -> "Piece":
        return replace(self, labels=labels)

    def times(self, number: float) -> "Piece":
        return replace(self, word=self.word.times(number))


@final
@dataclass(frozen=True, eq=False)
class Value:
    """One tensor of the run.

    Attributes:
        number: Its number.
        shape: Its shape.
        moves: Whether it depends on a parameter.
        view: As what of a parameter it is seen, if it is nothing else.
        supports: Facts that hold for it.
        pivot: A parameter that can take up its shifts.
        reads: How often it is read, by calls and as an output.
        constant: Its name and its entries, where it is a constant of the model.
        is_fixed: Whether it is a buffer that no call writes to, the same in every run.
    """

    number: int
    shape: tuple[int, ...]
    moves: bool = False
    view: View | None = None
    supports: tuple[Support, ...] = ()
    pivot: Pivot | None = None
    reads: int = 0
    constant: tuple[str, Tensor] | None = None
    is_fixed: bool = False
