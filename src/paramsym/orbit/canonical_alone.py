"""Canonical points of matrices that one family moves to every invertible matrix.

A GL(n) that moves n vectors and nothing else is transitive on those that are a basis: their
canonical point is the unit matrix, whatever else moves them (docs/derivations.md §34). So it is
with a weight whose input is always zero, as that of the values of DETR's first decoder layer.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from paramsym.discrete.family import DiscreteFamily
from paramsym.family import Family
from paramsym.groups import GeneralLinear, HyperplaneFixing
from paramsym.orbit.target_spaces import as_element

Params = Mapping[str, Tensor]
AnyFamily = Family | DiscreteFamily


def to_unit(
    family: Family, families: Iterable[AnyFamily], params: Params, quiet: float
) -> Tensor | None:
    """The element that makes a family's only matrices 1.

    `None` where the family moves more or less, the matrices are singular, or others do more to them
    than a linear map.
    """
    if not isinstance(family.group, GeneralLinear) or len(family.ports) != 1 or family.terms:
        return None
    (port,) = family.ports
    if port.frame is not None or port.width != family.group.n or not bool(port.taken.all()):
        return None
    if any(_is_more(other, port.parameter) for other in families):
        return None
    W = port.rows(params[port.parameter]).double()
    values = torch.linalg.svdvals(W)
    if bool((values[:, -1] <= quiet * values[:, 0]).any()):
        return None
    return as_element(family, W.mT if port.dual else torch.linalg.inv(W))


def _is_more(other: AnyFamily, name: str) -> bool:
    if isinstance(other, DiscreteFamily):
        return False
    if name in other.reads or any(term.target.parameter == name for term in other.terms):
        return True
    return name in other.moves and isinstance(other.group, HyperplaneFixing)
