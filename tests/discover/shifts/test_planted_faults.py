"""A wrong answer about an op gives a false family, which does not reach a user."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.discovery.shifting.normalising import LayerNorm
from paramsym.discovery.shifting.registry import OPS, Call, Key, Op
from paramsym.discovery.shifting.tolerance import Tolerance, constant_along
from paramsym.discovery.shifting.values import Piece, Support
from tests.discover.checking import Net, generic, groups


class Passes(Op):
    """Says that a shift goes through unchanged."""

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        return {0: piece}


class Removes(Op):
    """Says that what is constant along the last axis is removed."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        return {("self", 0): constant_along(len(call["self"].shape), [-1], "planted")}


class WrongSupport(LayerNorm):
    """Says that what comes out adds up to zero along the last axis, whatever the gain is."""

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        return {0: (Support(len(call.shape) - 1),)}


def two_layers(between: Callable[[Tensor], Tensor]) -> nn.Module:
    return generic(
        Net(lambda net, x: net.b(between(net.a(x))), a=nn.Linear(5, 3), b=nn.Linear(3, 4))
    )


FAULTS = [
    ("tanh", Passes(), lambda: two_layers(torch.tanh), "a.bias → b.bias"),
    ("tanh", Removes(), lambda: two_layers(torch.tanh), "a.bias (planted)"),
    (
        "layer_norm",
        WrongSupport(),
        lambda: generic(nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 4))),
        "null → 1",
    ),
]


@pytest.mark.parametrize(("op", "lie", "model", "name"), FAULTS, ids=[f[3] for f in FAULTS])
def test_a_false_family_is_withdrawn(
    op: str, lie: Op, model: Callable[[], nn.Module], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, args = model(), (torch.randn(40, 5, dtype=torch.float64),)
    honest = ps.discover(built, args)
    monkeypatch.setitem(OPS, op, lie)
    assert name in {family.name for family in ps.discover(built, args, verify=False)}
    symmetry = ps.discover(built, args)
    assert symmetry.verification is not None
    assert name in symmetry.verification.withdrawn
    assert name not in {family.name for family in symmetry}
    # Nothing that is true goes with it.
    kept = groups(symmetry)
    lost = groups(honest) - kept
    assert sum(lost.values()) <= 1


def test_an_op_that_fails_is_one_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails(Op):
        def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
            raise KeyError("an argument that another version calls otherwise")

    model = generic(nn.Sequential(nn.Linear(5, 3), nn.Softmax(-1)))
    args = (torch.randn(9, 5, dtype=torch.float64),)
    assert groups(ps.discover(model, args)) == {"R^5": 1, "R^1": 1}
    monkeypatch.setitem(OPS, "softmax", Fails())
    monkeypatch.setitem(OPS, "_softmax", Fails())
    assert not groups(ps.discover(model, args))
