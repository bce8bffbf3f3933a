"""Linear layers and matrix products."""

import pytest
import torch
from torch import Tensor, nn

from tests.discover.cases import Case, check
from tests.discover.checking import Net


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


def product(op: str) -> nn.Module:
    """Two weights and one hidden space of width 3, through another op each."""

    def run(net: Net, x: Tensor) -> Tensor:
        a, b = net.a, net.b
        if op == "matmul":
            return x @ a @ b
        if op == "mm":
            return torch.mm(torch.mm(x, a), b)
        if op == "einsum":
            return torch.einsum("bh,ho->bo", torch.einsum("bi,ih->bh", x, a), b)
        if op == "addmm":
            return torch.addmm(torch.zeros(4, dtype=x.dtype), x @ a, b)
        return nn.functional.linear(nn.functional.linear(x, a.T), b.T)

    return Net(run, a=weight(5, 3), b=weight(3, 4))


def recurrence(net: Net, x: Tensor) -> Tensor:
    """Two steps from a state of zeros."""
    h = torch.zeros(len(x), 3, dtype=x.dtype)
    for _ in range(2):
        h = nn.functional.leaky_relu(net.a(x) + net.c(h), 0.3)
    return net.b(h)


CASES = [
    Case("one layer", lambda: nn.Linear(3, 4), ((12, 3),), {}),
    Case(
        "two layers without bias",
        lambda: nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 5, bias=False)),
        ((30, 4),),
        {"GL(3)": 1},
    ),
    Case(
        "hidden bias: the next one takes up its shift",
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 5)),
        ((30, 4),),
        {"GL(3)": 1, "R^3": 1},
    ),
    Case(
        "bias at the end",
        lambda: nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 5)),
        ((30, 4),),
        {"GL(3)": 1},
    ),
    Case(
        "wider than its neighbours: part of GL(6) stands still",
        lambda: nn.Sequential(nn.Linear(2, 6, bias=False), nn.Linear(6, 3, bias=False)),
        ((30, 2),),
        {"GL(6)": 1},
    ),
    Case(
        "three layers",
        lambda: nn.Sequential(
            nn.Linear(4, 3, bias=False), nn.Linear(3, 3, bias=False), nn.Linear(3, 4, bias=False)
        ),
        ((30, 4),),
        {"GL(3)": 2},
    ),
    Case(
        "width one is a scaling",
        lambda: nn.Sequential(nn.Linear(3, 1, bias=False), nn.Linear(1, 4, bias=False)),
        ((12, 3),),
        {"T₊(1)": 1},
    ),
    Case(
        "extra batch axes",
        lambda: nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 5, bias=False)),
        ((5, 6, 4),),
        {"GL(3)": 1},
    ),
    Case(
        "no batch axis",
        lambda: nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 5, bias=False)),
        ((4,),),
        {"GL(3)": 1},
        gap=None,
    ),
    *(
        Case(f"{op}", lambda op=op: product(op), ((30, 5),), {"GL(3)": 1})
        for op in ("matmul", "mm", "einsum", "addmm", "linear")
    ),
    Case(
        "two projections, multiplied and summed",
        lambda: Net(
            lambda n, x: ((x @ n.a) * (n.y @ n.b)).sum(-1, keepdim=True),
            a=weight(3, 2),
            b=weight(3, 2),
            y=torch.randn(30, 3),
        ),
        ((30, 3),),
        {"GL(2)": 1},
    ),
    Case(
        "scores of queries and keys",
        lambda: Net(lambda n, x: (x @ n.q) @ (x @ n.k).T, q=weight(4, 2), k=weight(4, 2)),
        ((12, 4),),
        {"GL(2)": 1},
    ),
    Case(
        "a matrix and its transpose: rotations only",
        lambda: Net(lambda n, x: x @ n.a @ n.a.T, a=weight(5, 3)),
        ((30, 5),),
        {"O(3)": 1},
    ),
    Case(
        "a square power: A A mixes input and hidden space",
        lambda: Net(lambda n, x: x @ n.a @ n.a, a=weight(4, 4)),
        ((30, 4),),
        {},
    ),
    Case(
        "a vector reads: a map into its kernel is beyond the group",
        lambda: Net(lambda n, x: (x @ n.a) @ n.v, a=weight(4, 3), v=weight(3)),
        ((30, 4),),
        {"GL(3)": 1},
        gap=(4 - 3) * (3 - 1),
    ),
    Case(
        "batched product: two heads",
        lambda: Net(
            lambda n, x: torch.bmm(torch.bmm(x, n.a), n.b),
            a=weight(2, 4, 3),
            b=weight(2, 3, 4),
        ),
        ((2, 30, 4),),
        {"GL(3) × 2": 1},
    ),
    *(
        Case(
            f"einsum, {name}",
            lambda f=f: Net(f, a=weight(5, 3), b=weight(3, 4)),
            ((30, 5),),
            {"GL(3)": 1},
        )
        for name, f in (
            ("three operands", lambda n, x: torch.einsum("bi,ih,ho->bo", x, n.a, n.b)),
            ("three, weights first", lambda n, x: torch.einsum("ih,ho,bi->bo", n.a, n.b, x)),
            ("an ellipsis", lambda n, x: torch.einsum("...i,ij->...j", x, n.a) @ n.b),
            ("no arrow", lambda n, x: torch.einsum("bi,ih", x, n.a) @ n.b),
            ("one operand", lambda n, x: torch.einsum("hb->bh", n.a.T @ x.T) @ n.b),
            ("a sum", lambda n, x: torch.einsum("tbi->bi", (x @ n.a).view(2, 15, 3)) @ n.b),
        )
    ),
    Case(
        "einsum of a diagonal is not analysed",
        lambda: Net(
            lambda n, x: x * torch.einsum("ii->i", n.a) @ n.b, a=weight(5, 5), b=weight(5, 3)
        ),
        ((30, 5),),
        {},
        gap=None,
        barriers=("einsum",),
    ),
    Case(
        "bilinear: both spaces, and the relu units behind",
        lambda: Net(
            lambda n, x, y: n.c(torch.relu(n.bilinear(n.a(x), n.b(y)))),
            a=nn.Linear(5, 3, bias=False),
            b=nn.Linear(5, 2, bias=False),
            bilinear=nn.Bilinear(3, 2, 4),
            c=nn.Linear(4, 3),
        ),
        ((90, 5), (90, 5)),
        {"GL(3)": 1, "GL(2)": 1, "T₊(3)": 1, "T₊(1)": 1},
        gap=None,
    ),
    Case(
        "a vector divided by the square of a norm",
        lambda: Net(
            lambda n, x: n.b(n.a(x) / torch.vdot(n.u, n.u)),
            a=nn.Linear(5, 3, bias=False),
            b=nn.Linear(3, 4, bias=False),
            u=weight(3),
        ),
        ((40, 5),),
        {"GL(3)": 1, "O(3)": 1, "T₊(1)": 1},
    ),
    Case(
        "a recurrence from zero",
        lambda: Net(
            recurrence,
            a=nn.Linear(5, 3, bias=False),
            c=nn.Linear(3, 3),
            b=nn.Linear(3, 4, bias=False),
        ),
        ((30, 5),),
        {"T₊(3)": 1},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)
