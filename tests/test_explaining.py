"""What moves a parameter, and what of it nothing moves."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from paramsym import (
    Barrier,
    Family,
    Port,
    PositiveScaling,
    Slot,
    Source,
    Symmetry,
    Term,
    Translation,
    discover,
)
from paramsym.explaining import Motion, Still
from paramsym.zoo import BUILTIN


def mlp() -> Symmetry:
    return discover(*BUILTIN["mlp"](), verify=False)


def test_a_weight_in_the_middle() -> None:
    found = mlp().explain("layers.1.weight")
    assert [(m.role, m.axes, m.rows, m.of) for m in found.motions] == [
        ("reads", (1,), 32, 32),
        ("writes", (0,), 16, 16),
        ("permutes", (1,), 32, 32),
        ("permutes", (0,), 16, 16),
    ]
    assert found.still == ()
    assert str(found).splitlines() == [
        "layers.1.weight  16×32",
        "  reads by axis 1 (all 32): layers.0 → layers.1, T₊(32)",
        "  writes by axis 0 (all 16): layers.1 → layers.2, T₊(16)",
        "  is permuted along axis 1 (all 32): layers.0 → layers.1 (permutations), S(32)",
        "  is permuted along axis 0 (all 16): layers.1 → layers.2 (permutations), S(16)",
    ]


def test_what_reads_data_and_what_is_read_out_stand_still() -> None:
    symmetry = mlp()
    (data,), (read_out,) = (symmetry.explain(f"layers.{i}.weight").still for i in (0, 2))
    assert (data.axis, data.rows, data.of) == (1, 10, 10)
    assert (read_out.axis, read_out.rows, read_out.of) == (0, 5, 5)
    assert str(data).splitlines() == [
        "no family acts along axis 1 (all 10)",
        "  pinned by linear in layers.0: meets data or constants there",
    ]
    assert str(symmetry.explain("layers.2.bias")).splitlines() == [
        "layers.2.bias  5",
        "  no family acts along axis 0 (all 5)",
        "    pinned by the outputs: what the model returns must not change",
    ]


def test_degree_and_part_of_an_axis() -> None:
    rows = torch.tensor([0, 2])
    ports = (
        Port.along("a", (3, 4), 0, rows),
        Port.along("b", (5, 3), 1, rows, dual=True, degree=2),
    )
    family = Family("a → b", PositiveScaling(2), ports)
    symmetry = Symmetry.of([family], {"a": torch.zeros(3, 4), "b": torch.zeros(5, 3)})
    a, b = symmetry.explain("a"), symmetry.explain("b")
    assert a.motions == (Motion("a → b", "T₊(2)", "writes", (0,), 2, 3),)
    assert a.still == (Still(0, 1, 3), Still(1, 4, 4))
    assert "reads by axis 1 (2 of 3): a → b, T₊(2), to the power 2" in str(b)
    assert "no family acts along axis 0 (all 5)" in str(b)


def test_joint_axes_and_shifts() -> None:
    joint = Family("w", PositiveScaling(6), (Port("w", (2, 3, 4), (0, 1), rows(6)),))
    still = Symmetry.of([joint], {"w": torch.zeros(2, 3, 4)}).explain("w")
    assert str(still.motions[0]) == "writes by axes 0, 1 jointly (all 6): w, T₊(6)"
    assert still.still == (Still(2, 4, 4),)


def test_shifts() -> None:
    """A bias of three entries in six, absorbed by the bias of the layer that reads it."""
    sources = (Source(Slot("w")),)
    terms = (Term(Slot("a", ((0, 3),)), "i->i"), Term(Slot("b"), "i,oi->o", sources, -1.0))
    params = {"a": torch.zeros(6), "w": torch.zeros(2, 3), "b": torch.zeros(2)}
    symmetry = Symmetry.of([Family("a → b", Translation(3), terms=terms)], params)
    found = symmetry.explain("a")
    assert found.motions == (Motion("a → b", "R^3", "shifts", (0,), 3, 6),)
    assert found.still == (Still(0, 3, 6),)
    assert "is shifted on entries (3 of 6): a → b, R^3" in str(found)
    assert symmetry.explain("b").still == ()
    assert "R^3, by amounts that depend on w" in str(symmetry.explain("b"))
    assert symmetry.explain("w").motions == ()


def rows(count: int) -> Tensor:
    return torch.arange(count).reshape(1, count, 1)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)
        self.spare = nn.Linear(2, 2)
        self.c.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.logcumsumexp(self.b(torch.relu(self.a(x))), -1))


def test_barriers_unused_and_frozen_are_told() -> None:
    symmetry = discover(Odd(), (torch.randn(5, 3),))
    text = str(symmetry.explain("c.weight"))
    assert "frozen" in text
    assert "pinned by logcumsumexp in (model): no rule for this op" in text
    assert "not analysed: logcumsumexp ×1" in text
    assert "ps.register_rule" in text
    assert symmetry.explain("a.bias").barriers == ()
    spare = symmetry.explain("spare.weight")
    assert spare.unused
    assert spare.still == ()
    assert "unused: the outputs do not depend on it" in str(spare)


def test_tied_and_complex_parameters() -> None:
    symmetry = mlp()
    first, *rest = symmetry.parameters
    tied = replace(symmetry, parameters=(replace(first, aliases=("head.weight",)), *rest))
    assert tied.explain("head.weight") == tied.explain(first.name)
    assert "tied with head.weight" in str(tied.explain("head.weight"))
    last = replace(rest[-1], is_real=False)
    unreal = replace(symmetry, parameters=(first, *rest[:-1], last))
    assert "not a real tensor" in str(unreal.explain(last.name))


def test_several_modules_behind_a_barrier() -> None:
    symmetry = replace(mlp(), barriers=(Barrier("odd", 3, ("x", "y", "z"), "no rule"),), pins=())
    assert "not analysed: odd ×3 in x and 2 more (no rule)" in str(
        symmetry.explain("layers.2.bias")
    )


def test_every_parameter_of_every_model_is_explained() -> None:
    for make in BUILTIN.values():
        symmetry = discover(*make(), verify=False)
        for parameter in symmetry.parameters:
            found = symmetry.explain(parameter.name)
            every = (*symmetry.families, *symmetry.discrete)
            moved = {family.name for family in every if parameter.name in family.moves}
            assert {motion.family for motion in found.motions} == moved
            assert found.motions or found.still
            assert all(part.pins for part in found.still)


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"got 'layers.1.weigth'. Did you mean 'layers.1.weight'"):
        mlp().explain("layers.1.weigth")
    with pytest.raises(ValueError, match=r"`symmetry.parameters` lists them"):
        mlp().explain("zzz")
