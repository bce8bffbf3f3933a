"""Elements as words over families: whose letter each tensor is, and whether it fits."""

import difflib
from collections.abc import Collection, Mapping
from typing import TypeVar

from torch import Tensor

from paramsym.discrete.family import DiscreteFamily
from paramsym.element import AlgebraElement, GroupElement
from paramsym.family import Family

AnyFamily = Family | DiscreteFamily
SomeFamily = TypeVar("SomeFamily", Family, AnyFamily)

_LISTED = 6
"""Names of families that a message lists."""


def letters_of(
    families: Mapping[str, AnyFamily], g: GroupElement | Mapping[str, Tensor]
) -> list[tuple[AnyFamily, Tensor]]:
    """The letters of a group element with their families, in the order in which they act.

    Raises:
        TypeError: If `g` is no group element.
        ValueError: If a letter belongs to none of the families, or does not fit its group.
    """
    if isinstance(g, AlgebraElement):
        raise TypeError("`g` must be a group element; got an algebra element. Use `M.exp()`.")
    if not isinstance(g, Mapping):
        raise TypeError(
            "`g` must be a group element or a dict of tensors by family name; "
            f"got {type(g).__name__}. Draw it with `symmetry.sample(...)`."
        )
    pairs = zip(g.names, g.tensors, strict=True) if isinstance(g, GroupElement) else g.items()
    return [(_owner(families, name, tensor, "g"), tensor) for name, tensor in pairs]


def parts_of(
    families: Mapping[str, Family], M: AlgebraElement | Mapping[str, Tensor], argument: str
) -> list[tuple[Family, Tensor]]:
    """The parts of an element of the Lie algebra with their families; raises as `letters_of`."""
    if isinstance(M, GroupElement) or not isinstance(M, Mapping):
        raise TypeError(
            f"`{argument}` must be an algebra element or a dict of tensors by family name; "
            f"got {type(M).__name__}. Draw it with `symmetry.sample_algebra(...)`."
        )
    return [(_owner(families, name, tensor, argument), tensor) for name, tensor in M.items()]


def require_member(family: AnyFamily, g: Tensor) -> None:
    """Raise unless a letter is an element of its family's group."""
    if not family.group.contains(g):
        raise ValueError(
            f'`g["{family.name}"]` is not an element of {family.group} to rounding: '
            "it must be finite, invertible and in the group. "
            "Draw it with `symmetry.sample(...)`."
        )


def no_family(name: object, known: Collection[str]) -> str:
    """What to say where there is no family of that name."""
    arrows = str(name).replace("<->", "↔").replace("->", "→")
    close = [arrows] if arrows in known else difflib.get_close_matches(arrows, known, 1)
    if close:
        return f"there is no family {name!r}. Did you mean {close[0]!r}?"
    shown = ", ".join(map(repr, list(known)[:_LISTED])) or "none"
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"there is no family {name!r}; there are {shown}{more}."


def _owner(
    families: Mapping[str, SomeFamily], name: str, tensor: Tensor, argument: str
) -> SomeFamily:
    if name not in families:
        raise ValueError(
            f'`{argument}["{name}"]` belongs to another symmetry: {no_family(name, families)}'
        )
    family = families[name]
    family.group.require(tensor, f'`{argument}["{name}"]`')
    return family
