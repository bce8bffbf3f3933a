"""The registry of op rules. An op without a rule is a barrier.

A rule is a function of one `Call`: it states facts and returns what is known of the outputs. It is
registered by the op's name, refuses what it does not understand (`call.refuse()`), and knows
nothing of the analyses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from paramsym.discovery.calls import BoundCall
from paramsym.discovery.facts import Facts
from paramsym.discovery.labels import Layer, Value

NOT_UNDERSTOOD = "no rule for this op, or a use of it that the rule does not cover"
STOPS_GRADIENT = "stops the gradient (detach or no_grad), so that laws of training end here"

Result = Value | Sequence[Value | None]
Rule = Callable[["Call"], Result]
Layout = Callable[["Call", tuple[int, ...], int], tuple[Layer, ...] | None]
"""From a call, the parameter's shape, and its position in the argument if that is a list."""


@final
@dataclass(frozen=True)
class Call(BoundCall):
    """One call of an op, with labelled values for its tensors.

    Attributes:
        index: Position of the record.
        facts: Where rules state what they know.
    """

    index: int
    facts: Facts

    def output(self, layers: Sequence[Layer] = (), **known: Any) -> Value:
        """The first output, with these layers."""
        return Value(self.shape, tuple(layers), **known)

    def outputs(self, *values: Value) -> list[Value | None]:
        """All outputs: those given, then unlabelled ones."""
        rest = self.shapes[len(values) :]
        return [*values, *(None if shape is None else Value(shape) for shape in rest)]

    def values(self) -> list[Value]:
        """The tensors among the arguments."""
        return [item for _, item in self.items() if isinstance(item, Value)]

    def pin(self) -> Result:
        """Nothing may change what the op reads: its outputs are as data."""
        for value in self.values():
            self.facts.pin(value)
        return self.outputs()

    def refuse(self, reason: str = NOT_UNDERSTOOD) -> Result:
        """As `pin`, and noted as a barrier: the op was not analysed."""
        if any(value.layers for value in self.values()):
            self.facts.barrier(self.record.op, self.record.module, reason)
        return self.pin()


RULES: dict[str, Rule] = {}
"""Rules by op name."""

READS_SQUARES: set[str] = set()
"""Ops whose rules take squares that are still pending (sums, which make them norms)."""

COMBINES: set[str] = set()
"""Ops whose rules carry combinations on; before all others they end."""

HOLDS_PAIRS: set[str] = set()
"""Ops whose rules take complex values as pairs of real and imaginary parts."""

LAYOUTS: dict[tuple[str, str], Layout] = {}
"""(op, argument) → how a parameter used there is labelled, where not axis by axis."""


def rule(
    *ops: str, reads_squares: bool = False, combines: bool = False, holds_pairs: bool = False
) -> Callable[[Rule], Rule]:
    """Register a rule for ops, by their names without overload: `relu` for torch's own, and
    `acme::relu` for others.

    Raises:
        ValueError: If an op has a rule already.
    """

    def register(function: Rule) -> Rule:
        for op in ops:
            if op in RULES:
                raise ValueError(f"op {op!r} has a rule already: {RULES[op].__name__}.")
            RULES[op] = function
            if reads_squares:
                READS_SQUARES.add(op)
            if combines:
                COMBINES.add(op)
            if holds_pairs:
                HOLDS_PAIRS.add(op)
        return function

    return register


def layout(argument: str, *ops: str) -> Callable[[Layout], Layout]:
    """Register how a parameter passed as this argument of these ops is labelled; `None` from the
    layout leaves it to the next use of the parameter."""

    def register(function: Layout) -> Layout:
        for op in ops:
            LAYOUTS[op, argument] = function
        return function

    return register
