"""Which coordinates of a family the outputs respond to at a point.

A family whose parameters the outputs do not depend on there (a dead channel, a layer multiplied by
zero) passes every check at that point, true or false.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from paramsym.discovery.point import Point
from paramsym.discrete.family import DiscreteFamily
from paramsym.family import Family
from paramsym.rows import RowsOf, row_dots, rows_of

Found = TypeVar("Found", bound=Family | DiscreteFamily)


def silent_families(
    families: Sequence[Found], point: Point, *, wholly: bool = False
) -> list[Found]:
    """Families with a coordinate that the outputs do not respond to at a point; those with nothing
    else if `wholly`.

    Where gradients cannot be had: all or none, by whether other parameters change the outputs.
    """
    gradient = point.gradient
    if gradient is None:
        others = {k: p * 1.1 if p.is_floating_point() else p for k, p in point.params.items()}
        pairs = zip(point.run(others), point.outputs, strict=True)
        return list(families) if all(torch.equal(a, b) for a, b in pairs) else []
    ports = [port for family in families for port in family.ports]
    squares = row_dots(ports, gradient, gradient)
    silent = []
    for family in families:
        heard = _heard(family, gradient, squares)
        if not bool(heard.any() if wholly else heard.all()):
            silent.append(family)
    return silent


def _heard(
    family: Family | DiscreteFamily,
    gradient: Mapping[str, Tensor],
    squares: Mapping[RowsOf, Tensor],
) -> Tensor:
    """For every coordinate whether some port of it is heard; a translation speaks for all its
    parameters together."""
    if not family.ports:
        return torch.stack([gradient[name].any() for name in family.moves]).any()
    shares = [port.collect(squares[rows_of(port)]) for port in family.ports]
    return torch.stack([share.cpu() != 0 for share in shares]).any(0)
