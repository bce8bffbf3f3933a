"""Families that act freely by structure, against ranks."""

from dataclasses import replace

import pytest
import torch

import paramsym as ps
from paramsym.free_actions import acting_freely
from paramsym.orbit_dimension import tangent_rank
from tests.blocks.gpt2_families import gpt2_subject
from tests.blocks.llama_families import llama_subject
from tests.laws.networks import dense
from tests.laws.subject import Subject

DEEP = [(4, 3, 3, 5), (2, 3, 3, 2), (1, 3, 3, 1), (3, 4, 2), (2, 5, 2), (5, 2, 4, 3)]


def subjects() -> list[tuple[str, Subject]]:
    kinds = ("identity", "identity_affine", "radial")
    found = [(f"{kind} {w}", dense(kind, w, seed=3)) for kind in kinds for w in DEEP]
    return [
        *found,
        ("gpt2", gpt2_subject(layers=1, tied=True)),
        ("llama", llama_subject(layers=1)),
    ]


@pytest.mark.parametrize(
    ("name", "subject"), subjects(), ids=lambda x: x if isinstance(x, str) else ""
)
def test_a_free_family_adds_its_whole_dimension(name: str, subject: Subject) -> None:
    """Whatever the others are: the rank of all is that of the others plus the dimension of the
    group."""
    families = [f for f in subject.symmetry if not f.group.diagonal]
    free = acting_freely(families)
    rest = [f for f in families if f not in free]
    whole = tangent_rank(families, subject.params)
    others = tangent_rank(rest, subject.params) if rest else 0
    assert whole == others + sum(f.group.dim for f in free)


def test_who_is_free() -> None:
    """A layer with enough inputs frees its space, and then the space behind it."""
    expected = {(4, 3, 3, 5): 2, (2, 3, 3, 2): 0, (1, 3, 3, 1): 0, (3, 4, 2): 0, (5, 2, 4, 3): 1}
    for widths, count in expected.items():
        assert len(acting_freely(list(dense("identity", widths, seed=3).symmetry))) == count, widths
    for subject in (gpt2_subject(layers=1, tied=True), llama_subject(layers=2)):
        families = [f for f in subject.symmetry if not f.group.diagonal]
        names = {f.name for f in families} - {f.name for f in acting_freely(families)}
        assert names == set()


def test_the_same_family_twice_is_not_free() -> None:
    (family,) = dense("identity", (5, 3, 4)).symmetry
    assert acting_freely([family]) == [family]
    assert acting_freely([family, replace(family, name="again")]) == []
    smaller = ps.Family("rotations", ps.Orthogonal(3), family.ports)
    assert acting_freely([family, smaller]) == []


def test_a_shift_that_a_matrix_undoes_is_not_free() -> None:
    """W += y vᵀ with a free row v is what matrices do too."""
    (family,) = dense("identity", (5, 3, 4)).symmetry
    writer = next(port for port in family.ports if not port.dual)
    shifts = [
        ps.Family(
            "columns", ps.Translation(5), terms=(ps.Term(ps.Slot(writer.parameter), "j->ij"),)
        ),
        ps.Family("rows", ps.Translation(3), terms=(ps.Term(ps.Slot(writer.parameter), "i->ij"),)),
    ]
    reader = next(port for port in family.ports if port.dual)
    alone = replace(family, ports=(writer,))
    assert reader.parameter != writer.parameter
    assert acting_freely([alone, shifts[0]]) == []
    assert acting_freely([alone, shifts[1]]) == [alone, shifts[1]]
    params = {writer.parameter: torch.randn(3, 5, dtype=torch.float64)}
    assert tangent_rank([alone, shifts[0]], params) == 9 + 5 - 3
    assert tangent_rank([alone, shifts[1]], params) == 9 + 3
