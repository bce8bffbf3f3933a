"""How rules for ops are written: what a call gives them, and how they are found."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, final

from paramsym.discovery.calls import BoundCall
from paramsym.discovery.permuting.aligning import Pairing, pair
from paramsym.discovery.permuting.spaces import Axis, Spaces, axis_size, fixed, uniform, unsigned


@final
@dataclass(frozen=True)
class Value:
    """What is known of one tensor of the run.

    Attributes:
        axes: Its axes.
        of_parameter: Whether it is a parameter, or a view of one.
    """

    axes: tuple[Axis, ...]
    of_parameter: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(axis_size, self.axes))

    @property
    def is_fixed(self) -> bool:
        """Whether it stands in no space, so that it cannot move."""
        return not any(f.space >= 0 for axis in self.axes for s in axis for f in s)


Result = Value | Sequence[Value | None]


@final
@dataclass(frozen=True)
class Call(BoundCall):
    """One call of an op, as rules see it.

    Attributes:
        is_read: Whether each output is read later.
        spaces: The spaces of the walk.
    """

    is_read: tuple[bool, ...]
    spaces: Spaces

    def values(self) -> list[Value]:
        """All tensors among the arguments."""
        return [item for _, item in self.items() if isinstance(item, Value)]

    def refuse(self) -> Result:
        """What is not understood permutes nothing: all spaces that it reads are fixed."""
        for value in self.values():
            for axis in value.axes:
                self.spaces.fix_axis(axis)
        return [None if shape is None else Value(tuple(map(fixed, shape))) for shape in self.shapes]

    def only(self, axes: Sequence[Axis], **more: Any) -> Result:
        """The first output, where nothing reads the others; otherwise a refusal."""
        if any(self.is_read[1:]):
            return self.refuse()
        return [Value(tuple(axes), **more), *([None] * (len(self.shapes) - 1))]

    # -- axes --------------------------------------------------------------------------------

    def settle(self, value: Value) -> tuple[Axis, ...]:
        return tuple(map(self.spaces.settle, value.axes))

    def note_statistics(self, axes: Sequence[Axis], dims: Collection[int]) -> None:
        """Sums over some axes of a value are used: they stand along the others alone."""
        self.spaces.inner.append(tuple(axis for d, axis in enumerate(axes) if d not in dims))

    def even(self, axes: Sequence[Axis]) -> tuple[Axis, ...]:
        """Axes of a value that must not change sign."""
        return tuple(map(self.spaces.even, axes))

    def broadcast(self, values: Sequence[Value], how: Pairing) -> tuple[Axis, ...]:
        """The axes of tensors that are combined entry by entry after broadcasting."""
        shape = self.shape
        result: tuple[Axis, ...] | None = None
        for value in values:
            axes = [uniform(n) for n in shape[: len(shape) - len(value.axes)]]
            for axis, size in zip(value.axes, shape[len(axes) :], strict=True):
                axes.append(axis if axis_size(axis) == size else uniform(size))
            if result is None:
                result = tuple(axes)
            else:
                result = tuple(
                    pair(self.spaces, a, b, how) for a, b in zip(result, axes, strict=True)
                )
        assert result is not None
        return result


Rule = Callable[[Call], Result]

RULES: dict[str, Rule] = {}
"""Rules by the name of the op."""


def rule(*ops: str) -> Callable[[Rule], Rule]:
    """Register a rule for ops."""

    def register(function: Rule) -> Rule:
        for op in ops:
            assert op not in RULES, op
            RULES[op] = function
        return function

    return register


def without_signs(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """The axes of a value that is unchanged by signs."""
    return tuple(map(unsigned, axes))
