"""Canonical scales: which Q a canonical point has."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import Affine, ComplexScaling, GeneralLinear, Orthogonal
from paramsym.orbit.coupling import all_commute
from paramsym.orbit.target_joint import is_scaling
from paramsym.orbit.target_newton import scale_squares
from paramsym.orbit.target_spaces import grams
from paramsym.symmetry import Symmetry

Params = Mapping[str, Tensor]


def canonical_target(
    families: Sequence[Family], ones: Collection[str], params: Params
) -> tuple[dict[str, Tensor], list[str]]:
    """Q of the canonical point for each family that has one, and the names of families that no
    rule fixes.

    Args:
        families: Those whose gauge is still open.
        ones: Gains that were made 1, and must stay it.
        params: Parameter dict.
    """
    target: dict[str, Tensor] = {}
    unfixed: list[str] = []
    for family in families:
        group = family.group
        mixing = isinstance(group, Affine | GeneralLinear | Orthogonal)
        if (mixing and not _stands_alone(family, families)) or family.moves & set(ones):
            unfixed.append(family.name)
        elif isinstance(group, Orthogonal):
            continue
        elif not (is_scaling(family) or mixing) or not family.has_law:
            unfixed.append(family.name)
        elif group.diagonal:
            target[family.name] = _scales(family, params)
        elif isinstance(group, ComplexScaling):
            A, B = grams(family, params)
            one = (_alive(A) - _alive(B))[:, None, None] * torch.eye(2, dtype=A.dtype)
            target[family.name] = one.reshape(group.shape)
        else:
            target[family.name] = torch.zeros(group.shape, dtype=torch.float64)
    return target, unfixed


def freely(symmetry: Symmetry, families: Sequence[Family]) -> Symmetry:
    """The symmetry of some families, as if all parameters were trained: what is frozen can be moved
    all the same."""
    parameters = tuple(replace(parameter, trainable=True) for parameter in symmetry.parameters)
    return replace(symmetry, families=tuple(families), parameters=parameters, discrete=())


def _stands_alone(family: Family, families: Sequence[Family]) -> bool:
    """Whether a space of matrices may be fixed apart from the scales and matrices of others: its
    action commutes with theirs."""
    others = [f for f in families if f is not family and f.ports]
    return all(all_commute([family, other]) for other in others)


def _scales(family: Family, params: Params) -> Tensor:
    """0 for units with writers and readers, 1 or −1 for those with one of them, 0 for dead ones."""
    held = []
    for dual in (False, True):
        ports = tuple(port for port in family.ports if port.dual is dual)
        part = Family(family.name, family.group, ports)
        held.append((scale_squares(part, params, 1) > 0).double())
    return held[0] - held[1]


def _alive(S: Tensor) -> Tensor:
    return (S.diagonal(dim1=-2, dim2=-1).sum(-1) > 0).double()
