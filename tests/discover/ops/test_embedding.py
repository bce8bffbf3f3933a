"""Tables of vectors: words, positions, ties."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from tests.discover.checking import Args, Net, assert_sound, detached, generic, groups, nullity

WORDS, N = 4, 3
IDS = torch.arange(60).reshape(20, 3) * 7 % 11 % WORDS


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))


def embedded(net: Net, ids: Tensor) -> Tensor:
    return net.out(net.table(ids))


def with_positions(net: Net, ids: Tensor) -> Tensor:
    return net.out(torch.relu(net.table(ids) + net.where(torch.arange(3))))


def tied(net: Net, ids: Tensor) -> Tensor:
    return torch.relu(net.table(ids) @ net.mix) @ net.table.weight.t()


def bag(net: Net, ids: Tensor) -> Tensor:
    return net.out(F.embedding_bag(ids, net.table.weight, mode="mean"))


def largest(net: Net, ids: Tensor) -> Tensor:
    return net.out(F.embedding_bag(ids, net.table.weight, mode="max"))


def squared(net: Net, ids: Tensor) -> Tensor:
    return net.table(ids).square().sum(-1, keepdim=True) * net.gain


CASES: list[tuple[str, nn.Module, dict[str, int], int | None]] = [
    (
        "words",
        Net(embedded, table=nn.Embedding(WORDS, N), out=nn.Linear(N, 5, bias=False)),
        {"GL(3)": 1},
        0,
    ),
    (
        "words and positions behind relu",
        Net(
            with_positions,
            table=nn.Embedding(WORDS, N),
            where=nn.Embedding(3, N),
            out=nn.Linear(N, 5, bias=False),
        ),
        {"T₊(3)": 1, "R^3": 1},  # what one table gains, the other loses
        None,  # with so few words some units are off or on for all of them
    ),
    (
        "tied: the other end of the table is pinned with the logits",
        Net(tied, table=nn.Embedding(WORDS, N), mix=weight(N, N)),
        {"T₊(3)": 1},
        None,
    ),
    ("norms of words", Net(squared, table=nn.Embedding(WORDS, N), gain=weight(1)), {
        "O(3)": 1, "T₊(1)": 1}, 5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "model", "families", "gap"), CASES, ids=[c[0] for c in CASES])
def test_families(name: str, model: nn.Module, families: dict[str, int], gap: int | None) -> None:
    model, args = generic(model), (IDS,)
    symmetry = ps.discover(model, args)
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert symmetry.barriers == ()
    assert groups(symmetry) == families
    assert_sound(model, args, symmetry)
    if gap is not None:
        assert nullity(model, args) == symmetry.orbit_dim(detached(model)) + gap, name


@pytest.mark.parametrize(("run", "group"), [(bag, "GL(3)"), (largest, "T₊(3)")])
def test_bags(run: Callable[[Net, Tensor], Tensor], group: str) -> None:
    """Means of words mix, their largest entries do not."""
    model = Net(run, table=nn.Embedding(WORDS, N), out=nn.Linear(N, 5, bias=False))
    symmetry = ps.discover(generic(model), (IDS,))
    assert groups(symmetry) == {group: 1}
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()


def test_a_padding_word_moves_with_the_others() -> None:
    """Its row is read like any other."""
    table = nn.Embedding(WORDS, N, padding_idx=0)
    model = generic(Net(embedded, table=table, out=nn.Linear(N, 5, bias=False)))
    args: Args = (IDS,)
    symmetry = ps.discover(model, args)
    assert groups(symmetry) == {"GL(3)": 1}
    assert_sound(model, args, symmetry)


def test_words_that_the_example_lacks_move_with_the_others() -> None:
    """What is found does not depend on which words are in the example."""
    model = generic(Net(embedded, table=nn.Embedding(50, N), out=nn.Linear(N, 5, bias=False)))
    (family,) = ps.discover(model, (IDS,))
    rows = next(port for port in family.ports if port.parameter == "table.weight")
    assert str(family.group) == "GL(3)"
    assert rows.axes == (1,)
    assert_sound(model, (torch.arange(50).reshape(10, 5),), ps.discover(model, (IDS,)))


def test_renormalising_tables_are_not_analysed() -> None:
    """`max_norm` changes the table as it is read."""
    table = nn.Embedding(WORDS, N, max_norm=1.0)
    model = Net(embedded, table=table, out=nn.Linear(N, 5, bias=False))
    symmetry = ps.discover(model, (IDS,))
    assert "table.weight" not in {name for family in symmetry for name in family.moves}
