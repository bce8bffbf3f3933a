"""Sums, means, norms and extrema."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.discover.cases import Case, check
from tests.discover.checking import Net


def pooled(reduce: Callable[[Tensor], Tensor], *, relu: bool) -> nn.Module:
    """Points `[batch, points, 4]` → 3 features each, reduced over the points, then 3 outputs."""

    def run(net: Net, x: Tensor) -> Tensor:
        z = net.a(x)
        return net.b(reduce(nn.functional.leaky_relu(z, 0.1) if relu else z))

    return Net(run, a=nn.Linear(4, 3, bias=relu), b=nn.Linear(3, 3))


def over_features(reduce: Callable[[Tensor], Tensor], width: int = 1) -> nn.Module:
    """Linear 5 → 3, relu, reduced over the features, then 2 outputs."""
    return Net(
        lambda net, x: net.b(reduce(torch.relu(net.a(x)))),
        a=nn.Linear(5, 3),
        b=nn.Linear(width, 2),
    )


POINTS = ((40, 5, 4),)
FEATURES = ((90, 5),)
CASES = [
    *(
        Case(f"{name}: GL", lambda f=f: pooled(f, relu=False), POINTS, {"GL(3)": 1})
        for name, f in (
            ("sum over points", lambda z: z.sum(1)),
            ("mean over points", lambda z: z.mean(1)),
            ("mean over points, kept", lambda z: z.mean(1, keepdim=True)),
            ("mean over points and batch halves", lambda z: z.reshape(20, 2, 5, 3).mean((1, 2))),
            ("weighted mean", lambda z: (z * torch.arange(1.0, 6.0).to(z)[:, None]).mean(1)),
            ("cumulated and read at the end", lambda z: z.flip(1).sum(1)),
        )
    ),
    *(
        Case(f"{name}: scales", lambda f=f: pooled(f, relu=True), POINTS, {"T₊(3)": 1})
        for name, f in (
            ("sum over points", lambda z: z.sum(1)),
            ("mean over points", lambda z: z.mean(1)),
        )
    ),
    *(
        Case(f"{name}: scales", lambda f=f: pooled(f, relu=False), POINTS, {"T₊(3)": 1}, gap=gap)
        for name, f, gap in (
            ("maximum over points", lambda z: z.amax(1), 0),
            ("minimum over points", lambda z: z.amin(1), 0),
            ("max with indices over points", lambda z: z.max(1).values, 0),
            ("mean of squares over points", lambda z: z.square().mean(1), 0),
            ("norm over points", lambda z: z.norm(dim=1), 0),
            ("norm of order 1 over points", lambda z: torch.linalg.vector_norm(z, 1, dim=1), 0),
        )
    ),
    *(
        Case(f"{name}: one scale", lambda f=f: over_features(f), FEATURES, {"T₊(1)": 1}, gap=gap)
        for name, f, gap in (
            ("sum of features", lambda z: z.sum(-1, keepdim=True), 0),
            ("mean of features", lambda z: z.mean(-1, keepdim=True), 0),
            ("largest feature", lambda z: z.amax(-1, keepdim=True), None),
            ("norm of features", lambda z: z.norm(dim=-1, keepdim=True), 0),
            ("norm of order 3", lambda z: torch.linalg.vector_norm(z, 3, -1, keepdim=True), 0),
            ("sum of squares of features", lambda z: z.square().sum(-1, keepdim=True), 0),
        )
    ),
    Case(
        "stacked and averaged: scales of two layers agree",
        lambda: Net(
            lambda n, x: n.c(torch.stack([n.a(x), torch.relu(n.b(x))]).mean(0)),
            a=nn.Linear(4, 3),
            b=nn.Linear(4, 3),
            c=nn.Linear(3, 3),
        ),
        ((80, 4),),
        {"T₊(3)": 1, "R^3": 1},
    ),
    Case(
        "stacked with the input and averaged",
        lambda: Net(
            lambda n, x: n.c(torch.stack([x, n.a(x)]).mean(0)),
            a=nn.Linear(3, 3),
            c=nn.Linear(3, 3),
        ),
        ((60, 3),),
        {"R^3": 1},
        gap=None,
    ),
    Case(
        "sum of everything",
        lambda: Net(
            lambda n, x: n.b(torch.relu(n.a(x))).sum(), a=nn.Linear(3, 4), b=nn.Linear(4, 2)
        ),
        ((10, 3),),
        {"T₊(4)": 1},
        gap=None,
    ),
    Case(
        "mean squared error to given targets",
        lambda: Net(
            lambda n, x, y: (n.b(torch.relu(n.a(x))) - y).square().mean(),
            a=nn.Linear(3, 4),
            b=nn.Linear(4, 2),
        ),
        ((10, 3), (10, 2)),
        {"T₊(4)": 1},
        gap=None,
    ),
    Case(
        "weight decay in the loss: the rotations that survive are known to be missed",
        lambda: Net(
            lambda n, x: (
                n.b(n.a(x)).square().mean() + n.a.weight.square().sum() + n.b.weight.square().sum()
            ),
            a=nn.Linear(3, 4, bias=False),
            b=nn.Linear(4, 2, bias=False),
        ),
        ((10, 3),),
        {},
        gap=None,
    ),
    Case(
        "divided by the standard deviation: one scale is erased, rotations that fix the mean pass",
        lambda: Net(
            lambda n, x: n.c(torch.relu(n.b((z := n.a(x)) / z.std(-1, keepdim=True)))),
            a=nn.Linear(4, 3),
            b=nn.Linear(3, 4),
            c=nn.Linear(4, 3),
        ),
        ((90, 4),),
        {"O(2)": 1, "T₊(1)": 1, "T₊(4)": 1},
        gap=None,
    ),
    Case(
        "standardised by batch",
        lambda: Net(
            lambda n, x: n.b(torch.relu(((z := n.a(x)) - z.mean(0)) / z.var(0).sqrt())),
            a=nn.Linear(4, 3, bias=False),
            b=nn.Linear(3, 2),
        ),
        ((90, 4),),
        {"T₊(3)": 1},
    ),
    Case(
        "standardised weight",
        lambda: Net(
            lambda n, x: n.b(
                torch.relu(x @ ((n.w - n.w.mean(0)) / n.w.std(0)) * n.g),
            ),
            w=nn.Parameter(torch.randn(4, 3)),
            g=nn.Parameter(torch.randn(3)),
            b=nn.Linear(3, 2),
        ),
        ((90, 4),),
        {"T₊(3)": 2, "R^3": 1},
    ),
    Case(
        "cumulated over the samples: a linear space",
        lambda: Net(
            lambda n, x: n.b(n.a(x).cumsum(0)),
            a=nn.Linear(4, 3, bias=False),
            b=nn.Linear(3, 5, bias=False),
        ),
        ((20, 4),),
        {"GL(3)": 1},
    ),
    Case(
        "cumulated over the coordinates: one scale",
        lambda: Net(
            lambda n, x: n.b(torch.relu(n.a(x).cumsum(-1))),
            a=nn.Linear(4, 3, bias=False),
            b=nn.Linear(3, 5, bias=False),
        ),
        ((40, 4),),
        {"T₊(1)": 1},
        gap=None,
    ),
    Case(
        "normalize: rotations, and one scale",
        lambda: Net(
            lambda n, x: n.b(nn.functional.normalize(n.a(x), dim=-1)),
            a=nn.Linear(4, 3, bias=False),
            b=nn.Linear(3, 5, bias=False),
        ),
        ((40, 4),),
        {"O(3)": 1, "T₊(1)": 1},
    ),
    Case(
        "normalized weight: a scale for each row",
        lambda: Net(
            lambda n, x: n.b(torch.tanh(x @ nn.functional.normalize(n.w, dim=0))),
            w=nn.Parameter(torch.randn(4, 3)),
            b=nn.Linear(3, 2),
        ),
        ((60, 4),),
        {"T₊(3)": 1},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)
