"""Layers that read one value and are added, as low-rank adapters are to what they adapt."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.discovery.shifting import parallel
from tests.discover.checking import Net, assert_sound, detached, generic, without_eps

IN, OUT, RANK = 6, 5, 2
X = torch.randn(9, IN, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TOKENS = torch.randn(2, 4, IN, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Adapted(nn.Module):
    """W x + 2 B A x."""

    def __init__(self, inputs: int, outputs: int, rank: int = RANK, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs)
        self.a = nn.Linear(inputs, rank, bias=False)
        self.b = nn.Linear(rank, outputs, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2.0 * self.b(self.a(self.dropout(x)))


class Merged(Adapted):
    """The same, as one matrix."""

    def weight(self) -> Tensor:
        return self.base.weight + 2.0 * (self.b.weight @ self.a.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight(), self.base.bias)


class Decomposed(Merged):
    """With rows of a length of their own (DoRA)."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.length = nn.Parameter(torch.rand(len(self.base.weight)) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight()
        rows = self.length / weight.norm(dim=1)
        return F.linear(x, rows[:, None] * weight, self.base.bias)


def mlp(kind: Callable[..., nn.Module], *given: Any) -> nn.Module:
    return generic(nn.Sequential(kind(IN, OUT, *given), nn.Tanh(), kind(OUT, 4, *given)))


def added(run: Callable[[Any, Tensor], Tensor]) -> nn.Module:
    parts: dict[str, Any] = {
        "w": nn.Linear(IN, OUT),
        "a": nn.Linear(IN, 3, bias=False),
        "b": nn.Linear(3, 3, bias=False),
        "c": nn.Linear(3, OUT),
        "d": nn.Linear(IN, OUT, bias=False),
        "e": nn.Parameter(torch.randn(IN, OUT)),
        "fixed": torch.randn(OUT),
    }
    return generic(Net(lambda net, x: torch.tanh(run(net, x)), **parts))


def block(net: Any, x: Tensor) -> Tensor:
    """Adapters behind and in front of norms."""
    x = net.first(x)
    x = x + net.up(F.gelu(net.down(net.one(x))))
    return net.out(net.two(x))


def between_norms() -> nn.Module:
    return generic(Net(
        block, first=nn.Linear(IN, 5), one=nn.LayerNorm(5), down=Adapted(5, 7), up=Adapted(7, 5),
        two=nn.LayerNorm(5), out=nn.Linear(5, 6),
    ))  # fmt: skip


def attended(net: Any, x: Tensor) -> Tensor:
    q, k, v = (y(x).unflatten(-1, (2, -1)).transpose(1, 2) for y in (net.q, net.k, net.v))
    return net.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def attention() -> nn.Module:
    parts = {"q": Adapted(IN, 4), "k": nn.Linear(IN, 4), "v": Adapted(IN, 4)}
    return generic(Net(attended, **parts, out=nn.Linear(4, 6)))


EACH = RANK * (IN + OUT) + RANK * (OUT + 4)
"""Entries of the adapters of the two layers."""
MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor, int]] = {
    "adapters": (lambda: mlp(Adapted), X, EACH),
    "of rank one": (lambda: mlp(Adapted, 1), X, EACH // RANK),
    "with dropout that is off": (lambda: mlp(Adapted, RANK, 0.5).eval(), X, EACH),
    "merged": (lambda: mlp(Merged), X, EACH),
    "merged, with lengths": (lambda: mlp(Decomposed), X, EACH),
    "between norms": (between_norms, X, 2 * RANK * (5 + 7)),
    "of attention": (attention, TOKENS, 2 * RANK * (IN + 4)),
    "a chain of three": (
        lambda: added(lambda n, x: n.w(x) - 3 * n.c(n.b(2 * n.a(x)))), X, 3 * (IN + 3 + OUT)
    ),
    "three side by side": (
        lambda: added(lambda n, x: n.w(x) + n.d(x) - 2 * (x @ n.e)), X, 2 * IN * OUT
    ),
    "one that reads twice the value": (lambda: added(lambda n, x: n.w(x) / 3 + n.d(2 * x)), X, 30),
    "one beside a constant": (lambda: added(lambda n, x: n.w(x) + (n.fixed + n.d(x))), X, 30),
}  # fmt: skip


def shifts_of_matrices(symmetry: ps.Symmetry, model: nn.Module) -> list[ps.Family]:
    """Families that shift a matrix in any way."""
    sizes = {name: p.numel() for name, p in model.named_parameters() if p.ndim == 2}
    return [
        f
        for f in symmetry
        if any(f.group.dim == sizes.get(t.target.parameter) and not t.sources for t in f.terms)
    ]


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_missing(name: str) -> None:
    make, x, dim = MODELS[name]
    model = make()
    symmetry = ps.discover(model, (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert sum(f.dim for f in shifts_of_matrices(symmetry, model)) == dim
    assert_sound(without_eps(model), (x,), symmetry)
    assert symmetry.orbit_dim(detached(model)) == symmetry.dim
    assert not symmetry.dim_is_bound
    assert ps.certify(model, (x,), symmetry).extra == 0


def test_what_it_does() -> None:
    """A += a, W −= 2 B a; B += b, W −= 2 b A; for any a and b, one after the other."""
    model = mlp(Adapted)
    symmetry = ps.discover(model, (X,))
    params = detached(model)
    rng = torch.Generator().manual_seed(2)
    for name, rows in (("0.a.weight", RANK), ("0.b.weight", OUT)):
        family = symmetry[f"{name} → 0.base.weight"]
        g = 3.0 * torch.randn(family.group.dim, generator=rng, dtype=torch.float64)
        before, params = params, symmetry.act({family.name: g}, params)
        change = params[name] - before[name]
        assert torch.allclose(change, g.reshape(rows, -1), rtol=1e-12, atol=1e-14)
        total = [
            p["0.base.weight"] + 2.0 * p["0.b.weight"] @ p["0.a.weight"] for p in (before, params)
        ]
        assert torch.allclose(total[0], total[1], rtol=1e-12, atol=1e-12)
        assert {"0.base.weight", name} == family.moves
        assert not family.has_law


def test_frozen_parameters_move_too() -> None:
    """As in all families: they are the model's, and say so; only a law needs training."""
    model = mlp(Adapted)
    laws = ps.discover(model, (X,)).law_dim
    for name, p in model.named_parameters():
        p.requires_grad_("base" not in name)
    symmetry = ps.discover(model, (X,))
    assert symmetry.law_dim == laws == 2 * RANK * (RANK + 1) // 2  # of the space between A and B
    frozen = {p.name for p in symmetry.parameters if not p.trainable}
    assert frozen == {name for name, _ in model.named_parameters() if "base" in name}
    assert "0.a.weight → 0.base.weight" in {f.name for f in symmetry}


def test_laws_of_what_is_added() -> None:
    """Of two matrices that are added the difference stays, for both have one gradient."""
    two = {"a": nn.Linear(IN, OUT), "b": nn.Linear(IN, OUT)}
    both = Net(lambda net, x: torch.tanh(net.a(x) + net.b(x)), **two)
    model = generic(nn.Sequential(both, nn.Linear(OUT, 7)))
    symmetry = ps.discover(model, (X,))
    assert symmetry.dim == symmetry.law_dim == OUT * (IN + 1)
    assert ps.certify(model, (X,), symmetry).extra == 0


SEEN: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "another value": lambda n, x: n.w(x) + n.d(x.square()),
    "another place": lambda n, x: n.w(x) + n.d(x.roll(1, 0)),
    "a mean of places": lambda n, x: n.w(x) + n.d(x).mean(0, keepdim=True),
    "an activation in between": lambda n, x: n.w(x) + n.c(torch.tanh(n.a(x))),
    "dropout": lambda n, x: n.w(x) + n.d(F.dropout(x, 0.5)),
    "read a second time": lambda n, x: n.w(x) + n.d(x) + (y := n.c(n.a(x))) * y,
    "a factor of data": lambda n, x: n.w(x) + x[:, :1] * n.d(x),
    "used twice": lambda n, x: n.w(x) + n.d(x) + n.d(x.square()) + n.w(x.square()),
    "multiplied entry by entry": lambda n, x: n.w(x) * n.d(x),
    "the other way round": lambda n, x: n.w(x) + n.d(x.flip(-1)),
}


@pytest.mark.parametrize("reason", SEEN)
def test_what_is_none(reason: str) -> None:
    model = added(SEEN[reason])
    symmetry = ps.discover(model, (X,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    expected = {"d.weight"} if reason == "read a second time" else set()
    assert {
        t.target.parameter for f in shifts_of_matrices(symmetry, model) for t in f.terms
        if not t.sources and "d." in t.target.parameter
    } == expected  # fmt: skip
    if reason != "dropout":
        assert_sound(model, (X,), symmetry)


def test_a_lie_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: what reads another value takes up as well."""
    model = added(SEEN["another value"])
    honest = {f.name for f in ps.discover(model, (X,))}

    def same(self: Any, number: int) -> Any:
        yield 0, (), 1.0

    monkeypatch.setattr(parallel._Search, "_chain", same)
    lies = {f.name for f in ps.discover(model, (X,), verify=False)} - honest
    assert lies
    symmetry = ps.discover(model, (X,))
    assert symmetry.verification is not None
    assert set(symmetry.verification.withdrawn) == lies
    assert {f.name for f in symmetry} == honest
