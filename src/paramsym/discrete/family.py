"""A discrete family: how the coordinates of one hidden space may be permuted, or change sign."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

from paramsym.discrete.groups import DiscreteGroup
from paramsym.ports import Port


@final
@dataclass(frozen=True)
class DiscreteFamily:
    """A finite group and its action on the parameters.

    Both kinds of elements are orthogonal matrices, so that writers and readers transform alike;
    `dual` of a port only says which it is. A port's multiplicity carries blocks: the rows of a head
    move together, in their order.

    Attributes:
        name: Where it lives, writers → readers, and what it does.
        group: Permutations or signs.
        ports: Rows that the coordinates own, in every parameter.
        verified: Whether the invariance was checked numerically.
    """

    name: str
    group: DiscreteGroup
    ports: tuple[Port, ...]
    verified: bool = False

    def __post_init__(self) -> None:
        for port in self.ports:
            expected = (self.group.copies, self.group.n)
            if tuple(port.index.shape[:2]) != expected:
                raise ValueError(
                    f"discrete family {self.name!r}: the port on {port.parameter!r} must index "
                    f"[copies, n] = {list(expected)} coordinates of {self.group}; "
                    f"got {list(port.index.shape[:2])}."
                )
            if port.degree != 1 or port.frame is not None:
                raise ValueError(
                    f"discrete family {self.name!r}: the port on {port.parameter!r} must have "
                    "degree 1 and no frame, because permutations and signs act on rows as they "
                    f"are; got degree {port.degree} and frame {port.frame}."
                )

    @cached_property
    def moves(self) -> frozenset[str]:
        """Names of the parameters that the family changes."""
        return frozenset(port.parameter for port in self.ports)

    @property
    def log10_order(self) -> float:
        """log₁₀ of the number of group elements."""
        return self.group.log10_order

    def require_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise unless the parameters that the family names exist with fitting sizes.

        Raises:
            ValueError: If a parameter is missing, or has another number of entries than its view.
        """
        for port in self.ports:
            if port.parameter not in shapes:
                raise ValueError(
                    f"discrete family {self.name!r} needs parameter {port.parameter!r}, "
                    "which is missing."
                )
            if math.prod(port.view) != math.prod(shapes[port.parameter]):
                raise ValueError(
                    f"discrete family {self.name!r} views {port.parameter!r} as {port.view}; "
                    f"got shape {shapes[port.parameter]}."
                )
