"""A run without values shows what the exporter shows, and leaves nothing behind."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

import paramsym as ps
from paramsym.discovery import front_ends
from paramsym.discovery.noting import NotFollowedError
from paramsym.discovery.ops import RULES
from paramsym.discovery.recording import Recording
from paramsym.discovery.watching import watch
from tests.discover.cases import Case, branching
from tests.discover.checking import Net, generic
from tests.discover.test_recorder import CASES

X = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def watched(model: nn.Module, *args: Any) -> Recording:
    return watch(model, args or (X,), {}, RULES, mode="train", mode_dependent=False)


def ops(model: nn.Module, *args: Any) -> list[str]:
    return [record.op for record in watched(model, *args).records]


@contextmanager
def by_the_exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> None:
        raise NotFollowedError

    with monkeypatch.context() as patch:
        patch.setattr(front_ends, "watch", refuse)
        yield


@pytest.mark.parametrize("case", CASES, ids=str)
def test_watched_is_exported(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same families, port by port, the same barriers, and the same unused parameters."""
    model, args = case.built()
    now = ps.discover(model, args, verify=False)
    with by_the_exporter(monkeypatch):
        exported = ps.discover(model, args, verify=False)
    assert now.families == exported.families
    assert now.barriers == exported.barriers
    assert now.unused == exported.unused
    assert now.parameters == exported.parameters


def net(run: Callable[..., Any], **more: Any) -> nn.Module:
    return generic(Net(run, a=nn.Linear(3, 4), b=nn.Linear(4, 2), **more))


def plain(net: Any, x: Tensor) -> Tensor:
    return net.b(net.a(x).relu())


def test_it_is_watched() -> None:
    assert ops(net(plain)) == ["linear", "relu", "linear"]
    assert ops(net(lambda n, x: n.b(n.a(x).to(torch.float64)))) == ["linear", "linear"]


def test_parameters_met_behind_the_back_of_the_module() -> None:
    """A closure holds the parameter itself, as the list of an LSTM does."""
    held = generic(nn.Linear(3, 4))
    model = Net(lambda n, x: n.b((x @ held.weight.T).relu()), a=held, b=nn.Linear(4, 2)).double()
    recording = watched(model)
    assert recording.parameter_ids[recording.records[0].inputs()[0]] == "a.weight"
    assert [str(family.group) for family in ps.discover(model, (X,))] == ["T₊(4)"]


def handed_over(h: Tensor) -> Tensor:
    y = torch.zeros_like(h)
    y.data = h
    return y


@pytest.mark.parametrize(
    "run",
    [
        lambda n, x: n.b(n.a(x).data.relu()),
        lambda n, x: n.b(handed_over(n.a(x)).relu()),
        lambda n, x: n.b((x @ n.a.weight.data.T).relu()),
    ],
    ids=["data", "handed over", "of a parameter"],
)
@pytest.mark.parametrize("front_end", [lambda m: m, branching], ids=["watched", "run"])
def test_what_no_op_shows_is_a_stopped_gradient(
    run: Callable[..., Any], front_end: Callable[[nn.Module], nn.Module]
) -> None:
    """Read as a constant, the values would not move, and anything might be done to them."""
    symmetry = ps.discover(front_end(net(run)), (X,))
    assert not [family for family in symmetry if "a.weight" in family.moves]
    assert [barrier.op for barrier in symmetry.barriers] == ["detach"]


def test_numbers_out_of_nowhere_are_constants_with_values() -> None:
    there = np.arange(1.0, 5.0)
    model = net(lambda n, x: n.b(n.a(x) * torch.from_numpy(there) + n.extra))
    model.extra = torch.full((4,), 2.0, dtype=torch.float64)  # type: ignore[assignment]
    found = sorted(float(t.sum()) for t in watched(model).constants.values())
    assert found == [8.0, 10.0]
    assert not any(isinstance(t, FakeTensor) for t in watched(model).constants.values())


def remembering(n: Any, x: Tensor) -> Tensor:
    n.calls += 1
    n.last = n.a(x)
    n.all.append(n.last)
    n.named["last"] = n.last
    return n.b(n.last.relu())


def test_the_model_is_left_as_it_was() -> None:
    model: Any = net(remembering, norm=nn.BatchNorm1d(4))
    model.calls, model.last, model.all, model.named = 0, None, [1], {"first": X}
    before = {k: v.clone() for k, v in model.state_dict().items()}
    kept = model.all
    watched(model)
    assert (model.calls, model.last, model.all) == (0, None, [1])
    assert model.all is kept
    assert list(model.named) == ["first"]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None and type(p) is nn.Parameter for p in model.parameters())


def test_statistics_do_not_move() -> None:
    model: Any = net(lambda n, x: n.b(n.norm(n.a(x)).relu()), norm=nn.BatchNorm1d(4)).train()
    before = model.norm.running_mean.clone()
    recording = watched(model)
    assert torch.equal(model.norm.running_mean, before)
    assert int(model.norm.num_batches_tracked) == 0
    assert set(recording.buffer_ids.values()) >= {"norm.running_mean", "norm.running_var"}


def test_an_error_leaves_nothing_behind() -> None:
    def run(n: Any, x: Tensor) -> Tensor:
        n.last = n.a(x)
        raise ArithmeticError("of the model")

    model: Any = net(run)
    model.last = None
    with pytest.raises(ArithmeticError, match="of the model"):
        watched(model)
    assert model.last is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not torch.compiler.is_exporting()
    assert isinstance(torch.ones(1), Tensor)
    assert not isinstance(torch.ones(1), FakeTensor)
    with pytest.raises(ValueError, match="of the model"):
        ps.discover(model, (X,))


def drawing(n: Any, x: Tensor) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return n.b(n.a(x) * torch.rand(4, generator=rng).to(x))


def test_random_numbers_of_an_own_generator() -> None:
    """A replay draws by its own seed, and not on and on from the model's generator."""
    symmetry = ps.discover(net(drawing), (X,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert [str(family.group) for family in symmetry] == ["T₊(4)"]


def test_dropout_that_is_off_is_taken_down() -> None:
    model = net(lambda n, x: n.b(nn.functional.dropout(n.a(x), 0.5, training=n.training)))
    assert ops(model.eval()) == ["linear", "dropout", "linear"]


def test_a_composite_is_whole_where_none_of_its_parts_is_known() -> None:
    model = generic(Net(lambda n, x: torch.linalg.inv(n.a(x).view(-1, 3, 3)), a=nn.Linear(3, 9)))
    assert ops(model) == ["linear", "view", "linalg_inv"]


def test_inside_of_a_composite_gradients_are_not_stopped() -> None:
    """It may switch them off for what its own backward accounts for."""
    model = net(lambda n, x: nn.functional.cosine_similarity(n.a(x), n.c(x)), c=nn.Linear(3, 4))
    records = watched(model).records
    assert "clamp_min_" in [record.op for record in records]
    assert not any(record.stops_gradient for record in records)


def test_ops_in_place_are_never_left_out() -> None:
    assert ops(net(lambda n, x: n.b(n.a(x).detach_()))) == ["linear", "detach_", "linear"]
    assert ops(net(lambda n, x: n.b(n.a(x).relu_()))) == ["linear", "relu_", "linear"]


@pytest.mark.parametrize(
    "run",
    [
        lambda n, x: torch.func.vmap(lambda row: n.b(n.a(row)))(x),
        lambda n, x: torch.func.grad(lambda y: n.b(n.a(y).tanh()).sum())(x),
        lambda n, x: n.b(n.a(x)) if x.sum() > 0 else n.b(n.a(-x)),
        lambda n, x: n.b(n.a(x))[x[:, 0] > 0],
        lambda n, x: n.extra.add_(1.0).sum() + n.b(n.a(x)),
    ],
    ids=["vmap", "grad", "branch", "selection", "write to an attribute"],
)
def test_what_it_cannot_follow_it_refuses(run: Callable[..., Any]) -> None:
    model = net(run)
    model.extra = torch.zeros(3, dtype=torch.float64)  # type: ignore[assignment]
    with pytest.raises(Exception):  # noqa: B017, PT011
        watched(model)
    assert torch.equal(model.extra, torch.zeros(3))  # type: ignore[arg-type]


def test_an_output_that_may_hold_tensors_is_refused() -> None:
    class Box:
        def __init__(self, inside: Tensor) -> None:
            self.inside = inside

    with pytest.raises(NotFollowedError, match="Box"):
        watched(net(lambda n, x: Box(plain(n, x))))


def test_inputs_that_are_overwritten_are_outputs() -> None:
    def run(n: Any, x: Tensor) -> Tensor:
        x.copy_(n.b(n.a(x)).sum() * torch.ones_like(x))
        return n.b(n.a(x).relu())

    recording = watched(net(run))
    assert set(recording.inputs) <= set(recording.outputs)
