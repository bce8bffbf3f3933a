"""Families: what they are made of, what they move, and what they refuse."""

from dataclasses import replace

import pytest
import torch

import paramsym as ps

SHAPES = {"w": (4, 3), "b": (4,), "u": (2, 4), "c": (2,), "gain": (4,)}


def along(
    name: str,
    axis: int,
    *,
    dual: bool = False,
    degree: float = 1.0,
    frame: ps.Frame | None = None,
) -> ps.Port:
    return ps.Port.along(name, SHAPES[name], axis, dual=dual, degree=degree, frame=frame)


def hidden(group: ps.PositiveScaling | ps.GeneralLinear | ps.Orthogonal) -> ps.Family:
    return ps.Family("w → u", group, (along("w", 0), along("b", 0), along("u", 1, dual=True)))


ABSORPTION = ps.Family(
    "b → c",
    ps.Translation(4),
    terms=(
        ps.Term(ps.Slot("b"), "i->i"),
        ps.Term(ps.Slot("c"), "i,oi->o", (ps.Source(ps.Slot("u")),), -1.0),
    ),
)

NULL = ps.Family(
    "null",
    ps.Translation(2),
    terms=(ps.Term(ps.Slot("u"), "o,i->oi", (ps.Source(ps.Slot("gain"), -1, 1.0),)),),
)


def test_moves_and_reads() -> None:
    framed = replace(along("u", 1, dual=True), frame=ps.Frame("gain"))
    family = ps.Family("f", ps.Orthogonal(4), (along("w", 0), framed))
    assert (family.moves, family.reads) == ({"w", "u"}, {"gain"})
    assert (ABSORPTION.moves, ABSORPTION.reads) == ({"b", "c"}, {"u"})


def test_linearity_and_laws() -> None:
    framed = replace(along("u", 1, dual=True), frame=ps.Frame("gain"))
    general = hidden(ps.GeneralLinear(4))
    assert general.is_linear
    assert general.has_law
    assert not replace(general, ports=(*general.ports[:2], framed)).has_law
    assert not hidden(ps.Orthogonal(4)).has_law
    assert not ABSORPTION.is_linear
    assert not ABSORPTION.has_law, "the shift reads u, so its field is no gradient"
    constant = replace(ABSORPTION, terms=ABSORPTION.terms[:1])
    assert constant.has_law
    assert (constant.law_dim, ABSORPTION.law_dim) == (4, 0)


@pytest.mark.parametrize(
    ("exactness", "text"),
    [
        (ps.Exactness(), "exact"),
        (ps.Exactness(as_eps_vanishes=True), "exact as eps→0"),
        (ps.Exactness(as_eps_vanishes=True, defect=3e-6), "exact as eps→0 (defect 3e-06)"),
    ],
)
def test_exactness_reads_well(exactness: ps.Exactness, text: str) -> None:
    assert str(exactness) == text


def test_port_must_index_the_group() -> None:
    with pytest.raises(ValueError, match=r"'f'.*'w' must index .*\[1, 3\].*got \[1, 4\]"):
        ps.Family("f", ps.GeneralLinear(3), (along("w", 0),))


def test_degree_is_for_scalings() -> None:
    with pytest.raises(ValueError, match=r"'f'.*degree 2\.0.*scalings only; got GL\(4\)"):
        ps.Family("f", ps.GeneralLinear(4), (along("w", 0, degree=2.0),))


def test_frame_is_not_for_scalings() -> None:
    with pytest.raises(ValueError, match=r"'f'.*has a frame.*leave it out"):
        ps.Family("f", ps.PositiveScaling(4), (along("w", 0, frame=ps.Frame("gain")),))


def test_terms_need_translations() -> None:
    with pytest.raises(ValueError, match=r"'f' has terms, but GL\(4\) has no translations"):
        ps.Family("f", ps.GeneralLinear(4), terms=ABSORPTION.terms)


@pytest.mark.parametrize(
    ("family", "shapes", "message"),
    [
        (hidden(ps.GeneralLinear(4)), {"w": (4, 3), "b": (4,)}, r"needs parameter 'u'"),
        (ABSORPTION, {"b": (4,), "c": (2,)}, r"'b → c' needs parameter 'u'"),
        (hidden(ps.GeneralLinear(4)), {**SHAPES, "w": (4, 5)}, r"views 'w' as \(4, 3\).*\(4, 5\)"),
        (
            ps.Family("f", ps.Orthogonal(4), (along("w", 0, frame=ps.Frame("c")),)),
            SHAPES,
            r"frame 'c' must have n = 4 entries.*got shape \(2,\)",
        ),
        (ABSORPTION, {**SHAPES, "u": (3, 4)}, r"'o' does not fit shape \(2,\)"),
    ],
)
def test_shapes_must_fit(
    family: ps.Family, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        family.require_shapes(shapes)


def test_zero_gains() -> None:
    params = {k: torch.ones(shape) for k, shape in SHAPES.items()}
    framed = ps.Family("framed", ps.Orthogonal(4), (along("w", 0, frame=ps.Frame("gain")),))
    framed.require_gains(params)
    NULL.require_gains(params)
    params["gain"][:2] = 0
    with pytest.raises(ValueError, match=r"'framed' divides by 'gain', in which 2 entries are zer"):
        framed.require_gains(params)
    params["gain"][3] = -1
    with pytest.raises(ValueError, match=r"'null' divides by 'gain' plus 1\.0, in which 1 entries"):
        NULL.require_gains(params)


@pytest.mark.parametrize(
    ("group", "dim", "laws"),
    [
        # Writers hold 3 + 1 vectors of R^4, readers 2.
        (ps.PositiveScaling(4), 4, 4),
        (ps.GeneralLinear(4), 16, 10),
        (ps.Orthogonal(4), 6, 0),
    ],
)
def test_closed_forms(
    group: ps.PositiveScaling | ps.GeneralLinear | ps.Orthogonal, dim: int, laws: int
) -> None:
    assert (hidden(group).dim, hidden(group).law_dim) == (dim, laws)
