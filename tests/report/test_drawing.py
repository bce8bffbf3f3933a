"""The picture: every family has its arc, inside the picture, between the right modules."""

import pytest
import torch

from paramsym.discovery import discover
from paramsym.groups import (
    Affine,
    ComplexScaling,
    GeneralLinear,
    Orthogonal,
    PositiveScaling,
    Translation,
)
from paramsym.nets import MLP
from paramsym.report.drawing import MOST_MODULES, draw, kind_of, module_of
from paramsym.symmetry import Symmetry
from paramsym.zoo import BUILTIN


@pytest.mark.parametrize("name", BUILTIN)
def test_every_family_has_an_arc_inside_the_picture(name: str) -> None:
    model, args = BUILTIN[name]()
    symmetry = discover(model, args, verify=False)
    drawing = draw(symmetry)
    assert len(drawing.arcs) == len(symmetry)
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


def test_labels_do_not_overlap() -> None:
    model, args = BUILTIN["resnet-tiny"]()
    arcs = draw(discover(model, args, verify=False)).arcs
    for i, a in enumerate(arcs):
        for b in arcs[:i]:
            assert abs(a.x - b.x) >= 40 or abs(a.y - b.y) >= 14


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
