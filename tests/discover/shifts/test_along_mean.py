"""Maps x ↦ x + 1 wᵀx of a stream whose mean normalisations remove, and other layers see."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.discovery.shifting.registry import OPS, Call, Key, Op
from tests.discover.checking import Net, assert_sound, detached, generic, without_eps

D, HEADS, INNER, WORDS, LENGTH = 4, 2, 6, 11, 5
RNG = torch.Generator().manual_seed(0)
X = torch.randn(2, LENGTH, 6, generator=RNG, dtype=torch.float64)
Y = torch.randn(2, 3, 6, generator=RNG, dtype=torch.float64)
TOKENS = torch.randint(WORDS, (2, LENGTH), generator=RNG)
IMAGES = torch.randn(3, 1, 4, 4, generator=RNG, dtype=torch.float64)


def layers(count: int = 1, **options: Any) -> nn.Module:
    options = {"activation": "gelu", "batch_first": True, **options}
    layer = nn.TransformerEncoderLayer(D, HEADS, INNER, 0.0, **options)
    return nn.TransformerEncoder(layer, count, enable_nested_tensor=False)


def encoder(embed: nn.Module, count: int = 1, **options: Any) -> nn.Module:
    """A torch encoder behind an embedding, with a head."""
    return generic(nn.Sequential(embed, layers(count, **options), nn.Linear(D, 7)))


def with_places(places: Tensor) -> nn.Module:
    return generic(
        Net(
            lambda net, x: net.head(net.layers(net.words(x) * math.sqrt(D) + net.places)),
            words=nn.Embedding(WORDS, D),
            places=places,
            layers=layers(2),
            head=nn.Linear(D, 7),
        )
    )


def tower(net: Any, x: Tensor) -> Tensor:
    """Patches with a class token, and a mean of them for the head."""
    patches = net.patch(x).flatten(2).transpose(1, 2)
    tokens = torch.cat([net.token.expand(len(x), -1, -1), patches], 1)
    return net.head(net.layers(tokens).mean(1))


def transformer() -> nn.Module:
    module = nn.Transformer(D, HEADS, 1, 1, INNER, 0.0, "gelu", batch_first=True)
    return generic(
        Net(
            lambda net, x, y: net.head(net.module(net.x(x), net.y(y))),
            x=nn.Linear(6, D),
            y=nn.Linear(6, D),
            module=module,
            head=nn.Linear(D, 7),
        )
    )


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...], int]] = {
    "in front of the first layer of a post-norm encoder": (
        lambda: encoder(nn.Linear(6, D), 2), (X,), 1
    ),
    "words": (lambda: encoder(nn.Embedding(WORDS, D), 2), (TOKENS,), 1),
    "words and places": (lambda: with_places(nn.Parameter(torch.randn(LENGTH, D))), (TOKENS,), 1),
    "torch's encoder and decoder": (transformer, (X, Y), 2),
    "a pre-norm encoder without a last norm": (
        lambda: encoder(nn.Linear(6, D), 2, norm_first=True), (X,), 1
    ),
}  # fmt: skip


def along_mean(symmetry: ps.Symmetry) -> list[ps.Family]:
    return [f for f in symmetry if f.name.endswith("(mean)")]


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_missing(name: str) -> None:
    make, args, count = MODELS[name]
    model = make()
    symmetry = ps.discover(model, args)
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    found = along_mean(symmetry)
    assert [f.group for f in found] == [ps.HyperplaneFixing(D)] * count
    assert all((f.dim, f.law_dim) == (D, 1) for f in found)
    assert_sound(without_eps(model), args, symmetry)
    assert ps.certify(model, args, symmetry).extra == 0


def test_patches_and_a_token() -> None:
    model = generic(
        Net(
            tower,
            patch=nn.Conv2d(1, D, 2, stride=2),
            token=nn.Parameter(torch.randn(1, 1, D)),
            layers=layers(norm_first=True),
            head=nn.Linear(D, 7),
        )
    )
    symmetry = ps.discover(model, (IMAGES,))
    (family,) = along_mean(symmetry)
    axes = {port.parameter: (port.axes, port.dual) for port in family.ports}
    assert axes["patch.weight"] == axes["patch.bias"] == ((0,), True)
    assert axes["token"] == ((2,), True)
    assert axes["layers.layers.0.linear2.weight"] == ((0,), True)
    assert axes["head.weight"] == ((1,), False)
    assert_sound(without_eps(model), (IMAGES,), symmetry)


def test_what_it_does() -> None:
    """x ↦ x + 1 wᵀx for what is written; readers take the inverse."""
    model = encoder(nn.Linear(6, D))
    symmetry = ps.discover(model, (X,))
    (family,) = along_mean(symmetry)
    params = detached(model)
    h = family.group.sample(0.3, generator=torch.Generator().manual_seed(1))
    moved = symmetry.act({family.name: h}, params)
    g = torch.linalg.inv(h).T
    assert torch.allclose(g - torch.eye(D), (g - torch.eye(D))[:1].expand(D, D), atol=1e-14)
    for name in ("0.weight", "0.bias"):
        assert torch.allclose(moved[name], g @ params[name], rtol=1e-12, atol=1e-13)
    (reader,) = [name for name in family.moves if name.endswith("in_proj_weight")]
    assert torch.allclose(moved[reader] @ g, params[reader], rtol=1e-12, atol=1e-13)


def test_its_law() -> None:
    """‖1ᵀW‖² of the writers minus ‖W1‖² of the readers stays under gradient flow."""
    model = encoder(nn.Linear(6, D))
    symmetry = ps.discover(model, (X,))
    (family,) = along_mean(symmetry)
    params = detached(model)
    target = torch.randn(2, LENGTH, 7, generator=RNG, dtype=torch.float64)

    def loss(p: Mapping[str, Tensor]) -> Tensor:
        return F.mse_loss(torch.func.functional_call(model, dict(p), (X,)), target)

    gradient = torch.func.grad(loss)(params)
    rate, size = 0.0, 0.0
    for port in family.ports:
        axis = port.axes[0]
        one, slope = params[port.parameter].sum(axis), gradient[port.parameter].sum(axis)
        rate += (1 if port.dual else -1) * float((one * slope).sum())
        size += float((one * slope).abs().sum())
    assert abs(rate) < 1e-12 * size


def stream(net: Any, x: Tensor, read: Callable[[Any, Tensor], Tensor]) -> Tensor:
    """A stream that a norm reads, and something else."""
    x = net.first(x)
    return torch.cat([torch.tanh(net.reader(net.norm(x))), read(net, x)], -1)


READERS: dict[str, tuple[Callable[[Any, Tensor], Tensor], bool]] = {
    "a layer": (lambda n, x: torch.tanh(n.second(x)), True),
    "two layers, in one shape and another": (
        lambda n, x: torch.tanh(n.second(x) + n.third(x.flatten(0, 1)).unflatten(0, x.shape[:2])),
        True,
    ),
    "a layer of twice the stream": (lambda n, x: torch.tanh(n.second(2 * x + x)), True),
    "the mean of places": (
        lambda n, x: torch.tanh(n.second(x.mean(1, keepdim=True))).expand(-1, LENGTH, -1),
        True,
    ),
    "an activation": (lambda n, x: n.second(torch.tanh(x)), False),
    "the output": (lambda n, x: torch.cat([x, n.second(x)], -1), False),
    "a constant beside it": (lambda n, x: torch.tanh(n.second(x + n.fixed)), False),
    "a number beside it": (lambda n, x: torch.tanh(n.second(x + 1.0)), False),
    "a part of it": (lambda n, x: torch.tanh(F.linear(x[..., :2], n.second.weight[:, :2])), False),
    "a layer that reads data too": (lambda n, x: torch.tanh(n.second(x) + n.second(n.data)), False),
    "the layer that wrote it": (lambda n, x: torch.tanh(x @ n.first.weight), False),
    "a maximum of places": (
        lambda n, x: torch.tanh(n.second(x.amax(1, keepdim=True))).expand(-1, LENGTH, -1),
        False,
    ),
    "a product with data": (lambda n, x: torch.tanh(n.second(x * n.fixed)), False),
    "dropout": (lambda n, x: torch.tanh(n.second(F.dropout(x, 0.5))), False),
    "a norm that keeps the mean": (lambda n, x: n.second(F.rms_norm(x, (D,))), False),
    "a transposed stream": (lambda n, x: torch.tanh(n.places(x.mT)).mT, False),
}


@pytest.mark.parametrize("reader", READERS)
def test_who_reads_it(reader: str) -> None:
    read, is_one = READERS[reader]
    model = generic(
        Net(
            lambda net, x: stream(net, x, read),
            first=nn.Linear(6, D),
            norm=nn.LayerNorm(D),
            reader=nn.Linear(D, 3),
            second=nn.Linear(D, 3, bias=False),
            third=nn.Linear(D, 3),
            places=nn.Linear(LENGTH, LENGTH),
            fixed=torch.randn(D),
            data=torch.randn(D),
        )
    )
    symmetry = ps.discover(model, (X,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert bool(along_mean(symmetry)) == is_one
    if reader != "dropout":
        assert_sound(without_eps(model), (X,), symmetry)


def test_constants_and_ties() -> None:
    """Positions that are no parameters do not move, and a tied head would have to do two things."""
    assert not along_mean(ps.discover(with_places(torch.randn(LENGTH, D)), (TOKENS,)))
    model = encoder(nn.Embedding(WORDS, D), norm_first=True)
    assert along_mean(ps.discover(model, (TOKENS,)))
    embed, middle, *_ = model.children()
    head = nn.Linear(D, WORDS, bias=False).double()
    assert isinstance(embed, nn.Embedding)
    head.weight = embed.weight
    assert not along_mean(ps.discover(nn.Sequential(embed, middle, head), (TOKENS,)))


class Carries(Op):
    """Says that vectors pass."""

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        return {0: axis}


def test_a_false_family_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    model = generic(
        Net(
            lambda net, x: stream(net, x, READERS["an activation"][0]),
            first=nn.Linear(6, D),
            norm=nn.LayerNorm(D),
            reader=nn.Linear(D, 3),
            second=nn.Linear(D, 3),
        )
    )
    monkeypatch.setitem(OPS, "tanh", Carries())
    (lie,) = along_mean(ps.discover(model, (X,), verify=False))
    symmetry = ps.discover(model, (X,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == (lie.name,)
    assert not along_mean(symmetry)


def test_means_of_biases() -> None:
    """Between norms the biases of a stream differ by what the last of them takes up."""
    model = encoder(nn.Linear(6, D), 2, norm_first=True)
    symmetry = ps.discover(model, (X,))
    names = [name for name, p in model.named_parameters() if len(p) == D and "norm" not in name]
    biases = [name for name in names if name.endswith("bias")]
    chained = [f for f in symmetry if f.group.dim == 1 and set(f.moves) <= set(biases)]
    assert len(chained) == len(biases) - 1
    params = detached(model)
    for family in chained:
        moved = symmetry.act({family.name: torch.ones(1, dtype=torch.float64)}, params)
        one, other = (moved[name] - params[name] for name in sorted(family.moves))
        assert torch.allclose(one, one[0].expand(D))
        assert torch.allclose(one, -other)
