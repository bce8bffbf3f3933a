"""Elements of discrete families, as users draw and act with them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import paramsym as ps
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations, Signs
from paramsym.ports import Port
from tests.discover.discrete_cases import CASES, Attention, Case, between, doubled, output, vectors


@pytest.mark.parametrize("case", [c for c in CASES if c.groups], ids=str)
def test_elements_act(case: Case) -> None:
    """Function unchanged; products, inverses, the unit; each family alone moves what it says."""
    model, args = case.built()
    symmetry = ps.discover(model, args)
    params = doubled(model)
    args = tuple(x.double() if x.is_floating_point() else x for x in args)
    reference = output(model, params, args)
    rng = torch.Generator().manual_seed(0)
    for family in symmetry.discrete:
        alone = symmetry.select(family.name)
        assert alone.families == ()
        assert alone.discrete == (family,)
        g, h = (alone.sample(generator=rng, discrete=True) for _ in range(2))
        moved = alone.act(g, params, check=True)
        assert {k for k in params if moved[k] is not params[k]} == set(family.moves)
        size = reference.abs().max()
        assert (output(model, moved, args) - reference).abs().max() <= 1e-12 * size
        there = alone.act(h, moved)
        product = {family.name: (h @ g)[family.name]}
        for word in (h @ g, product):
            assert all(torch.equal(there[k], p) for k, p in alone.act(word, params).items())
        back = alone.act(g.inverse(), moved)
        assert all(torch.equal(back[k], p) for k, p in params.items())
        assert bool(((g.inverse() @ g)[family.name] == family.group.identity()).all())


def test_in_place_and_in_files(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Attention(6, 3, 2)
    args = (torch.randn(2, 5, 4),)
    symmetry = ps.discover(model, args)
    again = ps.load(ps.save(symmetry, tmp_path / "symmetry.json"))
    assert again == symmetry
    assert again.discrete == symmetry.discrete
    g = again.sample(generator=torch.Generator().manual_seed(0), discrete=True)
    assert [f.name for f in (*again.families, *again.discrete)] == list(g.names)
    expected = again.act(g, dict(model.named_parameters()))
    again.act_(g, model)
    for name, p in model.named_parameters():
        assert torch.equal(p, expected[name])


def test_under_vmap() -> None:
    """Many elements at once are what they are one by one."""
    torch.manual_seed(0)
    model = between(nn.Tanh())()
    symmetry = ps.discover(model, vectors())
    params = {k: p.detach() for k, p in model.named_parameters()}
    rng = torch.Generator().manual_seed(0)
    words = [symmetry.sample(generator=rng, discrete=True) for _ in range(3)]
    stacked = ps.GroupElement(
        words[0].names,
        words[0].groups,
        tuple(map(torch.stack, zip(*(g.tensors for g in words), strict=True))),
    )
    many = torch.func.vmap(lambda g: symmetry.act(g, params))(stacked)
    for k, g in enumerate(words):
        for name, p in symmetry.act(g, params).items():
            assert torch.equal(many[name][k] if many[name].ndim > p.ndim else many[name], p)


# -- bad input -----------------------------------------------------------------------------------


def test_bad_elements() -> None:
    torch.manual_seed(0)
    model = between(nn.Tanh())()
    symmetry = ps.discover(model, vectors())
    params = dict(model.named_parameters())
    moves, flips = "0 → 2 (permutations)", "0 → 2 (signs)"
    with pytest.raises(
        TypeError, match=r"must be an int64 tensor, a permutation; got torch\.float"
    ):
        symmetry.act({moves: torch.ones(5)}, params)
    with pytest.raises(
        TypeError, match=r"must be a floating-point tensor of signs; got torch\.int"
    ):
        symmetry.act({flips: torch.ones(5, dtype=torch.int64)}, params)
    with pytest.raises(ValueError, match=r"must have shape \(5,\).*group is S\(5\)"):
        symmetry.act({moves: torch.arange(4)}, params)
    for name, g in ((moves, torch.zeros(5, dtype=torch.int64)), (flips, torch.full((5,), 2.0))):
        with pytest.raises(ValueError, match="is not an element of"):
            symmetry.act({name: g}, params, check=True)


def test_bad_families() -> None:
    port = Port.along("w", (5, 3), 0)
    assert (ps.DiscreteFamily, ps.Permutations, ps.Signs) == (DiscreteFamily, Permutations, Signs)
    with pytest.raises(ValueError, match="positive integers"):
        Permutations(0)
    with pytest.raises(ValueError, match=r"must index .*\[1, 4\].*got \[1, 5\]"):
        DiscreteFamily("w", Permutations(4), (port,))
    with pytest.raises(ValueError, match="degree 1 and no frame"):
        DiscreteFamily("w", Permutations(5), (replace(port, degree=2.0),))
    family = DiscreteFamily("w", Permutations(5), (port,))
    with pytest.raises(ValueError, match="needs parameter 'w', which is missing"):
        family.require_shapes({"v": (5, 3)})
    with pytest.raises(ValueError, match=r"views 'w' as \(5, 3\); got shape \(4, 3\)"):
        family.require_shapes({"w": (4, 3)})
