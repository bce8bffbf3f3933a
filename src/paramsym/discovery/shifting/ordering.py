"""Ops that order entries along an axis: a number added to all of them changes no place."""

from collections.abc import Mapping

from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.tolerance import (
    UNREAD,
    Tolerance,
    constant_along,
    joined_along,
    meet,
)
from paramsym.discovery.shifting.values import Piece


@op("topk", "sort")
class Ordered(Op):
    """What is constant along the axis goes on to the values; the indices stay, whoever reads them,
    as routers' do."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        axis = _axis(call)
        back = joined_along(outputs[0], [axis])
        if (back.labels == UNREAD).any():  # of the values; the order is still seen by the indices
            back = meet(back, constant_along(len(call["self"].shape), [axis], call.record.op))
        return {("self", 0): Tolerance(back.labels, back.free - {axis}, back.cause)}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        if piece.labels.shape[_axis(call)] > 1:
            raise Refused
        return {0: piece}


def _axis(call: Call) -> int:
    return call.get("dim", -1) % len(call["self"].shape)
