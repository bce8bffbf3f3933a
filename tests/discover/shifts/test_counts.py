"""Shifts of small models, counted by hand; with what else is found they are all flat directions."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from tests.discover.cases import Case, check
from tests.discover.checking import Net, detached, generic, groups, nullity, without_eps

D = 4
VECTORS = ((120, 5),)
SEQUENCES = ((60, 3, 5),)


def stream(net: Net, x: Tensor) -> Tensor:
    """Two branches on a stream that only LayerNorms read."""
    x = net.first(x)
    x = x + net.up(torch.tanh(net.down(net.one(x))))
    return net.out(net.two(x))


def heads(x: Tensor, count: int = 2) -> Tensor:
    return x.unflatten(-1, (count, -1)).transpose(-2, -3)


def attended(net: Net, x: Tensor, turn: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    q, k, v = (heads(part) for part in net.qkv(x).chunk(3, -1))
    mixed = F.scaled_dot_product_attention(turn(q), turn(k), v)
    return net.out(mixed.transpose(-2, -3).flatten(-2))


def rotary(x: Tensor) -> Tensor:
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None]
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def attention(**parts: nn.Module) -> Net:
    return Net(attended, qkv=nn.Linear(5, 3 * D), out=nn.Linear(D, 5), **parts)


def tower(net: Net, x: Tensor) -> Tensor:
    """Patches with a class token, and a position for each."""
    patches = net.patch(x).flatten(2).mT
    tokens = torch.cat([net.token.expand(len(x), 1, D), patches], 1) + net.places
    return net.out(torch.tanh(net.norm(tokens)).mean(1))


def masked(net: Net, x: Tensor) -> Tensor:
    scores = heads(net.q(x)) @ heads(net.k(x)).mT + net.bias[..., None]
    future = torch.ones(3, 3, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -math.inf).softmax(-1)
    return net.out((weights @ heads(net.v(x))).transpose(-2, -3).flatten(-2))


def pairs_merged(net: Net, x: Tensor) -> Tensor:
    x = net.a(x)
    return net.out(torch.tanh(net.norm(torch.cat([x[:, ::2], x[:, 1::2]], -1))))


CASES = [
    Case(
        "a stream of layer norms: means of its writers, null directions and biases of its norms",
        lambda: Net(
            stream,
            first=nn.Linear(5, D),
            one=nn.LayerNorm(D),
            down=nn.Linear(D, 3),
            up=nn.Linear(3, D),
            two=nn.LayerNorm(D),
            out=nn.Linear(D, 5),
        ),
        VECTORS,
        # The stream rotates too, and its scale is of the whole.
        {"T₊(1)": 1, "T₊(4)": 2, "O(3)": 1, "R^5": 2, "R^1": 2, "R^4": 2, "R^3": 2},
        gap=None,
    ),
    Case(
        "attention: key biases, value biases",
        attention,
        SEQUENCES,
        {"GL(2) × 2": 2, "R^4": 2},
    ),
    Case(
        "rotary keys: their biases are seen",
        lambda: Net(
            lambda net, x: attended(net, x, rotary), qkv=nn.Linear(5, 3 * D), out=nn.Linear(D, 5)
        ),
        SEQUENCES,
        {"ℂˣ × 2": 1, "GL(2) × 2": 1, "R^4": 1},
    ),
    Case(
        "scores one by one, with a bias for each query, and a mask",
        lambda: Net(
            masked,
            q=nn.Linear(5, D),
            k=nn.Linear(5, D, bias=False),
            v=nn.Linear(5, D),
            out=nn.Linear(D, 5),
            bias=nn.Parameter(torch.randn(2, 3)),
        ),
        SEQUENCES,
        {"GL(2) × 2": 2, "R^4": 1, "R^6": 1},
    ),
    Case(
        "a class token against its position, the bias of the patches against theirs",
        lambda: Net(
            tower,
            patch=nn.Conv2d(1, D, 2, stride=2),
            token=nn.Parameter(torch.randn(1, 1, D)),
            places=nn.Parameter(torch.randn(1, 5, D)),
            norm=nn.LayerNorm(D),
            out=nn.Linear(D, 3),
        ),
        ((90, 1, 4, 4),),
        # The token has a scale of its own. What it becomes is a constant, which the last bias takes
        # up however it changes: beside its mean and its scale, by two more directions.
        {"T₊(1)": 2, "R^4": 1, "R^1": 2, "R^5": 1, "R^3": 2},
        gap=2,
    ),
    Case(
        "group norm: one mean a group",
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.GroupNorm(3, 6), nn.Tanh(), nn.Flatten(), nn.Linear(24, 3)
        ),
        ((90, 2, 4, 4),),
        {"T₊(3)": 1, "R^3": 1},
    ),
    Case(
        "a bias goes through a convolution without padding",
        lambda: nn.Sequential(
            nn.Conv2d(2, 2, 2), nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Conv2d(3, 2, 2)
        ),
        ((60, 2, 5, 5),),
        {"GL(2)": 1, "R^2": 1},
    ),
    Case(
        "and not through one with padding, at whose edge it is less",
        lambda: nn.Sequential(nn.Conv2d(2, 2, 2), nn.Conv2d(2, 3, 3, padding=1), nn.Tanh()),
        ((60, 2, 5, 5),),
        {"GL(2)": 1},
    ),
    Case(
        "grouped convolutions: each group's biases",
        lambda: nn.Sequential(nn.Conv1d(2, 4, 2), nn.Conv1d(4, 4, 2, groups=2), nn.Tanh()),
        ((40, 2, 5),),
        {"GL(2) × 2": 1, "R^4": 1},
    ),
    Case(
        "channels of an image flattened into a row",
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 4), nn.Tanh()
        ),
        ((60, 1, 5, 5),),
        {"GL(3)": 1, "R^3": 1},
    ),
    Case(
        "standing in one norm and out of it again: a bias in front of a norm in batches",
        lambda: nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2)),
        VECTORS,
        {"T₊(3)": 1, "R^3": 1},
    ),
    Case(
        "pixels that are merged into one vector in front of a norm: no weight shifts alone",
        lambda: Net(
            pairs_merged,
            a=nn.Linear(5, 3),
            norm=nn.LayerNorm(6),
            out=nn.Linear(6, 4),
        ),
        ((60, 4, 5),),
        {"T₊(1)": 1},
        gap=1,  # the bias along 1
    ),
    Case(
        "a gain between a bias and the next",
        lambda: Net(
            lambda net, x: net.b(net.a(x) * net.gain),
            a=nn.Linear(5, 3),
            b=nn.Linear(3, 4),
            gain=nn.Parameter(torch.randn(3)),
        ),
        VECTORS,
        {"T₊(3)": 2, "R^3": 1},
        gap=None,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    symmetry = check(case)
    found = sum(f.group.dim for f in symmetry if isinstance(f.group, ps.Translation))
    alone = symmetry.select(*(f.name for f in symmetry if isinstance(f.group, ps.Translation)))
    assert alone.orbit_dim(detached(without_eps(case.built()[0]))) == found == alone.dim


WORDS = torch.arange(120).reshape(40, 3) * 7 % 11 % 6


def language_model(*, tied: bool) -> nn.Module:
    def run(net: Net, ids: Tensor) -> Tensor:
        x = net.words(ids) + net.places(torch.arange(3))
        table = net.words.weight if tied else net.head.weight
        return F.linear(torch.tanh(net.mix(net.norm(x))), table)

    parts = {} if tied else {"head": nn.Linear(D, 6, bias=False)}
    return Net(
        run,
        words=nn.Embedding(6, D),
        places=nn.Embedding(3, D),
        norm=nn.LayerNorm(D),
        mix=nn.Linear(D, D),
        **parts,
    )


@pytest.mark.parametrize("loss", [None, "cross_entropy"])
@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_and_logits(tied: bool, loss: str | None) -> None:
    """Words against positions, rows along 1, and what a softmax does not see of the logits."""
    model = without_eps(generic(language_model(tied=tied)))
    symmetry = ps.discover(model, (WORDS,), loss=loss)
    words, places = 6 * (not tied), 3
    # The mean of what words and positions exchange is among the shifts of rows, where there are
    # two; with the loss a tied table shifts along 1 on both axes.
    gauge = D - 1 if not tied else (D - 1 if loss else 0)
    logits = 0 if loss is None else (1 if tied else D)
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    shifts = [f for f in symmetry if isinstance(f.group, ps.Translation)]
    assert sum(f.dim for f in shifts) == words + places + gauge + logits + D + D
    seen = Net(
        lambda net, ids: net.model(ids).log_softmax(-1) if loss else net.model(ids), model=model
    )
    assert symmetry.orbit_dim(detached(model)) == symmetry.dim == nullity(seen, (WORDS,))


@pytest.mark.parametrize(
    ("layer", "gates", "expected"),
    [
        (lambda: nn.LSTM(D, 3, batch_first=True), 4, 12),
        (lambda: nn.LSTM(D, 3, num_layers=2, batch_first=True), 4, 12 + 12),
        (lambda: nn.GRU(D, 3, batch_first=True), 3, 6),  # the third is multiplied in between
        (lambda: nn.GRU(D, 3, batch_first=True, bidirectional=True), 3, 6 + 6),
    ],
    ids=["LSTM", "two layers", "GRU", "both directions"],
)
def test_recurrent(layer: Callable[[], nn.RNNBase], gates: int, expected: int) -> None:
    """The two biases of each gate are one, and take up what all words have in common."""
    rnn = layer()
    ids = torch.randint(0, 6, (80, 5), generator=torch.Generator().manual_seed(0))
    model = generic(
        Net(
            lambda net, ids: net.out(net.rnn(net.words(ids))[0]),
            words=nn.Embedding(6, D),
            rnn=rnn,
            out=nn.Linear(3 * (1 + rnn.bidirectional), 5),
        )
    )
    assert rnn.weight_ih_l0.shape[0] == 3 * gates
    symmetry = ps.discover(model, (ids,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert sum(f.dim for f in symmetry if isinstance(f.group, ps.Translation)) == expected + D
    assert symmetry.orbit_dim(detached(model)) == symmetry.dim == nullity(model, (ids,))


def test_a_stream_is_complete() -> None:
    """With rotations and scales, shifts are all that is flat on a generic stream."""
    model, args = CASES[0].built()
    symmetry = ps.discover(model, args)
    exact = without_eps(model)
    assert symmetry.orbit_dim(detached(exact)) == symmetry.dim == nullity(exact, args)


def test_what_is_not_named() -> None:
    """An op without rule stops shifts; so does a write through a view of memory."""

    def run(net: Net, x: Tensor) -> Tensor:
        y = net.a(x)
        y[:, :1].add_(y[:, 1:2])
        return net.b(y)

    model = generic(Net(run, a=nn.Linear(5, 3), b=nn.Linear(3, 4)))
    symmetry = ps.discover(model, (torch.randn(40, 5, dtype=torch.float64),))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert "R^1" not in groups(symmetry)
