"""Stacks of matrices of which data choose: what each expert may do by itself."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paramsym.discovery import walk as walking
from tests.discover.cases import Case, check
from tests.discover.checking import Net

E, N, H = 3, 5, 4


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


def first(x: Tensor) -> Tensor:
    """A choice for every sample."""
    return (x[:, 0] > -0.4).long() + (x[:, 0] > 0.4).long()


def second(x: Tensor) -> Tensor:
    """Another choice."""
    return (x[:, 1] > -0.4).long() + (x[:, 1] > 0.4).long()


def experts(run: Callable[[Net, Tensor], Tensor], width: int = H) -> nn.Module:
    return Net(
        run, up=weight(E, N, width), bias=weight(E, width), down=weight(E, width, N),
        router=weight(N, E),
    )  # fmt: skip


def bent(z: Tensor) -> Tensor:
    return F.leaky_relu(z, 0.2)


def by_bmm(net: Net, x: Tensor) -> Tensor:
    e = first(x)
    return torch.bmm(bent(torch.bmm(x[:, None], net.up[e])), net.down[e])[:, 0]


def by_index_select(net: Net, x: Tensor) -> Tensor:
    e = first(x)
    h = bent(torch.einsum("bi,bih->bh", x, net.up.index_select(0, e)))
    return torch.einsum("bh,bho->bo", h, net.down.index_select(0, e))


def with_bias(net: Net, x: Tensor) -> Tensor:
    e = first(x)
    h = bent(torch.einsum("bi,bih->bh", x, net.up[e]) + net.bias[e])
    return torch.einsum("bh,bho->bo", h, net.down[e])


def two_of_three(net: Net, x: Tensor) -> Tensor:
    scores, chosen = (x @ net.router).topk(2, -1)
    h = bent(torch.einsum("bi,bkih->bkh", x, net.up[chosen]))
    return torch.einsum("bk,bkh,bkho->bo", scores.softmax(-1), h, net.down[chosen])


def two_as_they_are(net: Net, x: Tensor) -> Tensor:
    """Without the softmax the scores are seen."""
    scores, chosen = (x @ net.router).topk(2, -1)
    h = bent(torch.einsum("bi,bkih->bkh", x, net.up[chosen]))
    return torch.einsum("bk,bkh,bkho->bo", scores, h, net.down[chosen])


def two_sorted(net: Net, x: Tensor) -> Tensor:
    scores, chosen = (part[:, :2] for part in (x @ net.router).sort(-1, descending=True))
    h = bent(torch.einsum("bi,bkih->bkh", x, net.up[chosen]))
    return torch.einsum("bk,bkh,bkho->bo", scores.softmax(-1), h, net.down[chosen])


def chosen_twice(net: Net, x: Tensor) -> Tensor:
    """The same choice, computed again."""
    h = bent(torch.einsum("bi,bih->bh", x, net.up[first(x)]))
    return torch.einsum("bh,bho->bo", h, net.down[first(x)])


def linear(net: Net, x: Tensor) -> Tensor:
    e = first(x)
    return torch.einsum("bi,bih,bho->bo", x, net.up[e], net.down[e])


def crossed(net: Net, x: Tensor) -> Tensor:
    """Two choices: every first expert meets every second one."""
    h = bent(torch.einsum("bi,bih->bh", x, net.up[first(x)]))
    return torch.einsum("bh,bho->bo", h, net.down[second(x)])


def averaged(net: Net, x: Tensor) -> Tensor:
    """What all samples share is of all experts."""
    h = bent(torch.einsum("bi,bih->bh", x, net.up[first(x)]))
    return torch.einsum("bh,bho->bo", h / h.square().mean(0).sqrt(), net.down[first(x)])


def neighbours(net: Net, x: Tensor) -> Tensor:
    """Samples two apart are added, whatever their experts are."""
    e = first(x)
    h = bent(torch.einsum("bi,bih->bh", x, net.up[e]))
    return torch.einsum("bh,bho->bo", h + h.roll(2, 0), net.down[e])


def all_of_them(net: Net, x: Tensor) -> Tensor:
    h = bent(torch.einsum("bi,eih->beh", x, net.up) + net.bias)
    mixed = (x @ net.router).softmax(-1)[..., None] * h
    return torch.einsum("beh,eho->bo", mixed, net.down)


def chosen_and_weighed(net: Net, x: Tensor) -> Tensor:
    """What two of three write, each times its weight, `[samples, 2, N]`."""
    scores, chosen = (x @ net.router).softmax(-1).topk(2, -1)
    h = bent(torch.einsum("bi,bkih->bkh", x, net.up[chosen]))
    return torch.einsum("bkh,bkho->bko", h, net.down[chosen]) * scores[..., None]


def added_up(net: Net, x: Tensor) -> Tensor:
    """All experts write to one hidden space, which the head reads."""
    return chosen_and_weighed(net, x).sum(1) @ net.head


def averaged_over_choices(net: Net, x: Tensor) -> Tensor:
    return chosen_and_weighed(net, x).mean(1) @ net.head


def added_along_coordinates(net: Net, x: Tensor) -> Tensor:
    """The sum of what an expert writes is no vector of its space: it has one scale."""
    return chosen_and_weighed(net, x).sum(-1) @ net.pair


def largest(net: Net, x: Tensor) -> Tensor:
    return chosen_and_weighed(net, x).amax(1) @ net.head


def chosen_by_biased_scores(net: Net, x: Tensor) -> Tensor:
    """A bias helps to choose; weights are those of the scores without it."""
    scores = (x @ net.router).softmax(-1)
    chosen = (scores + net.balance).topk(2, -1).indices
    h = bent(torch.einsum("bi,bkih->bkh", x, net.up[chosen]))
    return torch.einsum("bk,bkh,bkho->bo", scores.gather(-1, chosen), h, net.down[chosen])


def chosen_by_sorting(net: Net, x: Tensor) -> Tensor:
    scores = (x @ net.router).softmax(-1)
    chosen = (scores + net.balance).sort(-1).indices[:, 1:]
    h = bent(torch.einsum("bi,bkih->bkh", x, net.up[chosen]))
    return torch.einsum("bk,bkh,bkho->bo", scores.gather(-1, chosen), h, net.down[chosen])


X = ((80, N),)
ALL = {f"T₊({E * H})": 1}
SHARED = {f"T₊({H})": 1}


def case(name: str, run: Callable[[Net, Tensor], Tensor], families: dict[str, int]) -> Case:
    names = {"bias", "router"}
    unused = names - set(run.__code__.co_names)
    return Case(
        name, lambda: experts(run), X, families, gap=None,
        unused=tuple(x for x in ("bias", "router") if x in unused),
    )  # fmt: skip


CASES = [
    case("by bmm", by_bmm, ALL),
    case("by index_select", by_index_select, ALL),
    case("with a bias", with_bias, ALL),
    # What is added to all scores leaves the choice and the softmax of those chosen alone.
    case("two of three", two_of_three, ALL | {f"R^{N}": 1}),
    case("two of three, scores as they are", two_as_they_are, ALL | {"T₊(1)": 1}),
    case("two of three, sorted", two_sorted, ALL | {f"R^{N}": 1}),
    case("chosen twice", chosen_twice, ALL),
    case("linear", linear, {f"GL({H}) × {E}": 1}),
    case("crossed", crossed, SHARED),
    case("neighbours", neighbours, SHARED),
    case("averaged over samples", averaged, {f"T₊({H})": 1}),
    case("all of them", all_of_them, ALL | {f"R^{N}": 1}),
]


HEADS = [
    # A head on the hidden space that all experts write to; the router's softmax is a gauge.
    (added_up, {f"T₊({E * H})": 1, f"R^{N}": 1, f"GL({N})": 1}, 0),
    (averaged_over_choices, {f"T₊({E * H})": 1, f"R^{N}": 1, f"GL({N})": 1}, 0),
    (largest, {f"T₊({E * H})": 1, f"R^{N}": 1, f"T₊({N})": 1}, None),
]


@pytest.mark.parametrize(("run", "families", "gap"), HEADS, ids=[r.__name__ for r, *_ in HEADS])
def test_a_space_that_all_experts_write_to(
    run: Callable[[Net, Tensor], Tensor], families: dict[str, int], gap: int | None
) -> None:
    def model() -> nn.Module:
        return Net(run, up=weight(E, N, H), down=weight(E, H, N), router=weight(N, E),
                   head=weight(N, N + 2))  # fmt: skip

    check(Case("head", model, ((300, N),), families, gap=gap))


@pytest.mark.parametrize("run", [chosen_by_biased_scores, chosen_by_sorting])
def test_a_bias_that_only_chooses_is_read(run: Callable[[Net, Tensor], Tensor]) -> None:
    """The same number for all experts changes no choice, others do."""

    def model() -> nn.Module:
        return Net(run, up=weight(E, N, H), down=weight(E, H, N), router=weight(N, E),
                   balance=weight(E))  # fmt: skip

    check(Case("bias", model, X, {f"T₊({E * H})": 1, f"R^{N}": 1, "R^1": 1}, gap=None))


def test_coordinates_that_are_added_are_no_space() -> None:
    def model() -> nn.Module:
        return Net(added_along_coordinates, up=weight(E, N, H), down=weight(E, H, N),
                   router=weight(N, E), pair=weight(2, 3))  # fmt: skip

    families = {f"T₊({E * H})": 1, f"R^{N}": 1, "T₊(1)": 1}
    check(Case("sum", model, ((300, N),), families, gap=None))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_families(case: Case) -> None:
    check(case)


def test_one_assignment_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """If two choices always agreed, too much would be claimed."""
    every = walking.assignments
    monkeypatch.setattr(walking, "assignments", lambda *args: [next(iter(every(*args)))])
    with pytest.raises(AssertionError):
        check(case("crossed", crossed, SHARED))
