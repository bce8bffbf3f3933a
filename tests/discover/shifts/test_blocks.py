"""Null directions of blocks of a fused projection, of which each may read another value."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.discovery.shifting.values import View
from tests.discover.checking import Net, assert_sound, detached, generic, without_eps

D = 4
RNG = torch.Generator().manual_seed(0)
X = torch.randn(3, 2, 6, generator=RNG, dtype=torch.float64)
Y = torch.randn(4, 2, 6, generator=RNG, dtype=torch.float64)
CLOSED = torch.tensor([[False] * 4, [False, False, False, True]])
FUTURE = torch.ones(3, 4, dtype=torch.bool).triu(2)


def crossed(net: Any, x: Tensor, y: Tensor, **given: Any) -> Tensor:
    """Attention of x to y, each behind what stands in front of it."""
    y = net.norm_y(net.into_y(y))
    mixed = net.attention(net.norm_x(net.into_x(x)), y, y, need_weights=False, **given)[0]
    return net.out(mixed)


def cross(norm: str = "x", run: Callable[..., Any] = crossed, **options: Any) -> nn.Module:
    norms = {f"norm_{k}": nn.LayerNorm(D) if k in norm else nn.Identity() for k in "xy"}
    attention = nn.MultiheadAttention(D, 2, **options)
    ends = {"into_x": nn.Linear(6, D), "into_y": nn.Linear(6, D), "out": nn.Linear(D, 3)}
    return generic(Net(run, **norms, **ends, attention=attention))


def masked(net: Any, x: Tensor, y: Tensor) -> Tensor:
    return crossed(net, x, y, key_padding_mask=CLOSED, attn_mask=FUTURE)


def decoder(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """A decoder's layer behind a first layer, and in front of a last norm."""
    return net.out(net.norm(net.layer(net.into_x(x), net.into_y(y))))


def decoded(**options: Any) -> nn.Module:
    layer = nn.TransformerDecoderLayer(D, 2, 6, 0.0, norm_first=True, **options)
    # Without biases behind it one direction of that of `into_y` is a shift of the stream's mean.
    ends = {"into_x": nn.Linear(6, D), "into_y": nn.Linear(6, D, **options), "out": nn.Linear(D, 3)}
    return generic(Net(decoder, layer=layer, norm=nn.LayerNorm(D), **ends))


def in_front(x: Tensor, batch_first: bool) -> Tensor:
    return x.transpose(0, 1) if batch_first else x


MODELS: dict[str, tuple[Callable[[], nn.Module], dict[str, int]]] = {
    # Every row has one; those of keys and values are one block.
    "a norm in front of the queries": (cross, {"norm_x": D}),
    "a norm in front of keys and values": (lambda: cross("y"), {"norm_y": 2 * D}),
    "norms in front of both": (lambda: cross("xy"), {"norm_x": D, "norm_y": 2 * D}),
    "without biases": (lambda: cross(bias=False), {}),
    "the batch first": (lambda: cross(batch_first=True), {"norm_x": D}),
    "masks": (lambda: cross(run=masked), {"norm_x": D}),
    "projections of their own": (lambda: cross("xy", kdim=D, vdim=D), {"norm_x": D}),
    "dropout of the weights": (lambda: cross(dropout=0.4).train(), {"norm_x": D}),
    "a decoder": (decoded, {"layer.norm2": D}),
    "a decoder without biases": (lambda: decoded(bias=False), {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_missing(name: str) -> None:
    make, nulls = MODELS[name]
    model = make()
    args = tuple(in_front(x, "batch" in name) for x in (X, Y))
    symmetry = ps.discover(model, args)
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    for norm, dim in nulls.items():
        reads = {f"{norm}.weight", f"{norm}.bias"}
        found = [f for f in symmetry if f.name.startswith(f"{norm} null") and f.reads == reads]
        assert dim in [f.dim for f in found], norm
    if "dropout" not in name:  # draws other zeros every time
        assert_sound(without_eps(model), args, symmetry)
    assert ps.certify(model, args, symmetry).extra == 0


def test_what_is_written() -> None:
    """W_q += v (1/γ)ᵀ and b_q −= v Σ β/γ; rows of keys and values stay."""
    model = cross()
    symmetry = ps.discover(model, (X, Y))
    params = {name: p.detach() for name, p in model.named_parameters()}
    (family,) = [f for f in symmetry if "null" in f.name]
    v = family.group.sample(1.0, generator=torch.Generator().manual_seed(1))
    moved = symmetry.act({family.name: v}, params)
    gain, bias = params["norm_x.weight"], params["norm_x.bias"]
    change = {name: moved[name] - params[name] for name in family.moves}
    weight, own = change["attention.in_proj_weight"], change["attention.in_proj_bias"]
    assert torch.allclose(weight[:D], torch.outer(v, 1 / gain), rtol=1e-12, atol=1e-12)
    assert torch.allclose(own[:D], -v * (bias / gain).sum(), rtol=1e-12, atol=1e-12)
    assert not weight[D:].any()
    assert not own[D:].any()


def both(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """Rows of one matrix: the first three read a norm, others another value."""
    read = F.linear(net.norm(net.into_x(x)), net.w[:3])
    return torch.cat([net.out(torch.tanh(read)), torch.tanh(F.linear(net.into_y(y), net.w[3:]))])


def overlapping(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """As before, but one of the rows reads the other value too."""
    return both(net, x, y)[0] + torch.tanh(F.linear(net.into_y(y), net.w[2:4])).sum()


def twice(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """As before, and the rows read the other value as well."""
    return both(net, x, y)[0] + torch.tanh(F.linear(net.into_y(y), net.w[:3])).sum()


def as_whole(net: Any, x: Tensor, y: Tensor) -> Tensor:
    return both(net, x, y)[0] + net.w.square().sum()


def in_columns(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """Another shape of the matrix, which reaches into the block."""
    return both(net, x, y)[0] + torch.tanh(net.w.reshape(-1)[8:16]).sum()


def behind(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """Another shape of the matrix, behind the block."""
    return both(net, x, y)[0] + torch.tanh(net.w.reshape(-1)[12:16]).sum()


RUNS = {both: 3, overlapping: 0, twice: 0, as_whole: 0, in_columns: 0, behind: 3}


def rows(run: Callable[..., Any]) -> nn.Module:
    parts = {
        "into_x": nn.Linear(6, D), "into_y": nn.Linear(6, D, bias=False),
        "norm": nn.LayerNorm(D, bias=False), "w": nn.Parameter(torch.randn(5, D)),
        "out": nn.Linear(3, 2),
    }  # fmt: skip
    return generic(Net(run, **parts))


@pytest.mark.parametrize("run", RUNS)
def test_rows_that_something_else_reads(run: Callable[..., Any]) -> None:
    model = rows(run)
    symmetry = ps.discover(model, (X, Y))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert sum(f.dim for f in symmetry if "null" in f.name) == RUNS[run]
    assert_sound(without_eps(model), (X, Y), symmetry)


def test_a_lie_about_blocks_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: no two blocks have an entry in common."""
    model = rows(twice)
    monkeypatch.setattr(View, "is_apart_from", lambda self, other: True)
    (lie,) = [f for f in ps.discover(model, (X, Y), verify=False) if "null" in f.name]
    symmetry = ps.discover(model, (X, Y))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == (lie.name,)


def test_rows_that_write_too() -> None:
    """Rows that read one norm and write what another reads: what both remove is counted once."""

    def run(net: Any, x: Tensor) -> Tensor:
        return net.out(net.after(F.linear(net.norm(net.into_x(x)), net.w[1:])))

    norm, w = nn.LayerNorm(D, bias=False), nn.Parameter(torch.randn(7, D))
    parts = {"into_x": nn.Linear(6, D), "norm": norm, "w": w, "after": nn.LayerNorm(6)}
    model = without_eps(generic(Net(run, **parts, out=nn.Linear(6, 5))))
    symmetry = ps.discover(model, (X,))
    assert {f.name: f.dim for f in symmetry if " null" in f.name} == {
        "norm null → w": 5,
        "after null → out": 5,
    }
    assert_sound(model, (X,), symmetry)
    shifts = symmetry.select(*(f.name for f in symmetry if f.terms))
    assert shifts.orbit_dim(detached(model)) == shifts.dim


def test_apart() -> None:
    """Of all pairs of blocks those that are called apart have no entry in common."""

    def entries(view: View) -> set[int]:
        numbers = torch.arange(24).reshape(view.shape)
        return set(numbers[tuple(slice(*b) for b in view.blocks)].flatten().tolist())

    def view(shape: tuple[int, ...], *blocks: tuple[int, int]) -> View:
        return View("w", shape, blocks, tuple((a,) for a in range(len(shape))))

    views = [
        *(view((6, 4), (a, b), (c, d)) for a, b in ((0, 2), (2, 6)) for c, d in ((0, 4), (1, 3))),
        *(view((3, 2, 4), (a, a + 1), (0, 2), (0, 4)) for a in range(3)),
        view((24,), (0, 8)), view((24,), (8, 24)), view((24,), (7, 9)),
    ]  # fmt: skip
    found = 0
    for one in views:
        for other in views:
            if one.is_apart_from(other):
                found += 1
                assert entries(one).isdisjoint(entries(other))
    assert found > 20
