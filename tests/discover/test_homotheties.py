"""Gains 1 + γ scale as other gains do: γ by a homothety about −1."""

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.storage import from_dict, to_dict
from tests.discover.cases import Case, check
from tests.discover.checking import Net, assert_sound, change, generic
from tests.discover.test_rotations import IN, RmsNorm, made, stream

D, INNER, OUT = 4, 5, 3


def linear(n: int, m: int) -> nn.Linear:
    return nn.Linear(n, m, bias=False)


def shifted(width: int) -> RmsNorm:
    return RmsNorm(width, offset=1.0)


def behind(n: Net, x: Tensor) -> Tensor:
    """Norms before and behind a branch, as in Gemma 2."""
    z = n.embed(x)
    z = z + n.first(n.write(torch.tanh(n.read(n.last(z)))))
    return n.head(n.final(z))


def both_ways(n: Net, x: Tensor) -> Tensor:
    """γ and 1 + γ of the same parameter."""
    return n.b((1 + n.g) * n.a(x) + n.g * n.c(x))


def two_numbers(n: Net, x: Tensor) -> Tensor:
    return n.b((1 + n.g) * n.a(x) + (n.g - 2) * n.c(x))


CASES = [
    Case(
        "norms of a stream",
        lambda: stream(shifted),
        ((90, IN),),
        {"T₊(1)": 1, "T₊(4) about -1": 2, "O(4)": 1},
    ),
    Case(
        "a gain between layers, and another number",
        lambda: Net(
            lambda n, x: n.b(torch.relu((n.g - 0.5) * n.a(x))),
            a=linear(IN, D), g=nn.Parameter(torch.randn(D)), b=linear(D, OUT),
        ),
        ((90, IN),),
        {"T₊(4)": 1, "T₊(4) about 0.5": 1},
    ),
    Case(
        "the scale of a stream is that of a gain",
        lambda: Net(
            behind, embed=linear(IN, D), last=shifted(D), read=linear(D, INNER),
            write=linear(INNER, D), first=shifted(D), final=shifted(D), head=linear(D, OUT),
        ),
        ((90, IN),),
        {"T₊(1)": 1, "T₊(1) about -1": 1, "T₊(4) about -1": 2},
        gap=None,  # its spectrum has no gap
    ),
    Case(
        "read in two ways: it stands still",
        lambda: Net(
            both_ways, a=linear(IN, D), c=linear(IN, D), g=nn.Parameter(torch.randn(D)),
            b=linear(D, OUT),
        ),
        ((120, IN),),
        {"T₊(4)": 1},
        gap=None,
    ),
    Case(
        "read with two numbers: likewise",
        lambda: Net(
            two_numbers, a=linear(IN, D), c=linear(IN, D), g=nn.Parameter(torch.randn(D)),
            b=linear(D, OUT),
        ),
        ((120, IN),),
        {"T₊(4)": 1},
        gap=None,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    symmetry = check(case)
    for family in symmetry:
        if isinstance(family.group, ps.Homothety):
            assert not family.has_law
            assert all(port.degree == 1 for port in family.ports)
    assert from_dict(to_dict(symmetry)) == symmetry


def test_acting_keeps_the_point() -> None:
    """γ = −1, a gain of 0, stays; and a point beside it moves away from it."""
    model, args = made(stream(shifted))
    symmetry = ps.discover(model, args)
    name = next(f.name for f in symmetry if isinstance(f.group, ps.Homothety))
    params = {k: p.detach().clone() for k, p in model.named_parameters()}
    params["first.weight"][0] = -1
    g = symmetry.select(name).sample(0.5, generator=torch.Generator().manual_seed(0))
    moved = symmetry.act(g, params)
    assert abs(moved["first.weight"][0] + 1) <= 1e-15
    ratio = g[name][:, 0, 0]
    torch.testing.assert_close(
        moved["first.weight"] + 1, ratio * (params["first.weight"] + 1), rtol=0, atol=1e-14
    )
    assert_sound(model, args, symmetry.select(name))


def test_a_wrong_centre_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaled about 0 instead, the outputs change; the check withdraws it."""
    right = ps.Homothety.translation
    monkeypatch.setattr(ps.Homothety, "translation", lambda self, g: 0 * right(self, g))
    model, args = made(stream(shifted))
    trusted = ps.discover(model, args, verify=False)
    false = [f.name for f in trusted if isinstance(f.group, ps.Homothety)]
    assert len(false) == 2
    defect, _ = change(generic(model), args, trusted.select(false[0]))
    assert defect > 1e-3
    checked = ps.discover(model, args)
    assert checked.verification is not None
    assert set(checked.verification.withdrawn) == set(false)
