"""Residual sums, concatenations, products of branches, and views that split them."""

import pytest
import torch
from torch import Tensor, nn

from tests.discover.cases import Case, check
from tests.discover.checking import Net


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


def leaky(z: Tensor) -> Tensor:
    """Homogeneous as relu, and never dead."""
    return nn.functional.leaky_relu(z, 0.1)


def linear(n: int, m: int, bias: bool = False) -> nn.Linear:
    return nn.Linear(n, m, bias=bias)


CASES = [
    Case(
        "residual sum: one space for stream and branch",
        lambda: Net(
            lambda n, x: n.out((z := n.a(x)) + n.c(leaky(n.b(z)))),
            a=linear(4, 3), b=linear(3, 5, True), c=linear(5, 3), out=linear(3, 3),
        ),
        ((70, 4),),
        {"GL(3)": 1, "T₊(5)": 1},
    ),
    Case(
        "residual sum around relu of the same space: scales are shared",
        lambda: Net(
            lambda n, x: n.out((z := leaky(n.a(x))) + leaky(n.b(z))),
            a=linear(4, 3), b=linear(3, 3), out=linear(3, 3),
        ),
        ((60, 4),),
        {"T₊(3)": 1},
    ),
    Case(
        "residual with the input: nothing moves",
        lambda: Net(lambda n, x: n.out(x + n.a(x)), a=linear(3, 3), out=linear(3, 4)),
        ((30, 3),),
        {},
        gap=None,
    ),
    Case(
        "difference of two branches",
        lambda: Net(
            lambda n, x, y: n.out(n.a(x) - 2 * n.b(y)),
            a=linear(4, 3), b=linear(4, 3), out=linear(3, 3),
        ),
        ((40, 4), (40, 4)),
        {"GL(3)": 1},
    ),
    Case(
        "sum of three, by in-place additions",
        lambda: Net(
            lambda n, x, y: n.out(n.a(x).add_(n.b(y)).add_(n.c(x * y))),
            a=linear(4, 3), b=linear(4, 3), c=linear(4, 3), out=linear(3, 3),
        ),
        ((50, 4), (50, 4)),
        {"GL(3)": 1},
    ),
    Case(
        "concatenation: each part is a space",
        lambda: Net(
            lambda n, x: n.out(torch.cat([n.a(x), leaky(n.b(x))], -1)),
            a=linear(4, 2), b=linear(4, 3), out=linear(5, 5),
        ),
        ((60, 4),),
        {"GL(2)": 1, "T₊(3)": 1},
        gap=None,
    ),
    Case(
        "concatenation with the input",
        lambda: Net(
            lambda n, x, y: n.out(torch.cat([n.a(x), y], -1)), a=linear(4, 2), out=linear(5, 4)
        ),
        ((40, 4), (40, 3)),
        {"GL(2)": 1},
    ),
    Case(
        "concatenation with its negative part",
        lambda: Net(
            lambda n, x: n.out(torch.cat([leaky(z := n.a(x)), leaky(-z)], -1)),
            a=linear(4, 3, True), out=linear(6, 4),
        ),
        ((60, 4),),
        {"T₊(3)": 1},
    ),
    Case(
        "the same space twice: GL acts on both halves of the reader",
        lambda: Net(
            lambda n, x: n.out(torch.cat([z := n.a(x), z], -1)), a=linear(4, 3), out=linear(6, 4)
        ),
        ((40, 4),),
        {"GL(3)": 1},
        gap=12,
    ),
    Case(
        "concatenation of images",
        lambda: Net(
            lambda n, x: n.out(torch.cat([leaky(n.a(x)), leaky(n.b(x))], 1)),
            a=nn.Conv2d(2, 2, 2), b=nn.Conv2d(2, 3, 2), out=nn.Conv2d(5, 3, 1),
        ),
        ((12, 2, 5, 5),),
        {"T₊(2)": 1, "T₊(3)": 1},
    ),
    Case(
        "stacked along a new axis and flattened",
        lambda: Net(
            lambda n, x, y: n.out(torch.stack([n.a(x), n.b(y)], 1).flatten(1)),
            a=linear(4, 2), b=linear(4, 2), out=linear(4, 4),
        ),
        ((40, 4), (40, 4)),
        {"GL(2)": 2},
    ),
    Case(
        "fused layer split into two spaces",
        lambda: Net(
            lambda n, x: n.p(leaky((z := n.a(x))[:, :2])) + n.q(torch.tanh(z[:, 2:])),
            a=linear(4, 5, True), p=linear(2, 4), q=linear(3, 4),
        ),
        ((60, 4),),
        {"T₊(2)": 1},
    ),
    Case(
        "split in unequal parts",
        lambda: Net(
            lambda n, x: torch.cat([n.p(s[0]), n.q(s[1])], -1)
            if (s := n.a(x).split([2, 3], -1))
            else x,
            a=linear(5, 5), p=linear(2, 3), q=linear(3, 4),
        ),
        ((40, 5),),
        {"GL(2)": 1, "GL(3)": 1},
    ),
    Case(
        "chunks added: one space, twice in the writer",
        lambda: Net(
            lambda n, x: n.out(torch.add(*n.a(x).chunk(2, -1))),
            a=linear(4, 6), out=linear(3, 3),
        ),
        ((40, 4),),
        {"GL(3)": 1},
        gap=None,
    ),
    Case(
        "fused gate",
        lambda: Net(
            lambda n, x: n.out(torch.mul(*n.a(x).chunk(2, -1))), a=linear(4, 6), out=linear(3, 4)
        ),
        ((60, 4),),
        {"T₊(3)": 2},
    ),
    Case(
        "product of two branches: two scales a neuron",
        lambda: Net(
            lambda n, x: n.out(n.a(x) * n.b(x)), a=linear(4, 3), b=linear(4, 3), out=linear(3, 4)
        ),
        ((60, 4),),
        {"T₊(3)": 2},
    ),
    Case(
        "quotient by a positive branch",
        lambda: Net(
            lambda n, x: n.out(n.a(x) / (1 + n.b(x).square())),
            a=linear(4, 3), b=linear(4, 3), out=linear(3, 4),
        ),
        ((60, 4),),
        {"T₊(3)": 1},
    ),
    Case(
        "product with the input: scales",
        lambda: Net(lambda n, x: n.out(x * n.a(x)), a=linear(3, 3), out=linear(3, 4)),
        ((60, 3),),
        {"T₊(3)": 1},
    ),
    Case(
        "a common gate for the whole space: GL",
        lambda: Net(
            lambda n, x: n.out(torch.sigmoid(n.g(x)) * n.a(x)),
            a=linear(4, 3), g=linear(4, 1, True), out=linear(3, 4),
        ),
        ((60, 4),),
        {"GL(3)": 1},
    ),
    Case(
        "a learned scalar",
        lambda: Net(
            lambda n, x: n.s * n.out(leaky(n.a(x))), a=linear(4, 3), s=weight(1), out=linear(3, 3)
        ),
        ((60, 4),),
        {"T₊(3)": 1, "T₊(1)": 1},
    ),
    Case(
        "a learned gain between two layers",
        lambda: Net(
            lambda n, x: n.out(n.g * n.a(x)), a=linear(4, 3), g=weight(3), out=linear(3, 3)
        ),
        ((60, 4),),
        {"T₊(3)": 2},
        gap=3 * 3 + 3 - 6,
    ),
    Case(
        "two layers with one weight: the head takes its square",
        lambda: Net(
            lambda n, x: n.out(leaky(n.a(leaky(n.a(x))))), a=linear(3, 3), out=linear(3, 3)
        ),
        ((60, 3),),
        {"T₊(1)": 1},
    ),
    Case(
        "tied decoder: rotations of the code",
        lambda: Net(lambda n, x: n.a(x) @ n.a.weight, a=linear(5, 3)),
        ((40, 5),),
        {"O(3)": 1},
    ),
    Case(
        "tied decoder behind relu: nothing",
        lambda: Net(lambda n, x: leaky(n.a(x)) @ n.a.weight, a=linear(5, 3)),
        ((60, 5),),
        {},
    ),
    Case(
        "weight normalised by rows: a scale for each row, which nothing else moves with",
        lambda: Net(
            lambda n, x: n.out(
                leaky(x @ (n.v / n.v.norm(dim=1, keepdim=True)).t() * n.g)
            ),
            v=weight(3, 4), g=weight(3), out=linear(3, 3),
        ),
        ((60, 4),),
        {"T₊(3)": 2},
    ),
    Case(
        "a weight made of two factors",
        lambda: Net(lambda n, x: x @ (n.a @ n.b), a=weight(4, 2), b=weight(2, 5)),
        ((40, 4),),
        {"GL(2)": 1},
    ),
    Case(
        "low-rank update: the full weight absorbs any change of either factor",
        lambda: Net(
            lambda n, x: n.w(x) + n.b(n.a(x)), w=linear(4, 4), a=linear(4, 2), b=linear(2, 4)
        ),
        ((40, 4),),
        {"GL(2)": 1, "R^8": 2},
    ),
    Case(
        "an unused layer and an unused output",
        lambda: Net(
            lambda n, x: (n.b(leaky(n.a(x))), n.c(x))[0],
            a=linear(4, 3), b=linear(3, 3), c=linear(4, 2),
        ),
        ((40, 4),),
        {"T₊(3)": 1},
        unused=("c.weight",),
    ),
    Case(
        "hidden layer that is an output too: pinned",
        lambda: Net(lambda n, x: (n.b(z := leaky(n.a(x))), z), a=linear(4, 3), b=linear(3, 3)),
        ((40, 4),),
        {},
    ),
    Case(
        "outputs in a nested structure",
        lambda: Net(
            lambda n, x: {"y": [n.b(leaky(n.a(x)))], "z": (n.c(x), None)},
            a=linear(4, 3), b=linear(3, 3), c=linear(4, 2),
        ),
        ((40, 4),),
        {"T₊(3)": 1},
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)


def test_axes_of_a_view_follow_the_view() -> None:
    """A reader of a transposed flattening indexes the pixels of each channel where they land."""
    model = Net(
        lambda n, x: n.fc(n.conv(x).permute(0, 2, 3, 1).flatten(1)),
        conv=nn.Conv2d(2, 3, 2, bias=False),
        fc=nn.Linear(12, 3),
    )
    (family,) = check(Case("channels last", lambda: model, ((60, 2, 3, 3),), {"GL(3)": 1})).families
    reader = next(port for port in family.ports if port.dual)
    assert reader.index[0].tolist() == [[c + 3 * i for i in range(4)] for c in range(3)]
    assert isinstance(reader.index, Tensor)
