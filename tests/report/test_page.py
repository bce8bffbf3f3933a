"""The page of a symmetry: complete, self-contained, safe against hostile names."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from paramsym.discovery import discover
from paramsym.evidence import Barrier
from paramsym.family import Family
from paramsym.groups import GeneralLinear, Translation
from paramsym.nets import MLP
from paramsym.report.flat import bars_of
from paramsym.report.page import symmetry_page
from paramsym.symmetry import Symmetry
from paramsym.terms import Slot, Source, Term
from paramsym.zoo import BUILTIN
from tests.report.pages import Page, require_self_contained


def _page(symmetry: Symmetry, tmp_path: Path, title: str = "a model") -> Page:
    out = symmetry_page(symmetry, title, tmp_path / "page.html", force=True)
    page = Page(out.read_text(encoding="utf-8"))
    require_self_contained(page)
    return page


@pytest.mark.parametrize("name", BUILTIN)
def test_the_page_shows_every_family(name: str, tmp_path: Path) -> None:
    model, args = BUILTIN[name]()
    symmetry = discover(model, args)
    page = _page(symmetry, tmp_path, name)
    for family in symmetry:
        assert family.name in page.text
        assert str(family.group) in page.text
    for total in (symmetry.group_dim, symmetry.dim, symmetry.law_dim):
        assert f"{total:,}" in page.text
    assert "Not analysed" not in page.text
    assert "Every op was analysed" in page.text
    for discrete in symmetry.discrete:
        assert str(discrete.group) in page.text
    assert page.text.count("Permutations and signs") == bool(symmetry.discrete)
    assert page.tags.count("svg") == 1 + (len(bars_of(symmetry)) >= 3)


def test_many_families_are_folded_and_drawn_in_part(tmp_path: Path) -> None:
    model = MLP([3] * 400, "relu")
    symmetry = discover(model, (torch.randn(2, 3),), verify=False)
    assert len(symmetry) == 398
    page = _page(symmetry, tmp_path)
    assert all(family.name in page.text for family in symmetry)
    assert "All 398 families, one by one" in page.text
    assert "×398" in page.text
    assert "The first 90 modules are drawn; 309 more are in the table only" in page.text
    assert page.tags.count("details") == 1
    assert (tmp_path / "page.html").stat().st_size < 1_000_000


class Unanalysed(nn.Module):
    """A stack of a known and an unknown op, beside a parameter that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 4)
        self.c, self.spare = nn.Linear(4, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.linalg.matrix_exp(torch.diag_embed(self.b(torch.relu(self.a(x)))))
        return self.c(z.sum(-1))


def test_not_analysed_is_not_no_symmetry(tmp_path: Path) -> None:
    symmetry = discover(Unanalysed(), (torch.randn(5, 3),))
    assert symmetry.barriers
    assert symmetry.unused
    text = _page(symmetry, tmp_path).text
    assert "Not analysed" in text
    assert "Every op was analysed" not in text
    assert all(barrier.op in text and barrier.reason in text for barrier in symmetry.barriers)
    assert "Unused parameters" in text
    assert "spare.weight" in text


def test_no_symmetry(tmp_path: Path) -> None:
    symmetry = discover(MLP((3, 4, 2), "sigmoid"), (torch.randn(5, 3),))
    text = _page(symmetry, tmp_path).text
    assert "No continuous symmetry was found" in text
    assert "Every op was analysed" in text
    assert "S(4)" in text
    assert "Random permutations and signs of all discrete families together change" in text
    blocked = Symmetry((), symmetry.parameters, (Barrier("mystery", 2, ("mid",), "no rule"),))
    text = _page(blocked, tmp_path).text
    assert "But not every op was analysed" in text
    assert "mystery" in text


def test_what_is_unexplained_is_drawn(tmp_path: Path) -> None:
    symmetry = discover(MLP((3, 4, 2)), (torch.randn(5, 3),), verify=False)
    out = symmetry_page(symmetry, "a model", tmp_path / "page.html", beyond={"not explained": 7})
    page = Page(out.read_text(encoding="utf-8"))
    require_self_contained(page)
    assert page.tags.count("svg") == 2
    assert "7 are not explained" in page.text


def test_how_families_move_is_said(tmp_path: Path) -> None:
    shift = Family(
        "a.bias → b.bias",
        Translation(4),
        terms=(
            Term(Slot("a.bias"), "i->i"),
            Term(Slot("b.bias"), "i,oi->o", (Source(Slot("b.weight")),), -1.0),
        ),
    )
    shapes = {"a.bias": (4,), "b.weight": (2, 4), "b.bias": (2,)}
    symmetry = Symmetry.of([shift], {k: torch.zeros(v) for k, v in shapes.items()})
    text = _page(symmetry, tmp_path).text
    assert "compensated shift" in text
    assert "the parameters move nonlinearly" in text
    linear = discover(MLP((3, 4, 2)), (torch.randn(5, 3),), verify=False)
    assert "nonlinearly" not in _page(linear, tmp_path).text


def test_unverified_is_said(tmp_path: Path) -> None:
    symmetry = discover(MLP((3, 4, 2)), (torch.randn(5, 3),), verify=False)
    text = _page(symmetry, tmp_path).text
    assert "Unverified" in text
    assert "unchecked" in text
    assert "✓" not in text


def test_an_empty_symmetry(tmp_path: Path) -> None:
    assert "Unverified" not in _page(Symmetry((), ()), tmp_path, title="").text


HOSTILE = "<img src=x onerror=alert(1)>\"'&"


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    from paramsym.parameters import Parameter
    from paramsym.ports import Port

    name = f"{HOSTILE}.weight"
    port = Port.along(name, (3, 2), 0)
    reader = Port.along("b", (2, 3), 1, dual=True)
    symmetry = Symmetry(
        (Family(HOSTILE, GeneralLinear(3), (port, reader)),),
        (Parameter(name, (3, 2)), Parameter("b", (2, 3), trainable=False)),
        (Barrier(HOSTILE, 1, (HOSTILE,), HOSTILE),),
        (HOSTILE,),
    )
    page = _page(symmetry, tmp_path, HOSTILE)
    assert "img" not in page.tags
    assert page.text.count(HOSTILE) >= 6


def test_frozen_parameters_have_no_laws(tmp_path: Path) -> None:
    model = MLP((3, 4, 2))
    model.layers[0].weight.requires_grad_(False)  # pyright: ignore
    symmetry = discover(model, (torch.randn(5, 3),))
    text = _page(symmetry, tmp_path).text
    assert symmetry.law_dim == 0
    assert "1 tensor is frozen" in text


def test_mode_is_said(tmp_path: Path) -> None:
    model, args = BUILTIN["resnet-tiny"]()
    text = _page(discover(model.eval(), args), tmp_path).text
    assert "recorded in eval mode" in text
    assert "another function in training mode" in text


def test_refuses_to_overwrite(tmp_path: Path) -> None:
    symmetry, out = Symmetry((), ()), tmp_path / "page.html"
    out.write_text("mine")
    with pytest.raises(FileExistsError, match=r"page\.html exists"):
        symmetry_page(symmetry, "a model", out)
    assert out.read_text() == "mine"
    assert symmetry_page(symmetry, "a model", out, force=True) == out
    assert "a model" in out.read_text()
