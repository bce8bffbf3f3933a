"""What training conserves: Q and angular momentum.

Both are readings of the moment map (`moment_map`). One convention holds everywhere: Q_M(θ) =
⟨θ, M·θ⟩, eq. (12), writers minus readers, without a factor ½. Stacked over the symmetric generators
of a hidden space this is VVᵀ + bbᵀ − α UᵀU.
"""

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.moment_map import moment, moments


def conserved(families: Iterable[Family], params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Conserved quantities of gradient flow, of every family that has a law.

    Args:
        families: Families; those without a law are left out of the result.
        params: Parameter dict.

    Returns:
        For each family a tensor Q of its group's shape, in the symmetric part of the (dual)
        algebra: Q_M(θ) = ⟨Q, M⟩ for symmetric M. For scalings `[h]`, for GL(n) a symmetric
        `[n, n]` matrix. For translations along constant directions Q is linear in θ. Of the
        parameters' dtype, float32 for half precision, and on the device of the first port's
        parameter; of sharded parameters a plain tensor, equal in all processes.
    """
    lawful = [family for family in families if family.has_law]
    found = moments(lawful, params, params)
    return {family.name: family.group.symmetric(found[family.name]) for family in lawful}


def conserved_quantity(
    parts: Iterable[tuple[Family, Tensor]], lawful: Collection[Family], params: Mapping[str, Tensor]
) -> Tensor:
    """Q_M(θ) = ⟨θ, M·θ⟩ for one symmetric generator, a scalar (eq. (12), C.9.1).

    Args:
        parts: Families and the parts of M in their Lie algebras.
        lawful: Families with a law.
        params: Parameter dict.

    Raises:
        ValueError: If M is not symmetric, or a family that it uses has no law.
    """
    total: Tensor | None = None
    for family, part in parts:
        scale = part.abs().max()
        if scale == 0:
            continue
        size = 8 * torch.finfo(part.dtype).eps * scale
        if (part - family.group.symmetric(part)).abs().max() > size:
            raise ValueError(
                f'`conserved_quantity`: `M["{family.name}"]` must be symmetric; its '
                "antisymmetric part conserves nothing of this form. Use `M.symmetric()`, and "
                "`angular_momentum` for the rest."
            )
        if family not in lawful:
            raise ValueError(
                f"`conserved_quantity`: family {family.name!r} has no conservation law, "
                "because it moves a parameter that is frozen or whose gradient is not the "
                "function's, or its field is not a gradient. "
                "`symmetry.conserved(params)` lists the families that have one."
            )
        P = moment(family, params, params)
        share = (P * part.to(P)).sum()
        total = share if total is None else total + share.to(total.device)
    return torch.zeros(()) if total is None else total


def angular_momentum(
    families: Iterable[Family], params: Mapping[str, Tensor], velocity: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Angular momentum ⟨θ̇, M·θ⟩ over antisymmetric generators; 0 along gradient flow (eq. (13)).

    Args:
        families: Families; those whose algebra is all symmetric are left out.
        params: Parameter dict θ.
        velocity: Dict of θ̇, shaped like the parameters.

    Returns:
        For each family a tensor of its group's shape, in the antisymmetric part of the algebra.
    """
    turning = [
        f for f in families if f.ports and f.group.splits and f.group.symmetric_dim < f.group.dim
    ]
    found = moments(turning, params, velocity)
    return {family.name: family.group.antisymmetric(found[family.name]) for family in turning}
