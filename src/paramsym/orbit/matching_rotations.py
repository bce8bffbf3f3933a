"""The rotation of one model's hidden space that brings it nearest to another's."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import ComplexScaling
from paramsym.orbit.canonical_gains import framed_rows
from paramsym.orbit.canonical_rotations import axes, turned
from paramsym.ports import Port

Params = Mapping[str, Tensor]


def nearest_rotation(
    family: Family, ports: Sequence[Port], params: Params, goal: Params, slack: float, whole: bool
) -> Tensor | None:
    """The rotation g of least ‖gX − Y‖, for vectors X of the family and Y of the goal: a polar
    factor of YXᵀ (orthogonal Procrustes problem).

    Args:
        family: One that has rotations.
        ports: Those of its ports of which all other axes agree with the goal's.
        params: Parameter dict.
        goal: Parameter dict.
        slack: Singular values below this part of the largest say nothing.
        whole: Return `None` if there are such. Otherwise the unit is taken there.
    """
    basis = axes(family)
    copies = family.group.copies
    M = torch.zeros(copies, basis.shape[1], basis.shape[1], dtype=torch.float64)
    for port in ports:
        mine, other = (basis.mT @ framed_rows(port, p) for p in (params, goal))
        M = M + other @ mine.mT
    if isinstance(family.group, ComplexScaling):
        return turned(family, _of_plane(M))
    U, values, Vh = torch.linalg.svd(M)
    if bool((values[:, -1] <= slack * values[:, 0]).any()):
        if whole:
            return None
        # Where nothing is said, as little as possible is turned.
        few = slack * values[:, :1, None] * torch.eye(len(M[0]), dtype=M.dtype)
        U, _, Vh = torch.linalg.svd(M + few)
    return turned(family, U @ Vh)


def _of_plane(M: Tensor) -> Tensor:
    """The rotation of the plane, which reflects nothing, with the largest tr(gᵀM)."""
    angle = torch.atan2(M[:, 1, 0] - M[:, 0, 1], M[:, 0, 0] + M[:, 1, 1])
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
