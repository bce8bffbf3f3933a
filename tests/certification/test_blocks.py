"""Certificates of blocks: against the whole one, restricted; planted faults; what is told."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.certification.blocks import blocks_of
from paramsym.certification.setting import TooLarge
from tests.certification.models import made, mlp
from tests.discover.checking import Args, generic

SMALL = 1e-9


def restricted(model: nn.Module, args: Args, names: set[str]) -> tuple[int, int]:
    """The whole certificate's null space, and the symmetry's orbit, cut with the directions that
    move these parameters only: a dense twin."""
    symmetry = ps.discover(model, args)
    params = {k: p.detach() for k, p in model.named_parameters()}
    flat = flat_directions(model, args)
    fields = [
        torch.cat([field.get(k, torch.zeros_like(p)).flatten() for k, p in params.items()])
        for family in symmetry
        for M in family.group.basis()
        for field in [symmetry.select(family.name).tangent({family.name: M}, params)]
    ]
    inside = torch.cat([torch.full((p.numel(),), k in names) for k, p in params.items()])
    return tuple(rank(rows) - rank(rows[:, ~inside]) for rows in (flat, torch.stack(fields)))  # type: ignore[return-value]


def rank(rows: Tensor) -> int:
    return int(torch.linalg.matrix_rank(rows, rtol=SMALL)) if rows.numel() else 0


def flat_directions(model: nn.Module, args: Args) -> Tensor:
    """Basis of the null space of the Jacobian, by a dense decomposition."""
    params = {k: p.detach() for k, p in model.named_parameters()}

    def run(values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, values, args).flatten()

    blocks = torch.func.jacrev(run)(params)
    J = torch.cat([b.flatten(1) for b in blocks.values()], 1)
    _, values, rows = torch.linalg.svd(J)
    size = int((values > SMALL * values[0]).sum())
    return rows[size:]


def chain() -> tuple[nn.Module, Args]:
    layers = [nn.Linear(3, 4), nn.LeakyReLU(), nn.Linear(4, 4), nn.Linear(4, 4), nn.LeakyReLU()]
    model = nn.Sequential(*layers, nn.Linear(4, 6))
    return generic(model), (torch.randn(300, 3, dtype=torch.float64),)


def linear() -> tuple[nn.Module, Args]:
    model = nn.Sequential(*(nn.Linear(3, 3, bias=False) for _ in range(3)))
    return generic(model), (torch.randn(60, 3, dtype=torch.float64),)


@pytest.mark.parametrize(
    ("make", "patterns"),
    [
        (chain, ["0.*", "2.*"]),
        (chain, ["2.*", "3.*"]),
        (chain, ["0.*"]),
        (chain, ["*.bias"]),
        (chain, ["0.*", "2.*", "3.*"]),
        (linear, ["0.weight", "1.weight"]),
        (linear, ["0.weight", "2.weight"]),
    ],
)
def test_a_block_is_the_whole_restricted(
    make: Callable[[], tuple[nn.Module, Args]], patterns: list[str]
) -> None:
    model, args = make()
    found = ps.certify(model, args, parameters=patterns, at="here")
    nullity, orbit = restricted(model, args, set(found.within))
    assert (found.nullity, found.rank, found.extra) == (nullity, orbit, 0)
    assert found.verdict == "complete"
    assert "of others it says nothing" in str(found)


def test_families_that_reach_outside_combine_to_directions_inside() -> None:
    """W₃ h⁻¹ · h W₂ g⁻¹ · g W₁ leaves W₂ alone for h = W₂ g W₂⁻¹: nine directions of W₁ and W₃."""
    found = ps.certify(*linear(), parameters=["0.weight", "2.weight"])
    assert (found.nullity, found.rank, found.families) == (9, 9, ())


def test_a_family_outside_may_cancel_what_another_does_there() -> None:
    """A shift of a hidden bias that its reader makes a mean of, which a LayerNorm removes: the bias
    behind takes it up, and its own mean is free."""
    layers = [nn.Linear(3, 5), nn.Linear(5, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 2)]
    model = generic(nn.Sequential(*layers))
    found = ps.certify(model, (torch.randn(1, 3),), parameters=["0.bias"])
    assert (found.nullity, found.rank, found.verdict) == (1, 1, "complete")
    assert found.families == ()


def test_families_that_are_too_large_to_combine_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paramsym.certification.within.COMBINED", 100)
    found = ps.certify(*linear(), parameters=["0.weight", "2.weight"])
    assert (found.nullity, found.rank, found.extra, found.verdict) == (9, 0, 9, "undecided")
    assert len(found.left_out) == 2
    assert "too large to be combined" in str(found)


def test_a_family_that_is_missing_shows_in_its_block_alone() -> None:
    model, args = chain()
    symmetry = ps.discover(model, args)
    (gone,) = (f for f in symmetry if f.moves <= {"0.weight", "0.bias", "2.weight"})
    left = symmetry.select(*(f.name for f in symmetry if f is not gone))
    blocks = {"front": ["0.*", "2.*"], "back": ["3.*", "5.*"]}
    found = ps.certify_blocks(model, args, left, blocks=blocks)
    front, back = found.certificates
    assert (front.extra, front.verdict) == (gone.dim, "incomplete")
    assert (back.extra, back.verdict) == (0, "complete")
    assert (found.verdict, found.extra) == ("incomplete", gone.dim)
    assert front.energy[0][0] in gone.moves
    assert ps.certify_blocks(model, args, blocks=blocks).verdict == "complete"


def test_a_false_family_shows_in_its_block() -> None:
    model, args = mlp("tanh", 3, 4, 2)
    scale = ps.Family(
        "false",
        ps.PositiveScaling(4),
        (
            ps.Port.along("layers.0.weight", (4, 3), 0),
            ps.Port.along("layers.1.weight", (2, 4), 1, dual=True),
        ),
    )
    wrong = ps.Symmetry.of([scale], model)
    found = ps.certify_blocks(model, args, wrong, blocks={"both": ["*.weight"], "last": ["*.1.*"]})
    assert (found.verdict, found.unsound) == ("unsound", ("false",))
    assert "not a symmetry: false" in str(found)


def test_blocks_are_modules_as_large_as_they_may_be() -> None:
    sizes = {
        "embed": 9, "layers.0.norm.weight": 1, "layers.0.mlp.up": 4, "layers.0.mlp.down": 4,
        "layers.1.norm.weight": 1, "layers.1.mlp.up": 4, "layers.1.mlp.down": 4, "head.weight": 2,
        "head.bias": 1,
    }  # fmt: skip

    def at_most(limit: int) -> list[tuple[str, int, bool]]:
        found = blocks_of(sizes, lambda names: sum(sizes[n] for n in names) <= limit)
        assert [n for block in found for n in block.parameters] == list(sizes)
        return [(b.name, sum(sizes[n] for n in b.parameters), b.fits) for b in found]

    assert at_most(30) == [("all", 30, True)]
    assert at_most(20) == [("embed", 9, True), ("layers", 18, True), ("head", 3, True)]
    assert at_most(9) == [
        ("embed", 9, True), ("layers.0", 9, True), ("layers.1", 9, True), ("head", 3, True)
    ]  # fmt: skip
    assert at_most(8) == [
        ("embed", 9, False),
        ("layers.0.norm", 1, True), ("layers.0.mlp", 8, True),
        ("layers.1.norm", 1, True), ("layers.1.mlp", 8, True),
        ("head", 3, True),
    ]  # fmt: skip
    assert at_most(5)[1:3] == [("layers.0.norm", 1, True), ("layers.0.mlp.up", 4, True)]


def test_a_model_that_is_too_large_is_looked_at_in_parts() -> None:
    model, args = chain()
    told: list[str] = []
    found = ps.certify_blocks(model, args, memory=1.6e5, progress=told.append)
    assert len(found.blocks) > 1
    assert found.skipped == ()
    assert [line.split(" (")[0] for line in told] == [block.name for block in found.blocks]
    every = [name for block in found.blocks for name in block.parameters]
    assert every == [name for name, _ in model.named_parameters()]
    assert found.verdict == "complete"
    assert set(found.across) == {
        f.name
        for f in ps.discover(model, args)
        if not any(f.moves <= set(block.parameters) for block in found.blocks)
    }
    assert "Directions across blocks are not seen" in str(found)
    data: dict[str, Any] = json.loads(json.dumps(found.to_dict()))
    assert data["verdict"] == "complete"
    assert [b["name"] for b in data["blocks"]] == [b.name for b in found.blocks]


def test_what_is_too_large_by_itself_is_said() -> None:
    found = ps.certify_blocks(*chain(), memory=1e4)
    assert found.skipped == tuple(block.name for block in found.blocks)
    assert found.verdict == "undecided"
    assert "not looked at: 12 parameters need 0.0 GB" in str(found)


def test_a_transformer_by_blocks() -> None:
    pytest.importorskip("transformers")
    found = ps.certify_blocks(*made("gpt2"), memory=4e6)
    assert len(found.blocks) > 2
    assert (found.skipped, found.verdict) == ((), "complete")


def test_bad_input() -> None:
    model, args = mlp("relu", 2, 3, 2)
    with pytest.raises(ValueError, match=r"'layer\.\*' matches no parameter"):
        ps.certify(model, args, parameters=["layer.*"])
    with pytest.raises(TypeError, match=r"several names or patterns; got 'layers"):
        ps.certify(model, args, parameters="layers.0.weight")
    with pytest.raises(ValueError, match=r"'nothing' matches no parameter"):
        ps.certify_blocks(model, args, blocks={"a": ["nothing"]})
    with pytest.raises(TypeError, match=r"'a' must be several names or patterns"):
        ps.certify_blocks(model, args, blocks={"a": "layers.*"})
    with pytest.raises(TooLarge, match=r"block by block with `certify_blocks`"):
        ps.certify(model, args, memory=10.0)
    with pytest.raises(ValueError, match=r'"generic" or "here"'):
        ps.certify_blocks(model, args, at="there")  # type: ignore[arg-type]
