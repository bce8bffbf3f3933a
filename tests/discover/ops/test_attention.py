"""Attention: heads, groups, layouts, masks, rotary positions."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from tests.discover.cases import Case, check
from tests.discover.checking import Net, generic, groups
from tests.discover.sequence_steps import (
    heads,
    merged,
    rotary_cut,
    rotary_halves,
    rotary_interleaved,
    rotary_late,
    rotary_partial,
    rotary_unequal,
    rotary_wrong,
)

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
N = 5


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


def attention(
    attend: Attend = F.scaled_dot_product_attention,
    *,
    count: int = 2,
    groups: int = 2,
    width: int = 2,
    turn: Callable[[Tensor], Tensor] = lambda z: z,
) -> nn.Module:
    """Queries, keys and values of their own weights; as many key heads as groups."""

    def run(net: Net, x: Tensor) -> Tensor:
        q, k, v = (heads(x @ w, c) for w, c in ((net.q, count), (net.k, groups), (net.v, groups)))
        k, v = (z.repeat_interleave(count // groups, 1) for z in (turn(k), v))
        return merged(attend(turn(q), k, v)) @ net.o

    size, shared = count * width, groups * width
    return Net(run, q=weight(N, size), k=weight(N, shared), v=weight(N, shared), o=weight(size, N))


def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v


def einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = torch.einsum("bhtd,bhsd->bhts", q, k).softmax(-1)
    return torch.einsum("bhts,bhsd->bhtd", scores, v)


def masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mask = torch.ones(q.shape[-2], k.shape[-2]).tril().bool()
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.4)


def biased(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    ages = torch.arange(k.shape[-2]) - torch.arange(q.shape[-2])[:, None]
    return ((q @ k.mT + 0.1 * ages.to(q)).masked_fill(ages > 0, -1e9)).softmax(-1) @ v


def capped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (3 * torch.tanh(q @ k.mT / 3)).softmax(-1) @ v


def fused(layout: str) -> nn.Module:
    """One weight for all three."""

    def run(net: Net, x: Tensor) -> Tensor:
        z = x @ net.qkv
        if layout == "by head":
            q, k, v = (part.transpose(1, 2) for part in z.unflatten(-1, (2, 3, 2)).unbind(3))
        elif layout == "stacked":
            q, k, v = z.unflatten(-1, (3, 2, 2)).permute(2, 0, 3, 1, 4)
        else:
            q, k, v = (heads(part, 2) for part in z.chunk(3, -1))
        return merged(F.scaled_dot_product_attention(q, k, v)) @ net.o

    return Net(run, qkv=weight(N, 12), o=weight(4, N))


def grouped(net: Net, x: Tensor) -> Tensor:
    q, k, v = heads(x @ net.q, 4), heads(x @ net.k, 2), heads(x @ net.v, 2)
    return merged(F.scaled_dot_product_attention(q, k, v, enable_gqa=True)) @ net.o


HEADS = {"GL(2) × 2": 2}
SHAPES = ((8, 6, N),)

CASES = [
    *(
        Case(name, lambda attend=attend: attention(attend), SHAPES, HEADS)
        for name, attend in {
            "one op": F.scaled_dot_product_attention,
            "causal": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            "masked": masked,
            "by hand": by_hand,
            "einsum": einsum,
            "biased by age": biased,
            "capped": capped,
        }.items()
    ),
    *(
        Case(f"fused, {layout}", lambda layout=layout: fused(layout), SHAPES, HEADS)
        for layout in ("by head", "stacked", "one after the other")
    ),
    Case("grouped queries", lambda: attention(count=4), SHAPES, HEADS),
    Case(
        "grouped queries, in the op",
        lambda: Net(grouped, q=weight(N, 8), k=weight(N, 4), v=weight(N, 4), o=weight(8, N)),
        SHAPES,
        HEADS,
    ),
    Case("one key head", lambda: attention(groups=1), SHAPES, {"GL(2)": 2}),
    *(
        Case(
            f"rotary, {name}",
            lambda turn=turn: attention(turn=turn, width=4),
            SHAPES,
            {"ℂˣ × 4": 1, "GL(4) × 2": 1},
        )
        for name, turn in {
            "halves": rotary_halves,
            "half by half": rotary_cut,
            "interleaved": rotary_interleaved,
        }.items()
    ),
    Case(
        "rotary, grouped queries",
        lambda: attention(turn=rotary_halves, width=4, count=2, groups=1),
        SHAPES,
        {"ℂˣ × 2": 1, "GL(4)": 1},
    ),
    Case(
        "rotary, some coordinates",
        lambda: attention(turn=rotary_partial, width=4),
        SHAPES,
        {"ℂˣ × 2": 1, "GL(2) × 2": 1, "GL(4) × 2": 1},
    ),
    Case(
        "not quite rotary: a sign is missing",
        lambda: attention(turn=rotary_wrong, width=4),
        SHAPES,
        {"T₊(4)": 1, "GL(4) × 2": 1},
        gap=None,
    ),
    Case(
        "not quite rotary: angles differ within a pair",
        lambda: attention(turn=rotary_unequal, width=4),
        SHAPES,
        {"T₊(4)": 1, "GL(4) × 2": 1},
    ),
    Case(
        "not quite rotary: the partner is of another time",
        lambda: attention(turn=rotary_late, width=4),
        SHAPES,
        {"T₊(4)": 1, "GL(4) × 2": 1},
    ),
    Case(
        "queries and keys normed: nothing but rotations",
        lambda: attention(turn=lambda z: z / (1 + z.square().sum(-1, keepdim=True)).sqrt()),
        SHAPES,
        {"O(2) × 2": 1, "GL(2) × 2": 1},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)


def test_cross_attention() -> None:
    """Queries from one input, keys and values from another."""

    def run(net: Net, x: Tensor, y: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x @ net.q, y @ net.k, y @ net.v) @ net.o

    model = Net(run, q=weight(N, 3), k=weight(4, 3), v=weight(4, 2), o=weight(2, N))
    check(Case("cross", lambda: model, ((9, 6, N), (9, 7, 4)), {"GL(3)": 1, "GL(2)": 1}))


def test_a_learned_bias_of_the_scores_shifts_along_the_keys() -> None:
    """Scores are pinned, and what is added to them with them, but for what the softmax removes."""

    def run(net: Net, x: Tensor) -> Tensor:
        q, k, v = (heads(x @ w, 2) for w in (net.q, net.k, net.v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=net.bias)
        return merged(out) @ net.o

    model = generic(
        Net(
            run,
            q=weight(N, 4),
            k=weight(N, 4),
            v=weight(N, 4),
            o=weight(4, N),
            bias=weight(2, 6, 6),
        )
    )
    symmetry = ps.discover(model, (torch.randn(3, 6, N, dtype=torch.float64),))
    assert groups(symmetry) == {"GL(2) × 2": 2, "R^12": 1}  # one for each head and query
    assert [family.moves for family in symmetry if "bias" in family.moves] == [{"bias"}]


def test_dropout_of_probabilities() -> None:
    """A random mask on the probabilities leaves what values may do."""
    model = attention(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.4))
    symmetry = ps.discover(generic(model), (torch.randn(3, 6, N, dtype=torch.float64),))
    assert groups(symmetry) == {"GL(2) × 2": 2}
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()


def rotated(turn: Callable[[Tensor, Tensor], Tensor]) -> nn.Module:
    """Queries and keys turned by angles of positions that are an input."""

    def run(net: Net, x: Tensor, positions: Tensor) -> Tensor:
        q, k, v = (heads(x @ w, 2) for w in (net.q, net.k, net.v))
        angles = positions[:, None, :, None].to(x) * net.rates
        return merged(F.scaled_dot_product_attention(turn(q, angles), turn(k, angles), v)) @ net.o

    return Net(
        run, q=weight(N, 8), k=weight(N, 8), v=weight(N, 8), o=weight(8, N),
        rates=1.3 ** -torch.arange(2.0),
    )  # fmt: skip


def by_halves(z: Tensor, angles: Tensor) -> Tensor:
    both = torch.cat([angles, angles], -1)
    a, b = z.chunk(2, -1)
    return z * both.cos() + torch.cat([-b, a], -1) * both.sin()


def by_complex_numbers(z: Tensor, angles: Tensor) -> Tensor:
    phases = torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(torch.view_as_complex(z.unflatten(-1, (-1, 2))) * phases).flatten(-2)


def by_two_angles(z: Tensor, angles: Tensor) -> Tensor:
    """Cosine and sine are not of one angle."""
    a, b = z.chunk(2, -1)
    c, s = angles.cos(), (2 * angles).sin()
    return torch.cat([a * c - b * s, b * c + a * angles.sin()], -1)


def by_rounded_angles(z: Tensor, angles: Tensor) -> Tensor:
    """Rounding is not followed, though what it gives is one angle."""
    return by_halves(z, angles.round())


PLANES = {"ℂˣ × 4": 1, "GL(4) × 2": 1}
SCALES = {"T₊(4)": 1, "GL(4) × 2": 1}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("turn", "families"),
    [
        (by_halves, PLANES),
        (by_complex_numbers, PLANES),
        (by_two_angles, SCALES),
        (by_rounded_angles, SCALES),
    ],
)
def test_positions_as_an_input(
    turn: Callable[[Tensor, Tensor], Tensor], families: dict[str, int], device: str
) -> None:
    """Where the numbers are not known, others that are drawn show that planes turn."""
    model = generic(rotated(turn)).to(device)
    x = torch.randn(8, 6, N, dtype=torch.float64).to(device)
    positions = torch.arange(6).expand(8, 6).to(device)
    symmetry = ps.discover(model, (x, positions))
    assert groups(symmetry) == families
    assert (symmetry.verification is None) == (device == "meta")
    if symmetry.verification is not None:
        assert symmetry.verification.withdrawn == ()


def test_positions_on_the_meta_device() -> None:
    """Positions that the model counts itself."""
    model = attention(turn=rotary_halves, width=4).to("meta")
    symmetry = ps.discover(model, (torch.randn(2, 6, N, device="meta"),))
    assert groups(symmetry) == PLANES
    assert symmetry.verification is None
