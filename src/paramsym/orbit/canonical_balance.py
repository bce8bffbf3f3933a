"""Canonical shifts and scales: which bias is made zero, and which Q a canonical point has."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import Affine, ComplexScaling, GeneralLinear, Orthogonal, Translation
from paramsym.orbit.coupling import all_commute
from paramsym.orbit.target_joint import is_scaling
from paramsym.orbit.target_newton import scale_squares
from paramsym.orbit.target_reading import lawful_families
from paramsym.orbit.target_spaces import grams
from paramsym.symmetry import Symmetry

Params = Mapping[str, Tensor]


def zeroing_shifts(families: Iterable[Family]) -> dict[Family, Callable[[Params], Tensor]]:
    """For families that shift some bias by the translation itself, the element that zeroes it."""
    found: dict[Family, Callable[[Params], Tensor]] = {}
    taken: set[str] = set()
    for family in families:
        if not isinstance(family.group, Affine | Translation) or (
            isinstance(family.group, Translation) and family.ports
        ):
            continue
        for term in family.terms:
            given, result = term.equation.split("->")
            name = term.target.parameter
            if term.sources or given != result or term.coefficient == 0 or name in taken:
                continue
            taken.add(name)

            def element(params: Params, family=family, term=term) -> Tensor:
                t = -term.target.read(params) / term.coefficient
                g = family.group.identity().to(t)
                if isinstance(family.group, Affine):
                    g[..., : family.group.n, family.group.n] = t
                    return g
                return t.reshape(family.group.shape)

            found[family] = element
            break
    return found


def canonical_target(
    symmetry: Symmetry, exact: list[Family], params: Params, shifted: set[Family]
) -> tuple[dict[str, Tensor], list[str]]:
    """Q of the canonical point for each family that has one, and the names of families that no
    rule fixes."""
    lawful = {family.name for family in lawful_families(symmetry, params)}
    target: dict[str, Tensor] = {}
    unfixed: list[str] = []
    for family in exact:
        group = family.group
        rotation = isinstance(group, Orthogonal) and not group.fixes_mean
        mixing = rotation or isinstance(group, Affine | GeneralLinear)
        if mixing and not _stands_alone(family, exact):
            unfixed.append(family.name)
            continue
        if family in shifted and isinstance(group, Translation):
            continue
        if rotation:
            continue
        known = isinstance(group, Affine | GeneralLinear | Translation) or is_scaling(family)
        if (
            not known
            or family.name not in lawful
            or (isinstance(group, Affine) and family not in shifted)
        ):
            unfixed.append(family.name)
        elif family.group.diagonal:
            target[family.name] = _scales(family, params)
        elif isinstance(group, ComplexScaling):
            A, B = grams(family, params)
            one = (_alive(A) - _alive(B))[:, None, None] * torch.eye(2, dtype=A.dtype)
            target[family.name] = one.reshape(group.shape)
        else:
            target[family.name] = torch.zeros(group.shape, dtype=torch.float64)
    return target, unfixed


def _stands_alone(family: Family, families: list[Family]) -> bool:
    """Whether a space of matrices may be fixed apart from the scales and matrices of others: its
    action commutes with theirs, and no gain stands between it and a reader."""
    if any(port.frame is not None for port in family.ports):
        return False
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
