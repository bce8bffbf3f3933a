"""What a picture of a symmetry shows: modules, repeated blocks as one, and the spaces between."""

import re
from dataclasses import dataclass, replace
from typing import final

from paramsym.abbreviation import common_name
from paramsym.family import Family
from paramsym.groups import Affine, ComplexScaling, Group, Orthogonal, PositiveScaling, Translation
from paramsym.symmetry import Symmetry

FOLDED_FROM = 30
"""Modules above which those of repeated blocks share a box."""


def kind_of(group: Group) -> str:
    """One word for a group, by which pictures colour it."""
    names: dict[type[Group], str] = {
        PositiveScaling: "scaling",
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
        dim: Of their orbits together.
        writers: Drawn modules that write the space.
        readers: Drawn modules that read it.
    """

    name: str
    group: Group
    count: int
    dim: int
    writers: frozenset[str]
    readers: frozenset[str]

    @property
    def kind(self) -> str:
        return kind_of(self.group)


def folding(modules: list[str]) -> dict[str, str]:
    """For every module the one that stands for it: where there are many, those of repeated blocks
    share one."""
    if len(modules) <= FOLDED_FROM:
        return {name: name for name in modules}
    alike: dict[str, list[str]] = {}
    for name in modules:
        alike.setdefault(re.sub(r"\.\d+\.", ".0.", name, count=1), []).append(name)
    return {name: common_name(same) for same in alike.values() for name in same}


def spaces_of(symmetry: Symmetry, place: dict[str, str]) -> list[Space]:
    """The families; where modules share a box, those that join the same boxes in the same way."""
    is_folded = len(set(place.values())) < len(place)
    alike: dict[object, list[Space]] = {}
    for number, family in enumerate(symmetry.families):
        writers, readers = (frozenset(place[name] for name in side) for side in _sides(family))
        space = Space(family.name, family.group, 1, family.dim, writers, readers)
        key = (family.group, writers, readers) if is_folded else number
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


def _sides(family: Family) -> tuple[set[str], set[str]]:
    """Modules that write the family's space and modules that read it."""
    readers = {module_of(port.parameter) for port in family.ports if port.dual}
    writers = {module_of(port.parameter) for port in family.ports if not port.dual}
    return writers | {module_of(term.target.parameter) for term in family.terms} - readers, readers
