"""Where autograd's gradient is not that of the function, families act and have no law."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.discovery.dispatching import record_run
from paramsym.discovery.gradients import altered_gradients
from paramsym.storage import from_dict, to_dict
from tests.discover.checking import Net, generic

IDS = torch.tensor([[0, 1, 2, 0], [3, 0, 0, 4]])
X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class StraightThrough(torch.autograd.Function):
    """A sign, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


def looked_up(net: Any, ids: Tensor) -> Tensor:
    return net.down(net.up(net.out(net.table(ids)).tanh()).relu())


def looked_up_after_a_product(net: Any, ids: Tensor) -> Tensor:
    rows = torch.nn.functional.embedding(ids, net.table.weight @ net.inner.weight.T, padding_idx=0)
    return net.down(net.up(net.out(rows).tanh()).relu())


def activated(net: Any, x: Tensor) -> Tensor:
    return net.out(net.function(net.fc(x)))


def through(net: Any, x: Tensor) -> Tensor:
    return net.last(net.out(StraightThrough.apply(net.fc(x))).relu())


def hidden() -> dict[str, nn.Module]:
    """A hidden layer that has its law whatever the table does."""
    return {"up": nn.Linear(2, 3), "down": nn.Linear(3, 2)}


def embedding(**options: Any) -> nn.Module:
    table = nn.Embedding(6, 3, **options)
    return generic(Net(looked_up, table=table, out=nn.Linear(3, 2, bias=False), **hidden()))


def product() -> nn.Module:
    inner, out = nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False)
    parts = {"table": nn.Embedding(6, 3), "inner": inner, "out": out, **hidden()}
    return generic(Net(looked_up_after_a_product, **parts))


def straight_through() -> nn.Module:
    layers = {"fc": nn.Linear(3, 4), "out": nn.Linear(4, 5), "last": nn.Linear(5, 2)}
    return generic(Net(through, **layers))


CASES: list[tuple[Callable[[], nn.Module], Tensor, set[str], str]] = [
    (lambda: embedding(padding_idx=0), IDS, {"table.weight"}, "row 0 stands for padding"),
    (lambda: embedding(padding_idx=-2), IDS, {"table.weight"}, "row 4 stands for padding"),
    (lambda: embedding(scale_grad_by_freq=True), IDS, {"table.weight"}, "how often they occur"),
    (lambda: embedding(max_norm=1.0), IDS, {"table.weight"}, "overwrites it as it runs"),
    (product, IDS, {"table.weight", "inner.weight"}, "row 0 stands for padding"),
    (straight_through, X, {"fc.weight", "fc.bias"}, "StraightThrough has a backward of its own"),
]


def slopes(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What training sees: autograd's gradient of a loss."""
    model.zero_grad()
    model(x).square().sum().backward()
    return {k: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for k, p in model.named_parameters()}  # fmt: skip


def rates(symmetry: ps.Symmetry, model: nn.Module, x: Tensor) -> dict[str, float]:
    """|dQ/dt| along gradient flow for every law, relative to the sizes that cancel in it."""
    params = {k: p.detach() for k, p in model.named_parameters()}
    slope = slopes(model, x)
    if not symmetry.conserved(params):
        return {}
    rate = torch.func.jvp(symmetry.conserved, (params,), (slope,))[1]
    size = {k: 2 * float((params[k].abs() * slope[k].abs()).sum()) for k in params}
    return {
        name: float(change.abs().max()) / sum(size[k] for k in symmetry[name].moves)
        for name, change in rate.items()
    }


@pytest.mark.parametrize(("make", "x", "names", "reason"), CASES)
def test_families_act_and_have_no_law(
    make: Callable[[], nn.Module], x: Tensor, names: set[str], reason: str
) -> None:
    model = make()
    symmetry = ps.discover(model, (x,))
    altered = {p.name: p.altered_gradient for p in symmetry.parameters if p.altered_gradient}
    assert set(altered) == names
    assert all(reason in words for words in altered.values())
    rate: dict[str, float] = {}
    for _ in range(3):  # along training, padding in every batch
        rate = rates(symmetry, model, x)
        assert len(rate) == 1
        assert max(rate.values()) < 1e-13
        step = slopes(model, x)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter -= 0.05 * step[name]
    assert not any(symmetry[name].moves & names for name in rate)
    assert reason in str(symmetry.explain(next(iter(names))))
    assert reason in str(symmetry)
    assert from_dict(to_dict(symmetry)) == symmetry
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()


def test_files_from_before_there_was_a_reason() -> None:
    data = to_dict(ps.discover(embedding(), (IDS,)))
    for parameter in data["parameters"]:
        del parameter["altered_gradient"]
    assert from_dict(data) == ps.discover(embedding(), (IDS,))


@pytest.mark.parametrize("case", [0, 2, 4, 5])
def test_the_law_that_it_would_have_does_not_hold(case: int) -> None:
    """The same families, were the gradient the function's, conserve nothing."""
    make, x, names, _ = CASES[case]
    model = make()
    symmetry = ps.discover(model, (x,))
    families = [family for family in symmetry if family.moves & names and family.has_law]
    assert families
    believed = ps.Symmetry.of(families, model)
    assert max(rates(believed, model, x).values()) > 1e-3


def test_laws_stand_where_the_gradient_is_the_functions() -> None:
    """A bag leaves padding out of its sum, and torch's own functions keep their promises."""

    def bag(net: Any, ids: Tensor) -> Tensor:
        return net.out(net.table(ids)).tanh()

    table = nn.EmbeddingBag(6, 3, padding_idx=0, mode="sum")
    model = generic(Net(bag, table=table, out=nn.Linear(3, 2, bias=False)))
    symmetry = ps.discover(model, (IDS,))
    assert not any(p.altered_gradient for p in symmetry.parameters)
    assert len(rates(symmetry, model, IDS)) == 1
    assert max(rates(symmetry, model, IDS).values()) < 1e-13


def test_a_recorded_run_sees_the_same() -> None:
    model = embedding(padding_idx=0)
    recording = record_run(model, (IDS,), {}, mode="train", mode_dependent=False)
    assert altered_gradients(recording) == {
        "table.weight": "row 0 stands for padding and gets no gradient"
    }


def test_marking_ends_with_the_export() -> None:
    before = torch.autograd.Function.__dict__["apply"]
    ps.discover(straight_through(), (X,))
    assert torch.autograd.Function.__dict__["apply"] is before


def test_hooks_on_tensors() -> None:
    """What a hook passes on is not the derivative; layers behind it have their law."""

    def run(net: Any, x: Tensor) -> Tensor:
        z = net.a(x)
        z.register_hook(lambda gradient: gradient / 2)
        return net.c(net.b(z.relu()).relu())

    layers = {"a": nn.Linear(3, 4), "b": nn.Linear(4, 5), "c": nn.Linear(5, 2)}
    symmetry = ps.discover(generic(Net(run, **layers)), (X,))
    assert [str(family.group) for family in symmetry] == ["T₊(4)", "T₊(5)"]
    assert [symmetry.laws_of(family) for family in symmetry] == [0, 5]


def test_hooks_on_parameters() -> None:
    model = generic(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    assert ps.discover(model, (X,)).law_dim == 4
    weight = dict(model.named_parameters())["0.weight"]
    handle = weight.register_hook(lambda gradient: gradient * 2)
    symmetry = ps.discover(model, (X,))
    assert (symmetry.dim, symmetry.law_dim) == (4, 0)
    handle.remove()
    assert ps.discover(model, (X,)).law_dim == 4
