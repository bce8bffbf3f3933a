"""Discrete families that discovery finds: permutations, signs, blocks, copies; refusals."""

import itertools
import math

import pytest
import torch
from torch import nn

import paramsym as ps
from paramsym.discovery.permuting import pointwise
from paramsym.discovery.permuting.checking import check
from paramsym.discovery.permuting.registry import RULES, Call, Result
from paramsym.discovery.permuting.walk import walk
from paramsym.discovery.points import Points
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations, Signs
from paramsym.ports import Port
from tests.discover.discrete_cases import (
    CASES,
    SEQ,
    Case,
    between,
    doubled,
    output,
    recorded,
    vectors,
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_groups(case: Case) -> None:
    model, args = case.built()
    symmetry = ps.discover(model, args)
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert sorted(str(f.group) for f in symmetry.discrete) == sorted(case.groups)
    assert all(f.verified for f in symmetry.discrete)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_rule_fails(case: Case) -> None:
    """A rule that fails refuses its call, which would hide the fault."""
    walk(recorded(*case.built()), strict=True)


# -- twins that try everything --------------------------------------------------------------------


def test_every_permutation_of_a_tiny_layer() -> None:
    """All 4! ways to permute writers, each with all 4! ways to permute readers: those that leave
    the function alone are the family's elements."""
    torch.manual_seed(0)
    n = 4
    model = SEQ(nn.Linear(3, n), nn.GELU(), nn.Linear(n, 2))
    (family,) = ps.discover(model, vectors()).discrete
    params, args = doubled(model), (torch.randn(8, 3, dtype=torch.float64),)
    reference = output(model, params, args)
    found = set()
    for rows, columns in itertools.product(itertools.permutations(range(n)), repeat=2):
        moved = {
            **params,
            "0.weight": params["0.weight"][list(rows)],
            "0.bias": params["0.bias"][list(rows)],
            "2.weight": params["2.weight"][:, list(columns)],
        }
        if torch.allclose(output(model, moved, args), reference, rtol=0, atol=1e-12):
            found.add((rows, columns))
    assert found == {(rows, rows) for rows in itertools.permutations(range(n))}
    assert math.isclose(10**family.log10_order, len(found))
    assert {p.parameter for p in family.ports} == {"0.weight", "0.bias", "2.weight"}


@pytest.mark.parametrize(
    ("activation", "expected"), [(nn.Tanh(), 2**3), (nn.GELU(), 1), (nn.ReLU(), 1)], ids=str
)
def test_every_sign_of_a_tiny_layer(activation: nn.Module, expected: int) -> None:
    """All signs of rows, biases and columns: those that leave the function alone."""
    torch.manual_seed(0)
    n = 3
    model = SEQ(nn.Linear(3, n), activation, nn.Linear(n, 2))
    signs = [f for f in ps.discover(model, vectors()).discrete if isinstance(f.group, Signs)]
    params, args = doubled(model), (torch.randn(8, 3, dtype=torch.float64),)
    reference = output(model, params, args)
    kept = 0
    for flips in itertools.product((1.0, -1.0), repeat=3 * n):
        rows, biases, columns = torch.tensor(flips, dtype=torch.float64).view(3, n)
        moved = {
            **params,
            "0.weight": params["0.weight"] * rows[:, None],
            "0.bias": params["0.bias"] * biases,
            "2.weight": params["2.weight"] * columns,
        }
        kept += torch.allclose(output(model, moved, args), reference, rtol=0, atol=1e-12)
    assert kept == expected
    assert math.isclose(10 ** sum(f.log10_order for f in signs), expected)


# -- planted faults --------------------------------------------------------------------------------


def test_a_false_family_is_withdrawn() -> None:
    """Each of several, and no true one with it; also two that are true only together."""
    torch.manual_seed(0)
    model = SEQ(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4))
    recording = recorded(model, vectors())
    true = ps.discover(model, vectors()).discrete
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}

    def on(name: str, axis: int) -> Port:
        return Port.along(name, shapes[name], axis)

    rows = tuple(on(name, 0) for name in ("0.weight", "0.bias"))
    false = [
        DiscreteFamily("inputs", Permutations(3), (on("0.weight", 1),)),
        DiscreteFamily("outputs", Permutations(4), (on("2.weight", 0), on("2.bias", 0))),
        DiscreteFamily("writers alone", Permutations(5), rows),
        DiscreteFamily("readers alone", Permutations(5), (on("2.weight", 1),)),
        DiscreteFamily("signs of writers", Signs(5), rows),
        DiscreteFamily("signs of readers", Signs(5), (on("2.weight", 1),)),
        DiscreteFamily("bias forgotten", Signs(5), (rows[0], on("2.weight", 1))),
    ]
    points = Points(recording, 0)
    for planted in ([f] for f in false):
        kept, withdrawn, _ = check([*true, *planted], points, seed=0)
        assert withdrawn == [f.name for f in planted]
        assert [f.name for f in kept] == [f.name for f in true]
    for pair in (false[2:4], false[4:6]):  # true only together
        _, withdrawn, _ = check(pair, points, seed=0)
        assert len(withdrawn) == 2


def test_a_wrong_rule_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sigmoid taken for odd."""

    def passes(call: Call) -> Result:
        return pointwise.odd(call)

    monkeypatch.setitem(RULES, "sigmoid", passes)
    torch.manual_seed(0)
    symmetry = ps.discover(between(nn.Sigmoid())(), vectors())
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ("0 → 2 (signs)",)
    assert [str(f.group) for f in symmetry.discrete] == ["S(5)"]


def test_ops_without_a_rule_permute_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SEQ(nn.Linear(3, 5), nn.Softmax(-1), nn.Linear(5, 2))
    for op in ("softmax", "_softmax"):
        monkeypatch.delitem(RULES, op, raising=False)
    assert ps.discover(model, vectors()).discrete == ()


def test_unverified_on_meta() -> None:
    model = between(nn.Tanh())().to("meta")
    symmetry = ps.discover(model, (torch.randn(8, 3, device="meta"),))
    assert [str(f.group) for f in symmetry.discrete] == ["S(5)", "Z₂^5"]
    assert not any(f.verified for f in symmetry.discrete)
