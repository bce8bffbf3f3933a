"""Reading and writing at indices: what data choose lets only what is left alone mix."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.discover.cases import Case, check
from tests.discover.checking import Net

ROWS, N = 30, 4

Between = Callable[[Tensor, Tensor], Tensor]


def around(between: Between) -> nn.Module:
    """Something between two linear layers, which may look at the input."""
    return Net(
        lambda net, x: net.b(between(net.a(x), x)),
        a=nn.Linear(5, N, bias=False),
        b=nn.Linear(N, 6, bias=False),
    )


def chosen(x: Tensor) -> Tensor:
    return (x[:, 0] > 0).long()


def column(x: Tensor) -> Tensor:
    return x[:, 0].argsort()[:, None].expand(-1, N)


def entries(x: Tensor) -> Tensor:
    return x[:, :N].argsort(0)


LINEAR: dict[str, Between] = {
    "rows by index": lambda h, x: h + h[chosen(x)],
    "rows by pairs of indices": lambda h, x: h.view(2, -1, N)[chosen(x), chosen(x)] + h,
    "rows by a mask": lambda h, x: h.index_put((x[:, 0] > 0,), torch.zeros((), dtype=h.dtype)),
    "selected rows": lambda h, x: h + h.index_select(0, chosen(x)),
    "gathered rows": lambda h, x: h + h.gather(0, column(x)),
    "rows taken along": lambda h, x: h + h.take_along_dim(column(x), 0),
    "rows scattered": lambda h, x: torch.zeros_like(h).scatter(0, column(x), h) + h,
    "rows scattered and added": lambda h, x: h.scatter_add(0, column(x), h),
    "rows averaged": lambda h, x: torch.zeros_like(h).scatter_reduce(0, column(x), h, "mean") + h,
    "rows added": lambda h, x: h.index_add(0, chosen(x), h),
    "rows added to zeros": lambda h, x: h + torch.zeros_like(h).index_add_(0, chosen(x), h),
    "rows put": lambda h, x: h.index_copy(0, chosen(x)[:1], 2 * h[:1]),
    "rows accumulated": lambda h, x: h.index_put((chosen(x),), h, accumulate=True),
    "rows masked": lambda h, x: h.masked_fill(x[:, :1] > 0, 0.0) + 2 * h,
    "one or the other": lambda h, x: torch.where(x[:, :1] > 0, h, 2 * h),
}

ENTRYWISE: dict[str, Between] = {
    "sorted rows": lambda h, x: h.sort(0).values,
    "top rows": lambda h, x: h.topk(len(h), 0).values,
    "masked entries": lambda h, x: torch.where(x[:, :4] > 0, h, 2 * h),
    "filled entries": lambda h, x: h.masked_fill(x[:, :4] > 0, 0.0),
    "lower triangle": lambda h, x: h + h.tril(),
    "gathered entries": lambda h, x: h + h.gather(0, entries(x)),
    "entries taken along": lambda h, x: h + h.take_along_dim(entries(x), 0),
    "entries scattered": lambda h, x: torch.zeros_like(h).scatter(0, entries(x), h) + h,
    "entries scattered and added": lambda h, x: h.scatter_add(0, entries(x), h),
    "largest rows": lambda h, x: torch.zeros_like(h).scatter_reduce(0, column(x), h, "amax") + h,
}

ONE_SCALE: dict[str, Between] = {
    "gathered columns": lambda h, x: h.gather(1, column(x) % N) + h,
    "sorted columns": lambda h, x: h.sort(1).values,
    "scattered columns": lambda h, x: h.scatter(1, column(x) % N, h),
    "scattered and added columns": lambda h, x: h.scatter_add(1, column(x) % N, h),
}

APART: dict[str, Between] = {
    "some columns negated": lambda h, x: torch.cat([-h[:, :2], h[:, 2:]], 1),
    "some columns doubled": lambda h, x: torch.cat([2 * h[:, :2], h[:, 2:]], 1),
    "some columns added to": lambda h, x: torch.cat([h[:, :2] + h[:, :2], h[:, 2:]], 1),
    "some columns cumulated": lambda h, x: torch.cat([h[:, :2].cumsum(0), h[:, 2:]], 1),
    "some columns of other rows": lambda h, x: torch.cat([h[:, :2], h.roll(1, 0)[:, 2:]], 1),
    "some columns of other rows, by slices": lambda h, x: torch.cat(
        [h[1:][:, :2], h[:-1][:, 2:]], 1
    ),
}


def case(name: str, between: Between, families: dict[str, int], gap: int | None = 0) -> Case:
    return Case(name, lambda: around(between), ((ROWS, 5),), families, gap=gap)


@pytest.mark.parametrize("name", LINEAR)
def test_linear(name: str) -> None:
    """Rows, chosen by data, pass as a whole."""
    check(case(name, LINEAR[name], {f"GL({N})": 1}))


@pytest.mark.parametrize("name", ENTRYWISE)
def test_entrywise(name: str) -> None:
    check(case(name, ENTRYWISE[name], {f"T₊({N})": 1}))


@pytest.mark.parametrize("name", ONE_SCALE)
def test_one_scale(name: str) -> None:
    """Along an axis on which data choose there is one scale."""
    check(case(name, ONE_SCALE[name], {"T₊(1)": 1}, gap=None))


@pytest.mark.parametrize("name", APART)
def test_apart(name: str) -> None:
    """Coordinates that are treated differently do not mix, though each part is linear."""
    check(case(name, APART[name], {"GL(2) × 2": 1}, gap=None))


def test_experts() -> None:
    """Each expert of a stack has a hidden space of its own; the router stands still."""

    def run(net: Net, x: Tensor) -> Tensor:
        gates = torch.softmax(x @ net.router, -1)
        value, choice = gates.topk(1, -1)
        total = torch.zeros_like(x)
        for e in range(3):
            rows, _ = torch.where(choice == e)
            out = torch.relu(x[rows] @ net.up[e]) @ net.down[e]
            total = total.index_add(0, rows, out * value[rows])
        return total

    torch.manual_seed(0)
    model = Net(
        run,
        router=nn.Parameter(torch.randn(5, 3)),
        up=nn.Parameter(torch.randn(3, 5, 4)),
        down=nn.Parameter(torch.randn(3, 4, 5)),
    )
    symmetry = check(Case("experts", lambda: model, ((60, 5),), {"T₊(12)": 1, "R^5": 1}, gap=None))
    # The softmax takes what is added to all columns of the router.
    assert {family.moves for family in symmetry} == {
        frozenset({"up", "down"}),
        frozenset({"router"}),
    }


def test_an_expert_without_a_token_stands_still() -> None:
    """What the run did not read may be read on other data."""

    def run(net: Net, x: Tensor) -> Tensor:
        expert = int(x.sum() > 1e9)
        return torch.relu(x @ net.up[expert]) @ net.down[expert]

    model = Net(run, up=nn.Parameter(torch.randn(2, 5, 4)), down=nn.Parameter(torch.randn(2, 4, 5)))
    check(Case("one expert", lambda: model, ((9, 5),), {"T₊(4)": 1}, gap=None))
