"""Families as rows of a table, those of repeated blocks in one row."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, final

from paramsym.abbreviation import common_name, readable
from paramsym.affine_pairs import affine_pairs
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations
from paramsym.family import Family
from paramsym.groups import Homothety

if TYPE_CHECKING:
    from paramsym.symmetry import Symmetry

AFFINE = "Aff"

FOLDED_FROM = 12
"""Rows above which families of repeated blocks share one."""


@final
@dataclass(frozen=True)
class Row:
    """A family, or several that differ in indices alone, with their sums.

    Attributes:
        name: Where, in words.
        group: The group of each.
        count: How many families.
        group_dim: Dimension of the groups together.
        dim: Of their orbits.
        laws: Conserved quantities.
        exactness: How exactly they hold.
        verified: Whether all were checked numerically.
        moves: How they move the parameters, in words.
    """

    name: str
    group: str
    count: int
    group_dim: int
    dim: int
    laws: int
    exactness: str
    verified: bool
    moves: str = "linearly"

    @property
    def is_shorter(self) -> bool:
        """Whether the orbits have fewer dimensions than the groups."""
        return self.dim < self.group_dim


@final
@dataclass(frozen=True)
class DiscreteRow:
    """A discrete family, or several that differ in indices alone, with the sum of their orders.

    Attributes:
        name: Where, in words.
        group: The group of each.
        count: How many families.
        moves: What it permutes, or that it changes signs.
        log10_order: log₁₀ of the number of elements together.
        verified: Whether all were checked numerically.
    """

    name: str
    group: str
    count: int
    moves: str
    log10_order: float
    verified: bool


AnyRow = TypeVar("AnyRow", Row, DiscreteRow)
_SUMMED = ("count", "group_dim", "dim", "laws", "log10_order")


def rows_of(symmetry: "Symmetry") -> list[Row]:
    """One row a family."""
    return [
        Row(
            readable(family.name, mutual=is_mutual(family)),
            str(family.group),
            1,
            family.group.dim,
            family.dim,
            symmetry.laws_of(family),
            str(family.exactness),
            family.verified,
            moves(family),
        )
        for family in symmetry.families
    ]


def joined_rows_of(symmetry: "Symmetry") -> list[Row]:
    """As `rows_of`, with GL(n) of a space and the shift of its vectors in one row, as Aff(n)."""
    rows = dict(zip(symmetry.families, rows_of(symmetry), strict=True))
    for space, shift in affine_pairs(symmetry.families).items():
        linear, moved = rows[space], rows.pop(shift)
        copies = f" × {space.group.copies}" if space.group.copies > 1 else ""
        rows[space] = replace(
            linear,
            group=f"{AFFINE}({space.group.n}){copies}",
            group_dim=linear.group_dim + moved.group_dim,
            dim=linear.dim + moved.dim,
            verified=linear.verified and moved.verified,
            moves=moved.moves,
        )
    return list(rows.values())


def discrete_rows_of(symmetry: "Symmetry") -> list[DiscreteRow]:
    """One row a discrete family."""
    return [
        DiscreteRow(
            readable(re.sub(r" \((permutations|signs)\)", "", family.name), mutual=False),
            str(family.group),
            1,
            discrete_moves(family),
            family.log10_order,
            family.verified,
        )
        for family in symmetry.discrete
    ]


def moves(family: Family) -> str:
    """How a family moves the parameters: nonlinearly through the gain of a norm, and where a shift
    is compensated by amounts that depend on other parameters; about a point that is not 0, such as
    a running mean."""
    words = []
    if family.ports:
        framed = any(port.frame is not None for port in family.ports)
        words.append("through gains" if framed else "linearly")
    if family.terms:
        compensated = any(term.reads for term in family.terms)
        plain = _point(family) if isinstance(family.group, Homothety) else "shift"
        words.append("compensated shift" if compensated else plain)
    return ", ".join(words)


def _point(family: Family) -> str:
    """About which point a family scales what its terms shift."""
    names = {s.slot.parameter.rpartition(".")[2] for t in family.terms for s in t.sources}
    return f"about {' and '.join(sorted(names))}" if names else "about a point"


def is_nonlinear(moves: str) -> bool:
    """Whether such a motion depends nonlinearly on the parameters."""
    return "through gains" in moves or "compensated" in moves


def discrete_moves(family: DiscreteFamily) -> str:
    """What a discrete family does, in words."""
    if not isinstance(family.group, Permutations):
        return "signs"
    block = min((port.multiplicity for port in family.ports), default=1)
    return "coordinates" if block == 1 else f"blocks of {block}"


def folded(rows: Iterable[AnyRow]) -> list[AnyRow]:
    """Rows that agree but for numbers in their names as one row each, with sums."""
    alike: dict[tuple[str, AnyRow], list[AnyRow]] = {}
    for row in rows:
        alike.setdefault((masked(row.name), replace(row, name="")), []).append(row)
    return [
        replace(
            same[0],
            name=common_name([row.name for row in same]),
            **{
                field: sum(getattr(row, field) for row in same)
                for field in _SUMMED
                if hasattr(same[0], field)
            },
        )
        for same in alike.values()
    ]


def folded_names(names: Iterable[str]) -> list[str]:
    """Names, those that differ in numbers alone as one (`blocks.{0…11}.attn`)."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(masked(name), []).append(name)
    return [common_name(same) for same in alike.values()]


def masked(name: str) -> str:
    """The name with all its numbers as 0."""
    return re.sub(r"\d+", "0", name)


def is_mutual(family: Family) -> bool:
    """Whether neither side reads the other: both hold the space along the same axis of weights of
    one shape elsewhere, as queries and keys do."""
    sides = [
        {
            (port.axes, port.width // port.multiplicity)
            for port in family.ports
            if port.dual is dual and port.width > port.multiplicity
        }
        for dual in (False, True)
    ]
    return len(sides[0]) == 1 and sides[0] == sides[1]
