"""Matrices that fix what a LayerNorm puts out, move its bias, and are undone by its readers."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.discovery.facts import Facts
from paramsym.discovery.statements import Gain
from tests.discover.cases import Case, check
from tests.discover.checking import Net, assert_sound, change, generic

IN, D, INNER, OUT = 6, 4, 5, 3


def block(*, bias: tuple[bool, bool] = (False, False), norm: type = nn.LayerNorm) -> nn.Module:
    """A norm with two readers, of which each may have a bias."""
    return Net(
        lambda n, x: torch.cat([torch.tanh(n.one(z := n.norm(n.embed(x)))), n.two(z)], -1),
        embed=nn.Linear(IN, D, bias=False),
        norm=norm(D),
        one=nn.Linear(D, INNER, bias=bias[0]),
        two=nn.Linear(D, OUT, bias=bias[1]),
    )


def found(model: nn.Module) -> list[ps.Family]:
    x = torch.randn(90, IN, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return [f for f in ps.discover(model, (x,)) if isinstance(f.group, ps.HyperplaneFixing)]


def test_ports() -> None:
    (family,) = found(generic(block()))
    frame = ps.Frame("norm.weight")
    ports = {(p.parameter, p.axes, p.dual, p.frame) for p in family.ports}
    assert ports == {
        ("norm.bias", (0,), False, frame),
        ("one.weight", (1,), True, frame),
        ("two.weight", (1,), True, frame),
    }
    assert family.dim == D
    assert not family.has_law
    assert family.verified


COMMON = {"O(3)": 1, "T₊(1)": 1, "T₊(4)": 1, "R^6": 1}
CASES = [
    Case("no reader has a bias", block, ((90, IN),), {**COMMON, "Fix(4)": 1}),
    Case(
        "one reader has none",
        lambda: block(bias=(True, False)),
        ((90, IN),),
        {**COMMON, "Fix(4)": 1, "R^5": 1},
    ),
    Case(
        "both have: shifts say it all",
        lambda: block(bias=(True, True)),
        ((90, IN),),
        {**COMMON, "R^5": 1, "R^4": 1, "R^3": 1},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_completes_the_families(case: Case) -> None:
    """Rank is nullity."""
    check(case)


def test_on_data() -> None:
    """A norm of the input has nothing before it; behind it the same is true."""
    model = generic(
        Net(
            lambda n, x: n.one(n.norm(x)), norm=nn.LayerNorm(IN), one=nn.Linear(IN, OUT, bias=False)
        )
    )
    x = torch.randn(90, IN, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    symmetry = ps.discover(model, (x,))
    (family,) = found(model)
    assert family.group == ps.HyperplaneFixing(IN)
    assert_sound(model, (x,), symmetry.select(family.name))


NONE = {
    "an activation behind": block(norm=lambda d: nn.Sequential(nn.LayerNorm(d), nn.Tanh())),  # type: ignore[arg-type]
    "no bias": block(norm=lambda d: nn.LayerNorm(d, bias=False)),  # type: ignore[arg-type]
    "heads are no hyperplanes": Net(
        lambda n, x: torch.einsum("bhk,hkj->bj", n.norm(n.embed(x)).unflatten(-1, (2, 2)), n.read),
        embed=nn.Linear(IN, D, bias=False),
        norm=nn.LayerNorm(D),
        read=nn.Parameter(torch.randn(2, 2, OUT)),
    ),
    "added to what is not of mean zero": Net(
        lambda n, x: n.one(n.norm(n.embed(x)) + F.relu(n.other(x))),
        embed=nn.Linear(IN, D, bias=False),
        other=nn.Linear(IN, D, bias=False),
        norm=nn.LayerNorm(D),
        one=nn.Linear(D, OUT, bias=False),
    ),
    "a norm without a mean": block(
        norm=lambda d: Net(  # type: ignore[arg-type]
            lambda n, x: n.norm(x) + n.bias, norm=nn.RMSNorm(d), bias=nn.Parameter(torch.ones(d))
        )
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_none(name: str) -> None:
    assert found(generic(NONE[name])) == []


def test_a_mean_that_is_not_zero_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every gain taken for that of a LayerNorm: the check withdraws the family."""

    class Trusting(list[Gain]):
        def append(self, gain: Gain) -> None:
            super().append(replace(gain, is_centred=True))

    monkeypatch.setattr(Facts, "__init__", _with_gains(Facts.__init__, Trusting))
    model = generic(NONE["a norm without a mean"])
    x = torch.randn(90, IN, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    trusted = ps.discover(model, (x,), verify=False)
    (false,) = [f for f in trusted if isinstance(f.group, ps.HyperplaneFixing)]
    defect, _ = change(model, (x,), trusted.select(false.name))
    assert defect > 1e-3
    checked = ps.discover(model, (x,))
    assert checked.verification is not None
    assert checked.verification.withdrawn == (false.name,)


def _with_gains(init, kind):  # type: ignore[no-untyped-def]
    def wrapped(self: Facts, *args: object, **kwargs: object) -> None:
        init(self, *args, **kwargs)
        self.gains = kind()

    return wrapped


def test_acting_moves_the_bias_and_keeps_what_is_read() -> None:
    """By hand: (I + w 1ᵀ) in the frame of the gain, on β and on U."""
    gamma, beta = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1.0, 3.0, -2.0])
    U = torch.tensor([[1.0, -2.0, 0.3], [0.7, 0.1, 1.0]])
    params: dict[str, Tensor] = {"γ": gamma, "β": beta, "U": U}
    frame = ps.Frame("γ")
    ports = (
        ps.Port.along("β", (3,), 0, frame=frame),
        ps.Port.along("U", (2, 3), 1, dual=True, frame=frame),
    )
    symmetry = ps.Symmetry.of([ps.Family("f", ps.HyperplaneFixing(3), ports)], params)
    w = torch.tensor([0.2, -0.5, 0.1])
    g = torch.eye(3) + w[:, None]
    assert symmetry.families[0].group.contains(g)
    moved = symmetry.act({"f": g}, params)
    expected = beta + gamma * w * (beta / gamma).sum()
    torch.testing.assert_close(moved["β"], expected)
    z = torch.tensor([1.0, 2.0, -3.0])
    torch.testing.assert_close(moved["U"] @ (gamma * z + moved["β"]), U @ (gamma * z + beta))
