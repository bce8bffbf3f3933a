"""The picture: every family has its arc, inside the picture, between the right modules."""

import pytest
import torch

from paramsym.discovery import discover
from paramsym.family import Family
from paramsym.groups import (
    Affine,
    ComplexScaling,
    GeneralLinear,
    Homothety,
    Orthogonal,
    PositiveScaling,
    Translation,
)
from paramsym.nets import MLP
from paramsym.ports import Port
from paramsym.report.drawing import MOST_MODULES, draw
from paramsym.report.spaces import kind_of, module_of
from paramsym.symmetry import Symmetry
from paramsym.zoo import BUILTIN


@pytest.mark.parametrize("name", BUILTIN)
def test_every_family_has_an_arc_inside_the_picture(name: str) -> None:
    model, args = BUILTIN[name]()
    symmetry = discover(model, args, verify=False)
    drawing = draw(symmetry)
    own = [arc for arc in drawing.arcs if arc.kind != "discrete"]
    assert len(own) == len(symmetry)
    # Discrete families that move what a continuous one moves share its arc.
    moved = {family.moves for family in symmetry}
    alone = [family for family in symmetry.discrete if family.moves not in moved]
    assert len(drawing.arcs) == len(own) + len(alone)
    assert drawing.left_out == 0
    assert [box.name for box in drawing.boxes] == list(
        dict.fromkeys(module_of(p.name) for p in symmetry.parameters)
    )
    for arc in drawing.arcs:
        assert 0 < arc.y + arc.radius < drawing.above
        assert all(0 <= foot <= drawing.width for foot in arc.feet)
        assert arc.feet[0] <= arc.x <= arc.feet[-1]
    for box in drawing.boxes:
        assert box.x >= 0
        assert box.x + box.width <= drawing.width
        assert box.height <= drawing.depth < drawing.below
        assert box.label


def test_an_arc_joins_the_writer_to_the_reader() -> None:
    symmetry = discover(MLP((3, 5, 2)), (torch.randn(4, 3),), verify=False)
    drawing = draw(symmetry)
    first, second = drawing.boxes
    (arc,) = drawing.arcs
    assert first.reads == ()
    assert first.writes == ("scaling",)
    assert second.reads == ("scaling",)
    assert second.writes == ()
    # From the writing half of the first box to the reading half of the second.
    assert first.x + first.width / 2 < arc.feet[0] < first.x + first.width
    assert second.x < arc.feet[1] < second.x + second.width / 2


def test_a_permutation_shares_the_arc_of_its_scalings() -> None:
    symmetry = discover(MLP((3, 5, 2)), (torch.randn(4, 3),), verify=False)
    (arc,) = draw(symmetry).arcs
    assert arc.label == "T₊(5) · S(5)"
    assert arc.title == "layers.0 → layers.1: T₊(5) · S(5), orbit dimension 5"


def test_a_permutation_alone_has_a_broken_arc() -> None:
    symmetry = discover(MLP((3, 5, 2), "sigmoid"), (torch.randn(4, 3),), verify=False)
    drawing = draw(symmetry)
    (arc,) = drawing.arcs
    assert (arc.kind, arc.label) == ("discrete", "S(5)")
    assert drawing.boxes[0].writes == drawing.boxes[1].reads == ("discrete",)
    assert not drawing.boxes[0].plain
    assert drawing.kinds == (("discrete", "S, Z₂ · permute, change signs"),)


def test_labels_do_not_overlap() -> None:
    model, args = BUILTIN["resnet-tiny"]()
    arcs = draw(discover(model, args, verify=False)).arcs
    for i, a in enumerate(arcs):
        for b in arcs[:i]:
            # A node has its label above it, 14 pixels high.
            low, high = sorted((a, b), key=lambda arc: arc.y)
            apart = low.y + low.radius + 14 <= high.y - high.radius
            assert apart or abs(a.x - b.x) >= max(46, 3.3 * (len(a.label) + len(b.label)))


def test_modules_are_named_by_the_end_of_their_path() -> None:
    shapes = {
        "net.h.0.attn.proj.weight": (3, 3),
        "net.h.0.mlp.proj.weight": (3, 3),
        "net.h.0.mlp.1.weight": (3, 3),
        "net.an_embedding_with_a_very_long_name.weight": (9, 3),
        "head": (9, 3),
    }
    drawing = draw(Symmetry.of((), {k: torch.zeros(v) for k, v in shapes.items()}))
    labels = [box.label for box in drawing.boxes]
    assert labels == ["attn.proj", "mlp.proj", "mlp.1", "…with_a_very_long_name", "head"]
    assert drawing.tilted
    # The first one is long; whatever hangs out on the left has room there.
    first = next(box for box in drawing.boxes if box.label.startswith("…"))
    assert first.x + first.width / 2 + drawing.left >= 5 * len(first.label)


def test_a_large_model_is_drawn_in_part() -> None:
    symmetry = discover(MLP([2] * 300), (torch.randn(2, 2),), verify=False)
    drawing = draw(symmetry)
    assert len(drawing.boxes) == MOST_MODULES
    assert drawing.left_out == 299 - MOST_MODULES
    assert all(0 <= foot <= drawing.width for arc in drawing.arcs for foot in arc.feet)
    assert not any(box.label for box in drawing.boxes)


def test_without_families() -> None:
    assert draw(Symmetry((), ())).arcs == ()


def test_kinds_tell_the_groups_apart() -> None:
    assert kind_of(Homothety(2)) == kind_of(PositiveScaling(2))
    groups = [
        PositiveScaling(2),
        GeneralLinear(2),
        Affine(2),
        Orthogonal(2),
        ComplexScaling(2),
        Translation(2),
    ]
    assert len({kind_of(group) for group in groups}) == len(groups)


def test_top_level_parameters_are_their_own_module() -> None:
    assert module_of("scale") == "scale"
    assert module_of("a.b.weight") == "a.b"


def test_repeated_blocks_share_boxes_and_arcs() -> None:
    """Twelve blocks of four modules and three other modules are drawn as seven boxes."""
    blocks = [f"model.h.{k}" for k in range(12)]
    shapes = {"model.embed.weight": (9, 4), "model.norm.weight": (4,), "head.weight": (9, 4)}
    families = []
    for block in blocks:
        names = [f"{block}.{part}.weight" for part in ("norm", "value", "out", "mlp")]
        shapes |= {names[0]: (4,), names[1]: (4, 4), names[2]: (4, 4), names[3]: (4, 4)}
        ports = (
            Port.along(names[1], (4, 4), 0, copies=2),
            Port.along(names[2], (4, 4), 1, copies=2, dual=True),
        )
        families.append(Family(f"{block}: value → out", GeneralLinear(2, 2), ports))
    symmetry = Symmetry.of(families, {name: torch.zeros(shape) for name, shape in shapes.items()})
    drawing = draw(symmetry)
    assert drawing.left_out == 0
    assert [box.name for box in drawing.boxes] == [
        "model.embed",
        "model.norm",
        "head",
        *(f"model.h.{{0…11}}.{part}" for part in ("norm", "value", "out", "mlp")),
    ]
    (arc,) = drawing.arcs
    assert arc.label == "GL(2) × 2 ×12"
    assert "orbit dimension 96" in arc.title
    value, out = drawing.boxes[4], drawing.boxes[5]
    assert "192 parameters, 12 modules" in value.title
    assert value.writes == out.reads == ("linear",)
    assert value.x < arc.feet[0] < arc.feet[1] < out.x + out.width
