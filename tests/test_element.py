"""Words of group elements and elements of the Lie algebra, as values."""

import pytest
import torch
from torch.utils import _pytree as pytree

import paramsym as ps
from tests.laws.measure import EPS
from tests.laws.networks import dense

SYMMETRY = dense("identity", (2, 3, 4, 2)).symmetry
FIRST, SECOND = (family.name for family in SYMMETRY)


def test_product_is_a_longer_word(rng: torch.Generator) -> None:
    g, h = SYMMETRY.sample(generator=rng), SYMMETRY.sample(generator=rng)
    word = g @ h
    assert word.names == (FIRST, SECOND, FIRST, SECOND)
    assert word.tensors == (*h.tensors, *g.tensors)
    assert (list(word), len(word)) == ([FIRST, SECOND], 2)
    assert torch.equal(word[FIRST], g[FIRST] @ h[FIRST])


def test_inverse_reverses(rng: torch.Generator) -> None:
    g, h = SYMMETRY.sample(generator=rng), SYMMETRY.sample(generator=rng)
    back = (g @ h).inverse()
    assert back.names == (SECOND, FIRST, SECOND, FIRST)
    product = back @ (g @ h)
    for name in (FIRST, SECOND):
        unit = SYMMETRY[name].group.identity()
        assert (product[name] - unit).abs().max() <= 64 * EPS * g.condition() ** 2


def test_missing_letter() -> None:
    assert "elsewhere" not in SYMMETRY.identity()
    with pytest.raises(KeyError, match="elsewhere"):
        SYMMETRY.identity()["elsewhere"]


def test_condition_is_the_worst_letter() -> None:
    scaling = dense("relu", (2, 3, 2)).symmetry
    (name,) = (family.name for family in scaling)
    halves = ps.GroupElement((name,), (scaling[name].group,), (torch.tensor([0.25, 1.0, 2.0]),))
    assert halves.condition() == 4.0
    assert SYMMETRY.identity().condition() == pytest.approx(1.0, abs=16 * EPS)


def test_translations_have_condition_one(rng: torch.Generator) -> None:
    shift = ps.Family("shift", ps.Translation(2), terms=(ps.Term(ps.Slot("b"), "i->i"),))
    symmetry = ps.Symmetry.of([shift], {"b": torch.zeros(2)})
    assert symmetry.sample(9.0, generator=rng).condition() == 1.0


def test_algebra_is_a_vector_space(rng: torch.Generator) -> None:
    M, N = SYMMETRY.sample_algebra(generator=rng), SYMMETRY.sample_algebra(generator=rng)
    for name in SYMMETRY.sample_algebra():
        assert torch.equal((2.0 * M - N)[name], 2 * M[name] + -1.0 * N[name])
        assert torch.equal((M + N)[name], (N + M)[name])
        split = M.symmetric() + M.antisymmetric()
        assert (split[name] - M[name]).abs().max() <= 4 * EPS * M[name].abs().max()
    assert (list(M), len(M)) == ([FIRST, SECOND], 2)


def test_sum_of_different_families(rng: torch.Generator) -> None:
    M = SYMMETRY.select(FIRST).sample_algebra(generator=rng)
    N = SYMMETRY.select(SECOND).sample_algebra(generator=rng)
    both = M + N
    assert list(both) == [FIRST, SECOND]
    assert torch.equal(both[FIRST], M[FIRST])
    assert torch.equal(both[SECOND], N[SECOND])
    assert both.exp().names == (FIRST, SECOND)


def test_exp_of_time(rng: torch.Generator) -> None:
    M = SYMMETRY.sample_algebra(generator=rng)
    for name in M:
        twice = (M.exp(0.5) @ M.exp(0.5))[name]
        assert (twice - M.exp()[name]).abs().max() <= 64 * EPS * twice.abs().max()


@pytest.mark.parametrize("kind", ["word", "algebra"])
def test_elements_are_pytrees(kind: str, rng: torch.Generator) -> None:
    element = (
        SYMMETRY.sample(generator=rng) if kind == "word" else SYMMETRY.sample_algebra(generator=rng)
    )
    leaves, spec = pytree.tree_flatten(element)
    again = pytree.tree_unflatten(leaves, spec)
    assert type(again) is type(element)
    assert all(torch.equal(again[name], element[name]) for name in element)
    doubled = pytree.tree_map(lambda x: 2 * x, element)
    assert torch.equal(doubled[FIRST], 2 * element[FIRST])
