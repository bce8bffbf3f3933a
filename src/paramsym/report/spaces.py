"""What a picture of a symmetry shows: modules, repeated blocks as one, and the spaces between."""

import re
from dataclasses import dataclass, replace
from typing import final

from paramsym.abbreviation import common_name
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import DiscreteGroup
from paramsym.family import Family
from paramsym.groups import (
    Affine,
    ComplexScaling,
    Group,
    Homothety,
    Orthogonal,
    PositiveScaling,
    Translation,
)
from paramsym.symmetry import Symmetry

FOLDED_FROM = 30
"""Modules above which those of repeated blocks share a box."""


def kind_of(group: Group | DiscreteGroup) -> str:
    """One word for a group, by which pictures colour it."""
    if isinstance(group, DiscreteGroup):
        return "discrete"
    names: dict[type[Group], str] = {
        PositiveScaling: "scaling",
        Homothety: "scaling",
        Affine: "affine",
        Orthogonal: "rotation",
        ComplexScaling: "pair",
        Translation: "shift",
    }
    return names.get(type(group), "linear")


def module_of(parameter: str) -> str:
    """The module that holds a parameter; the parameter itself at the top of a model."""
    return parameter.rpartition(".")[0] or parameter


@final
@dataclass(frozen=True)
class Space:
    """What one arc stands for: a family, or those of repeated blocks.

    Attributes:
        name: Of the family.
        group: Its group.
        count: How many families.
        dim: Of their orbits together; 0 for discrete ones.
        writers: Drawn modules that write the space.
        readers: Drawn modules that read it.
        also: Discrete groups that act on the same space.
    """

    name: str
    group: Group | DiscreteGroup
    count: int
    dim: int
    writers: frozenset[str]
    readers: frozenset[str]
    also: tuple[DiscreteGroup, ...] = ()

    @property
    def kind(self) -> str:
        return kind_of(self.group)

    @property
    def groups(self) -> str:
        """All groups that act, as text: `T₊(16) · S(16)`, with a count of alike families."""
        text = " · ".join(map(str, (self.group, *self.also)))
        if self.count == 1:
            return text
        return f"({text}) ×{self.count}" if self.also else f"{text} ×{self.count}"


def folding(modules: list[str], *, crowded: bool = False) -> dict[str, str]:
    """For every module the one that stands for it: where there are many modules, or many families
    between them (`crowded`), those of repeated blocks share one."""
    if len(modules) <= FOLDED_FROM and not crowded:
        return {name: name for name in modules}
    alike: dict[str, list[str]] = {}
    for name in modules:
        alike.setdefault(re.sub(r"\.\d+\.", ".0.", name, count=1), []).append(name)
    return {name: common_name(same) for same in alike.values() for name in same}


def spaces_of(symmetry: Symmetry, place: dict[str, str]) -> list[Space]:
    """The families; where modules share a box, those that join the same boxes in the same way.

    A discrete family that acts on the space of a continuous one shares its arc.
    """
    is_folded = len(set(place.values())) < len(place)
    found = [_space(family, place, family.dim) for family in symmetry.families]
    alone = []
    for family in symmetry.discrete:
        space = _space(family, place, 0)
        own = family.moves
        i = next((i for i, f in enumerate(symmetry.families) if f.moves == own), None)
        if i is None:
            alone.append(space)
        else:
            found[i] = replace(found[i], also=(*found[i].also, family.group))
    alike: dict[object, list[Space]] = {}
    for number, space in enumerate([*found, *alone]):
        key = (space.group, space.also, space.writers, space.readers) if is_folded else number
        alike.setdefault(key, []).append(space)
    return [
        replace(
            same[0],
            name=same[0].name if len(same) == 1 else f"{same[0].name} and those like it",
            count=len(same),
            dim=sum(space.dim for space in same),
        )
        for same in alike.values()
    ]


def _space(family: Family | DiscreteFamily, place: dict[str, str], dim: int) -> Space:
    writers, readers = (frozenset(place[name] for name in side) for side in _sides(family))
    return Space(family.name, family.group, 1, dim, writers, readers)


def _sides(family: Family | DiscreteFamily) -> tuple[set[str], set[str]]:
    """Modules that write the family's space and modules that read it."""
    readers = {module_of(port.parameter) for port in family.ports if port.dual}
    writers = {module_of(port.parameter) for port in family.ports if not port.dual}
    shifted = family.terms if isinstance(family, Family) else ()
    return writers | {module_of(term.target.parameter) for term in shifted} - readers, readers
