"""Choices of R_z: the paper's, a reflection, and a rotation along a great circle.

Proposition D.3 says that z ↦ R_z is continuous. No choice can be, unless h is 1, 2, 4 or 8: the
other columns would be a frame of the tangent bundle of the sphere. Every class says where it jumps.
"""

from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from paramsym.data_dependent.moving_frame import MovingFrame, largest_entry, norm
from paramsym.data_dependent.requirements import require_locus


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(-1, keepdim=True)


@final
@dataclass(frozen=True)
class Householder(MovingFrame):
    """A reflection: R_z = −s‖z‖ (I − 2vvᵀ), v ∝ z/‖z‖ + s e₁, with s the sign of z₁.

    The cheapest choice, and symmetric. It jumps only where z₁ = 0.
    """

    def rotate(self, y: Tensor, w: Tensor) -> Tensor:
        size, first = norm(y), y[..., :1]
        sign = torch.where(first < 0, -1.0, 1.0).to(y)
        end = sign * size  # y + end·e₁ is the mirror vector; it is not formed
        share = (_dot(y, w) + end * w[..., :1]) / (size * (size + first.abs()))
        out = torch.addcmul(w * -sign, y, sign * share)
        return torch.cat([out[..., :1] + size * share, out[..., 1:]], -1)

    def rotate_back(self, y: Tensor, w: Tensor) -> Tensor:
        return self.rotate(y, w)


@final
@dataclass(frozen=True, eq=False)
class Geodesic(MovingFrame):
    """The rotation along the great circle from a base point p to z/‖z‖, after a fixed e₁ ↦ p.

    R_a R_b⁻¹ is then a product of two reflections. It jumps only at z ∝ −p, and rounding grows as
    1/‖z/‖z‖ + p‖ near there. The default base 1/√h makes it continuous for all activations that
    are non-negative, whatever h.

    Attributes:
        base: A vector `[h]` that is not zero, of any length; `None` for all ones.

    Raises:
        ValueError: If the base is no such vector, or not finite.
    """

    base: Tensor | None = field(default=None)

    def __post_init__(self) -> None:
        base = self.base
        if base is not None and not (base.ndim == 1 and base.isfinite().all() and base.any()):
            raise ValueError(
                "`Geodesic.base` must be a vector [h], finite and not zero; "
                f"got shape {list(base.shape)} with {int(base.count_nonzero())} entries that are "
                "not zero."
            )

    def require(self, z: Tensor, argument: str = "z") -> None:
        require_locus(argument, z)
        y = z / largest_entry(z)
        apart = norm(y / norm(y) + self._base(y))
        near = int((apart <= z.shape[-1] * torch.finfo(z.dtype).eps).sum())
        if near:
            raise ValueError(
                f"`{argument}` must not point opposite to the base of `Geodesic`, where its "
                f"rotation does not exist; {near} of {apart.numel()} vectors do. Use "
                "`Householder()`, or another base."
            )

    def rotate(self, y: Tensor, w: Tensor) -> Tensor:
        p = self._base(y)
        return _reflect(y / norm(y) + p, -Householder().rotate(p, w))

    def rotate_back(self, y: Tensor, w: Tensor) -> Tensor:
        p = self._base(y)
        return -Householder().rotate(p, _reflect(y / norm(y) + p, w))

    def _base(self, y: Tensor) -> Tensor:
        h = y.shape[-1]
        if self.base is None:
            return y.new_full((h,), h**-0.5)
        if tuple(self.base.shape) != (h,):
            raise ValueError(
                f"`Geodesic.base` must have shape ({h},), the frame's dimension; "
                f"got {tuple(self.base.shape)}."
            )
        p = (self.base / largest_entry(self.base)).to(y)
        return p / norm(p)


def _reflect(v: Tensor, w: Tensor) -> Tensor:
    return w - v * (2 * _dot(v, w) / _dot(v, v))


@final
@dataclass(frozen=True)
class Cumulative(MovingFrame):
    """The paper's R_z (Definition D.1): a product of h−1 plane rotations in spherical coordinates.

    Applied by two cumulative sums instead of h−1 rotations. Where a tail z_j, …, z_h vanishes, the
    angles behind it are 0, as `atan2(0, 0)`; entries smaller than √(tiny/eps) of the largest count
    as zeros there. The last angle keeps the sign of z_h. It jumps where z_{h−1} = z_h = 0;
    derivatives there are finite, those with the zeros held. For h = 1, where there are no angles,
    R_z = z.
    """

    def rotate(self, y: Tensor, w: Tensor) -> Tensor:
        if y.shape[-1] == 1:
            return y * w
        p = _plane_rotations(y)
        x = w * p.cosines
        inner = p.z * torch.cumsum(x * p.inverse_tails, -1) + x * p.direct
        return torch.cat([inner[..., :-1] - p.sines * w[..., 1:], inner[..., -1:]], -1)

    def rotate_back(self, y: Tensor, w: Tensor) -> Tensor:
        if y.shape[-1] == 1:
            return y * w
        p = _plane_rotations(y)
        inner = p.cosines * (_tail_sums(p.z * w) * p.inverse_tails + w * p.direct)
        return torch.cat([inner[..., :1], inner[..., 1:] - p.sines * w[..., :-1]], -1)


@final
@dataclass(frozen=True)
class _PlaneRotations:
    """What Definition D.1 needs of z, with tails s_j = ‖(z_j, …, z_h)‖.

    Attributes:
        z: The vector, negligible entries set to 0.
        inverse_tails: 1/s_j; 0 where `direct`.
        direct: 1 for the last coordinate and behind a vanishing tail, else 0.
        cosines: cos α_{j−1} for j = 1, …, h, with α₀ = 0.
        sines: sin α_j for j = 1, …, h−1.
    """

    z: Tensor
    inverse_tails: Tensor
    direct: Tensor
    cosines: Tensor
    sines: Tensor


def _plane_rotations(y: Tensor) -> _PlaneRotations:
    limits = torch.finfo(y.dtype)
    z = torch.where(y.abs() < (limits.tiny / limits.eps) ** 0.5, 0.0, y)
    squares = _tail_sums(z * z)
    vanishing = squares == 0
    # Guarded twice: a root of 0 that is discarded still makes derivatives NaN.
    tails = torch.where(vanishing, 0.0, torch.where(vanishing, 1.0, squares).sqrt())
    inverse = torch.where(vanishing, 0.0, 1 / torch.where(vanishing, 1.0, tails))
    cosines = torch.where(vanishing, 1.0, z * inverse)[..., :-1]
    above = torch.cat([tails[..., 1:-1], z[..., -1:]], -1)
    last = torch.arange(y.shape[-1], device=y.device) == y.shape[-1] - 1
    direct = vanishing | last
    return _PlaneRotations(
        z,
        torch.where(direct, 0.0, inverse),
        direct.to(y.dtype),
        torch.cat([torch.ones_like(y[..., :1]), cosines], -1),
        above * inverse[..., :-1],
    )


def _tail_sums(x: Tensor) -> Tensor:
    return x.flip(-1).cumsum(-1).flip(-1)
