"""Families as rows of a table, those of repeated blocks in one row."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

from paramsym.abbreviation import common_name, readable
from paramsym.family import Family

if TYPE_CHECKING:
    from paramsym.symmetry import Symmetry

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
    """

    name: str
    group: str
    count: int
    group_dim: int
    dim: int
    laws: int
    exactness: str
    verified: bool


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
        )
        for family in symmetry.families
    ]


def folded(rows: Iterable[Row]) -> list[Row]:
    """Rows that agree but for numbers in their names as one row each, with summed dimensions."""
    alike: dict[tuple[str, Row], list[Row]] = {}
    for row in rows:
        alike.setdefault((masked(row.name), replace(row, name="")), []).append(row)
    return [
        replace(
            same[0],
            name=common_name([row.name for row in same]),
            count=len(same),
            group_dim=sum(row.group_dim for row in same),
            dim=sum(row.dim for row in same),
            laws=sum(row.laws for row in same),
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
