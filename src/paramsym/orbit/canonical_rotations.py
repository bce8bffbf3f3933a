"""Canonical rotations: the eigenbasis of what a hidden space holds."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import Affine, ComplexScaling, GeneralLinear, Orthogonal
from paramsym.orbit.canonical_gains import DEGENERATE, framed_rows
from paramsym.orbit.target_spaces import as_element

Params = Mapping[str, Tensor]

FIXED_SEED = 20230501
"""Of the fixed directions against which signs are measured."""


def turning(family: Family) -> bool:
    """Whether a family has rotations."""
    return isinstance(family.group, Affine | ComplexScaling | GeneralLinear | Orthogonal)


def rotations(
    family: Family, params: Params, weighed: tuple[Tensor, list[bool]] | None = None
) -> tuple[Tensor, list[str], float]:
    """The rotation to the eigenbasis of the family's own vectors, what is degenerate, and the
    smallest gap of eigenvalues relative to the largest.

    For balanced GL and Aff spaces WWᵀ = RRᵀ, so that its eigenvalues are the singular values of
    RᵀW; for O(n), which cannot be balanced, WWᵀ + RRᵀ is taken, seen through gains; for O(n−1) its
    part on vectors of mean zero. They do not change under rotations, orders and signs of the
    spaces on the other sides.

    Args:
        family: One that is `turning`.
        params: Parameter dict.
        weighed: For spaces of which a side has the unit matrix as its sum of squares: for every
            port a weight, and whether no other space turns its vectors into one another.
    """
    group = family.group
    held = [framed_rows(port, params) for port in family.ports]
    S = torch.zeros(group.copies, group.n, group.n, dtype=torch.float64)
    if weighed is None:
        for rows in held:
            S = S + rows @ rows.mT
    else:
        S = _unlike(held, *weighed)
    basis = axes(family)
    S = basis.mT @ S @ basis
    values, vectors = torch.linalg.eigh((S + S.mT) / 2)
    values, vectors = values.flip(-1), vectors.flip(-1)
    ties, smallest = [], 1.0
    for copy, row in enumerate(values):
        live = row > DEGENERATE * row[:1]
        gaps = (row[:-1] - row[1:])[live[1:]] / row[:1]
        near = gaps <= DEGENERATE
        smallest = min([smallest, *gaps[~near].tolist()])
        if bool(near.any()):
            of_copy = f" of copy {copy}" if group.copies > 1 else ""
            ties.append(
                f"{family.name!r}{of_copy}: {int(near.sum())} equal pairs of singular values"
            )
    if isinstance(group, ComplexScaling):
        # A rotation of the plane: reflections are no complex numbers.
        proper = torch.stack([vectors.new_ones(group.copies), vectors.det()], -1)
        vectors = vectors * proper[:, None]
    return turned(family, vectors.mT), ties, smallest


def _unlike(held: Sequence[Tensor], weights: Tensor, alone: Sequence[bool]) -> Tensor:
    """Σ w rrᵀ + Σ w (rᵀSr) rrᵀ, of vectors that are of one size in all, S being the first sum and
    the unit; the second over those that no other space turns into one another."""
    held = [rows / _size(rows) for rows in held]
    copies, n, _ = held[0].shape
    S = torch.zeros(copies, n, n, dtype=torch.float64)
    for rows, weight in zip(held, weights, strict=True):
        S = S + weight * rows @ rows.mT
    sizes, found = torch.eye(n) + n * S, S
    for rows, weight, is_alone in zip(held, weights, alone, strict=True):
        if is_alone:
            found = found + weight * (rows * (rows * (sizes @ rows)).sum(1, keepdim=True)) @ rows.mT
    return found


def _size(rows: Tensor) -> Tensor:
    size = rows.flatten(1).norm(dim=1)[:, None, None]
    return torch.where(size > 0, size, 1.0)


def axes(family: Family) -> Tensor:
    """An orthonormal basis `[n, m]` of the vectors that a family turns: all, or those of mean
    zero."""
    group = family.group
    if isinstance(group, Orthogonal) and group.fixes_mean:
        return contrasts(group.n)
    return torch.eye(group.n, dtype=torch.float64)


def contrasts(n: int) -> Tensor:
    """An orthonormal basis `[n, n − 1]` of the vectors of mean zero, Helmert's: each compares a
    coordinate with those before it."""
    k = torch.arange(n, dtype=torch.float64)
    each = torch.ones(n, n, dtype=torch.float64).triu(1) - k.diag()
    return each[:, 1:] / (k * (k + 1)).sqrt()[1:]


def turned(family: Family, g: Tensor) -> Tensor:
    """The group element that is `g`, `[copies, m, m]`, in the basis `axes`, and 1 beside it."""
    basis = axes(family)
    one = torch.eye(len(basis), dtype=torch.float64)
    rest = one - basis @ basis.mT if basis.shape[1] < len(basis) else torch.zeros_like(one)
    return as_element(family, basis @ g @ basis.mT + rest)


def fixed_directions(shape: tuple[int, ...]) -> Tensor:
    """Fixed weights, in which no model has a reason to be symmetric."""
    generator = torch.Generator().manual_seed(FIXED_SEED)
    return torch.randn(shape, generator=generator, dtype=torch.float64)
