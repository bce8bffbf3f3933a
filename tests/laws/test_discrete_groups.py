"""Laws of discrete groups and of their action on rows; each fails on a planted fault."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations, product

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.action import act
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import DISCRETE_GROUPS, DiscreteGroup, Permutations, Signs
from paramsym.family import Family
from paramsym.ports import Port

GROUPS = [
    kind(n, copies) for kind in DISCRETE_GROUPS.values() for n, copies in ((1, 1), (5, 1), (3, 4))
]


def family_of(group: DiscreteGroup) -> tuple[DiscreteFamily, dict[str, Tensor]]:
    """Rows of a vector, columns of a matrix in blocks of two, and rows in reverse order."""
    rows = group.copies * group.n
    rng = torch.Generator().manual_seed(0)
    params = {
        "bias": torch.randn(rows, generator=rng, dtype=torch.float64),
        "reader": torch.randn(3, 2 * rows, generator=rng, dtype=torch.float64),
        "turned": torch.randn(rows + 1, 2, generator=rng, dtype=torch.float64),
    }
    blocks = torch.arange(2 * rows).reshape(group.copies, group.n, 2)
    backwards = torch.arange(rows).flip(0).reshape(group.copies, group.n, 1)
    ports = (
        Port.along("bias", (rows,), 0, copies=group.copies),
        Port.along("reader", (3, 2 * rows), 1, blocks, dual=True),
        Port.along("turned", (rows + 1, 2), 0, backwards),
    )
    return DiscreteFamily("all", group, ports), params


def draws(group: DiscreteGroup, count: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(1)
    return [group.sample(generator=rng) for _ in range(count)]


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(left[k], p) for k, p in right.items())


def group_law(group: DiscreteGroup) -> None:
    """Associative, with a unit and inverses; elements are members."""
    f, g, h = draws(group, 3)
    e = group.identity()
    assert torch.equal(group.compose(f, group.compose(g, h)), group.compose(group.compose(f, g), h))
    for x in (f, g, h, e):
        assert group.contains(x)
        assert torch.equal(group.compose(x, e), x)
        assert torch.equal(group.compose(group.inverse(x), x), e)
        assert torch.equal(group.compose(x, group.inverse(x)), e)


def action_law(group: DiscreteGroup) -> None:
    """(gh)·θ = g·(h·θ), and the unit does nothing; entries are moved, none is lost."""
    family, params = family_of(group)
    for g, h in zip(*(iter(draws(group, 8)),) * 2, strict=True):
        twice = act([(family, h), (family, g)], params)
        assert same(act([(family, group.compose(g, h))], params), twice)
        for name, p in twice.items():
            entries, before = (x.abs().flatten().sort().values for x in (p, params[name]))
            assert torch.equal(entries, before)
    assert same(act([(family, group.identity())], params), params)


def faithful_law(group: DiscreteGroup) -> None:
    """What is drawn are all elements, as many as the order says, about equally often."""
    if group.log10_order > 3:
        return
    order = round(10**group.log10_order)
    seen: dict[tuple[float, ...], int] = {}
    for g in draws(group, 30 * order):
        key = tuple(g.flatten().tolist())
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == order
    # A χ² of mean order − 1 and variance 2(order − 1): six standard deviations.
    chi = sum((count - 30) ** 2 / 30 for count in seen.values())
    assert chi <= order - 1 + 6 * math.sqrt(2 * max(order - 1, 1))


LAWS: list[Callable[[DiscreteGroup], None]] = [group_law, action_law, faithful_law]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_laws(group: DiscreteGroup, law: Callable[[DiscreteGroup], None]) -> None:
    law(group)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_among_continuous_letters(group: DiscreteGroup) -> None:
    """A word with scalings before and after: letters act in their order, in place as well."""
    family, params = family_of(group)
    scaled = Family(
        "scales",
        ps.PositiveScaling(group.n, group.copies),
        tuple(replace(port, dual=False) for port in family.ports),
    )
    rng = torch.Generator().manual_seed(2)
    symmetry = replace(ps.Symmetry.of([scaled], params), discrete=(family,))
    word = symmetry.sample(generator=rng, discrete=True) @ symmetry.sample(generator=rng)
    assert word.names == ("scales", "scales", "all")
    one_by_one = params
    for name, g in zip(word.names, word.tensors, strict=True):
        one_by_one = act([(scaled if name == "scales" else family, g)], one_by_one)
    moved = symmetry.act(word, params, check=True)
    for name, p in one_by_one.items():
        torch.testing.assert_close(moved[name], p, rtol=1e-15, atol=0)
    back = symmetry.act(word.inverse(), moved)
    for name, p in params.items():
        torch.testing.assert_close(back[name], p, rtol=1e-14, atol=0)
    assert word.condition() >= 1


@dataclass(frozen=True)
class _Wrapped(DiscreteGroup):
    """S(n) with something wrong; what is right is inherited by delegation."""

    @property
    def right(self) -> Permutations:
        return Permutations(self.n, self.copies)

    @property
    def log10_order(self) -> float:
        return self.right.log10_order

    def identity(self) -> Tensor:
        return self.right.identity()

    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return self.right.compose(g, h)

    def inverse(self, g: Tensor) -> Tensor:
        return self.right.inverse(g)

    def contains(self, g: Tensor) -> bool:
        return self.right.contains(g)

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        return self.right.sample(generator=generator)

    def apply(self, g: Tensor, rows: Tensor) -> Tensor:
        return self.right.apply(g, rows)

    def require(self, g: Tensor, argument: str) -> None:
        self.right.require(g, argument)


class WrongOrder(_Wrapped):
    def compose(self, g: Tensor, h: Tensor) -> Tensor:
        return g.gather(-1, h)


class OwnInverse(_Wrapped):
    def inverse(self, g: Tensor) -> Tensor:
        return g


class TurnsOnly(_Wrapped):
    """Cyclic shifts alone."""

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        by = int(torch.randint(0, self.n, (), generator=generator))
        return self.identity().roll(by, -1)


@pytest.mark.parametrize(
    ("law", "fault"),
    [(group_law, OwnInverse), (action_law, WrongOrder), (faithful_law, TurnsOnly)],
    ids=lambda x: x.__name__,
)
def test_laws_fail_on_planted_faults(
    law: Callable[[DiscreteGroup], None], fault: type[DiscreteGroup]
) -> None:
    with pytest.raises(AssertionError):
        law(fault(4))


def test_orders() -> None:
    """Counted by listing."""
    assert math.isclose(
        10 ** Permutations(4, 2).log10_order, len(list(permutations(range(4)))) ** 2
    )
    assert math.isclose(10 ** Signs(3, 2).log10_order, len(list(product((1, -1), repeat=3))) ** 2)


def test_members() -> None:
    assert not Permutations(3).contains(torch.tensor([0, 0, 1]))
    assert not Permutations(3).contains(torch.tensor([0, 1]))
    assert not Signs(2).contains(torch.tensor([1.0, 0.5]))
    assert Permutations(3, 2).contains(torch.tensor([[2, 0, 1], [0, 1, 2]]))
