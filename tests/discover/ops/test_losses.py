"""Losses and distances as ops."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.discover.cases import Case, check
from tests.discover.checking import Net

Loss = Callable[[Tensor, Tensor], Tensor]


def head(loss: Loss) -> nn.Module:
    """A relu layer, and the loss of three outputs with targets."""
    return Net(
        lambda n, x: loss(n.b(torch.relu(n.a(x))), x[:, :3]), a=nn.Linear(5, 4), b=nn.Linear(4, 3)
    )


def two(compare: Loss) -> nn.Module:
    """Codes of two inputs, compared."""
    return Net(
        lambda n, x, y: compare(n.a(x), n.b(y)),
        a=nn.Linear(5, 3, bias=False),
        b=nn.Linear(5, 3, bias=False),
    )


def classes(x: Tensor) -> Tensor:
    return x.argmax(1)


LOSSES: dict[str, Loss] = {
    "squares": lambda z, y: F.mse_loss(z, y),
    "squares, each": lambda z, y: F.mse_loss(z, y, reduction="none"),
    "absolute": lambda z, y: F.l1_loss(z, y),
    "huber": lambda z, y: F.huber_loss(z, y),
    "smooth": lambda z, y: F.smooth_l1_loss(z, y),
    "binary": lambda z, y: F.binary_cross_entropy_with_logits(z, (y > 0).double()),
    "binary of probabilities": lambda z, y: F.binary_cross_entropy(z.sigmoid(), (y > 0).double()),
    "classes": lambda z, y: F.cross_entropy(z, classes(y)),
    "counts": lambda z, y: F.poisson_nll_loss(z, y.abs()),
    "sign": lambda z, y: F.soft_margin_loss(z, y.sign()),
}

OF_LOGARITHMS: dict[str, Loss] = {
    "classes, of logarithms": lambda z, y: F.nll_loss(z.log_softmax(-1), classes(y)),
    "divergence": lambda z, y: F.kl_div(z.log_softmax(-1), y.softmax(-1), reduction="sum"),
}

APART: dict[str, tuple[Loss, int | None]] = {
    "distance": (lambda z, y: F.pairwise_distance(z, y, eps=0.0), 0),
    "squared distance": (lambda z, y: F.mse_loss(z, y, reduction="none").sum(-1), 0),
}

CASES = [
    *(Case(f"loss, {k}", lambda f=f: head(f), ((30, 5),), {"T₊(4)": 1}, gap=None)
      for k, f in LOSSES.items()),
    *(Case(f"loss, {k}: all logits may shift", lambda f=f: head(f), ((30, 5),),
           {"T₊(4)": 1, "R^1": 1, "R^4": 1}, gap=None)
      for k, f in OF_LOGARITHMS.items()),
    *(Case(k, lambda f=f: two(f), ((60, 5), (60, 5)), {"O(3)": 1}, gap=gap)
      for k, (f, gap) in APART.items()),
    Case(
        "all distances",
        lambda: two(torch.cdist),
        ((12, 5), (13, 5)),
        {"O(3)": 1},
        gap=None,
        differentiable=False,
    ),
    Case(
        "all distances, in steps along the axes",
        lambda: two(lambda z, y: torch.cdist(z, y, p=1)),
        ((12, 5), (13, 5)),
        {},
        gap=None,
    ),
    Case(
        "angle",
        lambda: two(lambda z, y: F.cosine_similarity(z, y)),
        ((60, 5), (60, 5)),
        {"O(3)": 1, "T₊(1)": 2},
    ),
    Case(
        "two heads against each other: their scale is gone with the loss's",
        lambda: Net(
            lambda n, x, y: n.c(F.mse_loss(n.a(x), n.b(y), reduction="none")),
            a=nn.Linear(4, 3, bias=False),
            b=nn.Linear(4, 3, bias=False),
            c=nn.Linear(3, 2),
        ),
        ((60, 4), (60, 4)),
        {"T₊(3)": 1},
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)
