"""One call of an op, as the rules of every analysis see it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from paramsym.discovery.recording import Record


@dataclass(frozen=True)
class BoundCall:
    """One call of an op; each analysis puts values of its own in place of tensors.

    Attributes:
        record: What was called.
        arguments: By the names in the op's schema.
        shapes: Shape of every output; `None` where it is no tensor.
    """

    record: Record
    arguments: Mapping[str, Any]
    shapes: tuple[tuple[int, ...] | None, ...]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self.arguments.get(name, default)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first output."""
        shape = self.shapes[0]
        assert shape is not None
        return shape

    def items(self) -> Iterator[tuple[tuple[str, int], Any]]:
        """All arguments, those in lists one by one, with their names and positions."""
        for name, argument in self.arguments.items():
            listed = argument if isinstance(argument, list | tuple) else [argument]
            for position, item in enumerate(listed):
                yield (name, position), item
