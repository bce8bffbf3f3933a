"""Multiplication of entries: by a number, a parameter, or data."""

from collections.abc import Mapping
from dataclasses import replace

from paramsym.discovery.shifting.contracting import Entrywise
from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.supporting import times
from paramsym.discovery.shifting.tolerance import Tolerance
from paramsym.discovery.shifting.values import Piece, Support

_ENTRYWISE, _QUOTIENT = Entrywise(), Entrywise(-1)


@op("mul", "neg")
class Multiplication(Op):
    """By a number it only changes the size; by a parameter it is a word; by data it passes where
    nothing is noticed."""

    weighs = True

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        if _number(call) is not None:
            return {key: outputs[0] for key, _ in call.values()}
        return _ENTRYWISE.tolerances(call, outputs)

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        number = _number(call)
        if number is not None:
            return {0: piece.times(number)}
        return _ENTRYWISE.push(call, key, piece)

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        return {} if _number(call) is None else {0: axis}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        return {0: _supports(call, divides=False)}


@op("div")
class Division(Op):
    """Only the numerator passes."""

    weighs = True

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        if _number(call) is not None:
            return {key: outputs[0] for key, _ in call.values()}
        if call.get("rounding_mode"):
            return {}
        found = _QUOTIENT.tolerances(call, outputs)
        return {key: tolerance for key, tolerance in found.items() if key[0] == "self"}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        number = _number(call)
        if number is None:
            raise Refused
        return {0: piece.times(number)}

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        return {} if _number(call) is None else {0: axis}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        return {0: _supports(call, divides=True)}


def _supports(call: Call, *, divides: bool) -> tuple[Support, ...]:
    """Facts of a product: a number or data that are the same along the axis change nothing of
    Σ n x = 0, and a gain is divided out."""
    given = [value for _, value in call.values()]
    number = _number(call)
    if number is not None:
        kept = (s for s in given[0].supports if s.bias is None)
        return tuple(replace(s, constant=s.constant * number) for s in kept)
    if len(given) != 2:
        return ()
    found = []
    for value, other in (given, given[::-1])[: 1 if divides else 2]:
        lead, short = len(call.shape) - len(value.shape), len(call.shape) - len(other.shape)
        for s in value.supports:
            axis = s.axis + lead - short
            if divides and axis >= 0 and other.shape[axis] > 1:
                continue
            made = times(s, other, axis)
            found += [] if made is None else [replace(made, axis=s.axis + lead)]
    return tuple(found)


def _number(call: Call) -> float | None:
    """The number that the only tensor is multiplied by; `None` where it is none."""
    if call.record.op.removesuffix("_") == "neg":
        return -1.0
    other = call.get("other")
    numeric = isinstance(other, int | float) and not isinstance(other, bool)
    if not numeric or not other or call.get("rounding_mode"):
        return None
    return 1.0 / other if call.record.op.startswith("div") else float(other)
