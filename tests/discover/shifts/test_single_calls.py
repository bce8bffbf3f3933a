"""A LayerNorm in single calls is one: the same families as of the op, whoever wrote it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.discovery.front_ends import record
from paramsym.discovery.shifting.centred import centred_values
from paramsym.discovery.shifting.walk import run_of
from tests.discover.checking import Net, assert_sound, detached, generic, groups, without_eps

D, EPS = 4, 1e-60


def from_variance(x: Tensor) -> Tensor:
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + EPS)


def from_squares(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(centred.pow(2).mean(-1, keepdim=True) + EPS)


def from_both(x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, -1, keepdim=True, correction=0)
    return (x - mean) * (variance + EPS).rsqrt()


def from_deviation(x: Tensor) -> Tensor:
    return (x - x.mean(-1).unsqueeze(-1)) / (x.std(-1, keepdim=True) + EPS)


def from_length(x: Tensor) -> Tensor:
    x = x - x.mean(-1, keepdim=True)
    return x / x.norm(dim=-1, keepdim=True)


def along_another_axis(x: Tensor) -> Tensor:
    x = x.mT
    centred = x - x.mean(-2, keepdim=True)
    return (centred / torch.sqrt((centred * centred).mean(-2, keepdim=True) + EPS)).mT


SPELLINGS: list[Callable[[Tensor], Tensor]] = [
    from_variance, from_squares, from_both, from_deviation, from_length, along_another_axis,
]  # fmt: skip


class Norm(nn.Module):
    """A LayerNorm whose first part is a function."""

    def __init__(self, spelled: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(D)), nn.Parameter(torch.zeros(D))
        self.spelled = spelled

    def forward(self, x: Tensor) -> Tensor:
        return self.spelled(x) * self.weight + self.bias


def stream(norm: Callable[[], nn.Module]) -> nn.Module:
    """A residual stream with a branch, and a head without a bias."""
    return Net(
        lambda n, x: n.head(n.two((y := n.first(x)) + n.up(torch.tanh(n.down(n.one(y)))))),
        first=nn.Linear(5, D),
        one=norm(),
        down=nn.Linear(D, 3),
        up=nn.Linear(3, D),
        two=norm(),
        head=nn.Linear(D, 5, bias=False),
    )


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(4, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def op(x: Tensor) -> ps.Symmetry:
    """What is found where the norms are torch's."""
    return ps.discover(generic(stream(lambda: nn.LayerNorm(D))), (x,))


@pytest.mark.parametrize("spelled", SPELLINGS, ids=lambda f: f.__name__)
def test_it_has_the_families_of_the_op(
    spelled: Callable[[Tensor], Tensor], x: Tensor, op: ps.Symmetry
) -> None:
    assert groups(op)["Fix(4)"] == 1
    assert groups(op)["O(3)"] == 1
    model = generic(stream(lambda: Norm(spelled)))
    symmetry = ps.discover(model, (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert groups(symmetry) == groups(op)
    assert symmetry.orbit_dim(detached(model)) == symmetry.dim == op.dim
    assert_sound(model, (x,), symmetry)


def test_on_data(x: Tensor) -> None:
    """Nothing stands in front of it, but a bias and readers behind."""
    x = x[..., :D]
    for norm in (lambda: nn.LayerNorm(D, eps=EPS), lambda: Norm(from_squares)):
        model = generic(
            Net(lambda n, x: n.one(n.norm(x)), norm=norm(), one=nn.Linear(D, 3, bias=False))
        )
        symmetry = ps.discover(model, (x,))
        assert groups(symmetry) == {"T₊(4)": 1, "Fix(4)": 1}
        assert_sound(without_eps(model), (x,), symmetry)


def of_another(x: Tensor) -> Tensor:
    y = torch.tanh(x)
    return (y - x.mean(-1, keepdim=True)) / y.norm(dim=-1, keepdim=True)


def of_another_axis(x: Tensor) -> Tensor:
    x = x - x.mean(-2, keepdim=True)
    return x / x.norm(dim=-1, keepdim=True)


def half_of_it(x: Tensor) -> Tensor:
    x = torch.sub(x, x.mean(-1, keepdim=True), alpha=0.5)
    return x / x.norm(dim=-1, keepdim=True)


def the_other_way_round(x: Tensor) -> Tensor:
    x = x.mean(-1, keepdim=True) - torch.tanh(x)
    return x / x.norm(dim=-1, keepdim=True)


def the_variance_instead(x: Tensor) -> Tensor:
    variance, _ = torch.var_mean(x, -1, keepdim=True)
    x = x - variance
    return x / x.norm(dim=-1, keepdim=True)


def entries_apart(x: Tensor) -> Tensor:
    x = x - x.mean(-1, keepdim=True)
    return torch.tanh(x)


def written_to(x: Tensor) -> Tensor:
    x = x * 1.0
    mean = x.mean(-1, keepdim=True)
    x.add_(torch.tanh(x))
    x = x - mean
    return x / x.norm(dim=-1, keepdim=True)


FAULTS: list[Callable[[Tensor], Tensor]] = [
    of_another, of_another_axis, half_of_it, the_other_way_round, the_variance_instead,
    entries_apart, written_to,
]  # fmt: skip


@pytest.mark.parametrize("spelled", FAULTS, ids=lambda f: f.__name__)
def test_what_is_none(spelled: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Planted faults: nothing is said of them, before any check."""
    symmetry = ps.discover(generic(stream(lambda: Norm(spelled))), (x,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert "Fix(4)" not in groups(symmetry)
    assert not any("null" in family.name for family in symmetry)


def test_values_of_mean_zero(x: Tensor) -> None:
    """They are, in a run."""
    model = Net(
        lambda n, x: from_both(n.a(x)) * 2.0 + F.layer_norm(n.a(x), (D,)), a=nn.Linear(5, D)
    )
    recording = record(generic(model), (x,), {})
    centred = centred_values(run_of(recording), recording)
    made = {record.op for record in recording.records for i in record.outputs if i in centred}
    assert made >= {"sub", "mul", "layer_norm"}
    assert all(axes == {2} for axes in centred.values())
    assert not {i for i, name in recording.parameter_ids.items()} & set(centred)


def test_the_parameter_that_can_take_up_most() -> None:
    """A position for each place takes up what all words have in common, and not the other way."""
    ids = torch.randint(0, 6, (40, 3), generator=torch.Generator().manual_seed(0))
    model = generic(
        Net(
            lambda n, ids: n.out(torch.tanh(n.mix(n.norm(n.words(ids) + n.places)))),
            words=nn.Embedding(6, D),
            places=nn.Parameter(torch.randn(3, D)),
            norm=nn.LayerNorm(D),
            mix=nn.Linear(D, D),
            out=nn.Linear(D, 3),
        )
    )
    symmetry = ps.discover(model, (ids,))
    family = symmetry["words.weight → places"]
    assert str(family.group) == f"R^{D - 1}"  # along 1 each shifts by itself
    alone = symmetry.select(*(f.name for f in symmetry if isinstance(f.group, ps.Translation)))
    assert alone.orbit_dim(detached(model)) == alone.dim
