"""Canonical rotations: the singular basis of a hidden space, and phases of complex pairs."""

from collections.abc import Mapping

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import Affine, ComplexScaling, GeneralLinear, Orthogonal
from paramsym.orbit.target_spaces import as_element

Params = Mapping[str, Tensor]

DEGENERATE = 1e-7
"""Eigenvalues nearer than this, relative to the largest, count as equal: their eigenvectors would
be lost to rounding."""

FIXED_SEED = 20230501
"""Of the fixed directions against which phases and signs are measured."""


def rotations(family: Family, params: Params) -> tuple[Tensor | None, list[str]]:
    """The rotation to the eigenbasis of the family's own vectors, and what is degenerate.

    For balanced GL and Aff spaces WWᵀ = RRᵀ, so that its eigenvalues are the singular values of
    RᵀW; for O(n), which cannot be balanced, WWᵀ + RRᵀ is taken. Both do not change under rotations
    of the spaces on the other sides.
    """
    group = family.group
    turning = isinstance(group, Affine | GeneralLinear | Orthogonal)
    if not turning or (isinstance(group, Orthogonal) and group.fixes_mean):
        return None, []
    S = torch.zeros(group.copies, group.n, group.n, dtype=torch.float64)
    for port in family.ports:
        rows = port.rows(params[port.parameter]).double()
        if port.frame is not None:
            gain = port.frame.diagonal(params, *port.index.shape[:2]).double()
            rows = rows * gain if port.dual else rows / gain
        S = S + rows @ rows.mT
    values, vectors = torch.linalg.eigh((S + S.mT) / 2)
    values, vectors = values.flip(-1), vectors.flip(-1)
    ties = []
    for copy, row in enumerate(values):
        live = row > DEGENERATE * row[0]
        near = (row[:-1] - row[1:] <= DEGENERATE * row[0]) & live[1:]
        if bool(near.any()):
            of_copy = f" of copy {copy}" if group.copies > 1 else ""
            ties.append(
                f"{family.name!r}{of_copy}: {int(near.sum())} equal pairs of singular values"
            )
    return as_element(family, vectors.mT), ties


def phases(family: Family, params: Params) -> tuple[Tensor | None, list[str]]:
    """Rotations of coordinate pairs after which a fixed combination of each is real, positive."""
    group = family.group
    if not isinstance(group, ComplexScaling):
        return None, []
    rows = torch.cat([port.rows(params[port.parameter]).double() for port in family.ports], -1)
    fixed = fixed_directions(rows.shape[-1:])
    x, y = (rows @ fixed).unbind(-1)
    size = torch.hypot(x, y)
    ties = []
    if bool((size <= DEGENERATE * rows.flatten(1).norm(dim=1)).any()):
        ties.append(f"{family.name!r}: phases that nothing fixes")
    safe = torch.where(size > 0, size, 1.0)
    c, s = torch.where(size > 0, x / safe, 1.0), torch.where(size > 0, y / safe, 0.0)
    g = torch.stack([torch.stack([c, s], -1), torch.stack([-s, c], -1)], -2)
    return g.reshape(group.shape), ties


def fixed_directions(shape: tuple[int, ...]) -> Tensor:
    """Fixed weights, in which no model has a reason to be symmetric."""
    generator = torch.Generator().manual_seed(FIXED_SEED)
    return torch.randn(shape, generator=generator, dtype=torch.float64)
