"""What is said of an op, in four answers that all refuse by default."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar, final

from paramsym.discovery.calls import BoundCall
from paramsym.discovery.shifting.tolerance import Tolerance
from paramsym.discovery.shifting.values import Piece, Pivot, Support, Value, View

Key = tuple[str, int]
"""An argument by its name in the schema, and the position in it if it is a list (otherwise 0)."""


class Refused(Exception):
    """The op does not pass a shift on in a way that is followed."""


@final
@dataclass(frozen=True)
class Call(BoundCall):
    """One call of an op."""

    def values(self) -> Iterator[tuple[Key, Value]]:
        """All tensors among the arguments."""
        return ((key, item) for key, item in self.items() if isinstance(item, Value))

    def value(self, key: Key) -> Value:
        argument = self.arguments[key[0]]
        return argument[key[1]] if isinstance(argument, list | tuple) else argument


class Op:
    """What an op does to shifts. The answers of this class refuse: an op that says nothing notices
    every change, and passes nothing on.

    Attributes:
        weighs: Whether it takes tolerances with weights. To others they are shown as none.
    """

    weighs: ClassVar[bool] = False

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        """Changes of the arguments that go unnoticed, where those of the outputs do. Arguments that
        are not named must not change."""
        return {}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        """What a shift of one argument does to the outputs, by their positions.

        Raises:
            Refused: If that depends on data, or is not followed.
        """
        raise Refused

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        """Facts that hold for the outputs."""
        return {}

    def view(self, call: Call) -> Mapping[int, View]:
        """Outputs that are parameters seen in another way."""
        return {}

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        """For every output the axis along which vectors lie if those of an argument lie along
        `axis`: there the op is linear and treats all coordinates alike, and what it adds to them
        must be vectors too. None where that is not so."""
        return {}

    def pivots(self, call: Call) -> Mapping[int, Pivot]:
        """Parameters that can take up shifts of outputs."""
        return {}


OPS: dict[str, Op] = {}
"""What is known, by the name of the op."""


Known = TypeVar("Known", bound=Op)


def op(*names: str) -> Callable[[type[Known]], type[Known]]:
    """Register an `Op` for ops, by their names."""

    def register(cls: type[Known]) -> type[Known]:
        for name in names:
            assert name not in OPS, name
            OPS[name] = cls()
        return cls

    return register
