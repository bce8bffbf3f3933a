"""Frames R_z: matrices with first column z that are a rotation or reflection times ‖z‖.

A frame turns "carry one vector to another" into R_a R_b⁻¹ (Section 4 and Appendix D.1). Three
choices with one interface. Each is applied to vectors in O(h); no h×h matrix is ever formed. For
all of them R_z e₁ = z, R_z⁻¹ = R_zᵀ/‖z‖² and ‖R_z‖ = ‖z‖ (Proposition D.3).

Proposition D.3 also says that z ↦ R_z is continuous. No choice can be, unless h is 1, 2, 4 or 8:
the other columns would be a frame of the tangent bundle of the sphere. Every class says where it
jumps.

The functions are pure, batched over leading axes, and run under `torch.func`. At z = 0 there is no
frame, and they return NaN; `check=True` reads values and raises.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor


def require_locus(z: Tensor, argument: str = "z") -> None:
    """Raise unless every vector along the last axis is finite and not zero.

    Reads values, so it cannot run under `vmap`.

    Raises:
        ValueError: If one is not; it is off the non-degenerate locus of Theorem D.4.
    """
    if not bool(torch.isfinite(z).all()):
        bad = int((~torch.isfinite(z)).sum())
        raise ValueError(
            f"`{argument}` must be finite; {bad} of {z.numel()} entries are NaN or infinite."
        )
    zeros = int((z == 0).all(-1).sum())
    if zeros:
        raise ValueError(
            f"`{argument}` must not be the zero vector, which has no frame (Theorem D.4); "
            f"{zeros} of {z[..., 0].numel()} vectors are zero. Use another input, or an "
            "activation without zeros, such as a sigmoid."
        )


class MovingFrame(ABC):
    """A choice of R_z for every z ≠ 0 in R^h."""

    @abstractmethod
    def rotate(self, y: Tensor, w: Tensor) -> Tensor:
        """R_y w / ‖y‖ for vectors `y` whose largest entry is ±1; shapes broadcast."""

    @abstractmethod
    def rotate_back(self, y: Tensor, w: Tensor) -> Tensor:
        """R_yᵀ w / ‖y‖, the inverse of `rotate`."""

    def apply(self, z: Tensor, w: Tensor, *, check: bool = False) -> Tensor:
        """R_z w, for z and w of shape `[..., h]`, which broadcast.

        Args:
            z: Vectors, not zero.
            w: Vectors that R_z is applied to.
            check: Also check that z is finite and not zero.

        Raises:
            ValueError: If the sizes differ, or with `check` if z has no frame.
            TypeError: If z is not float32, float64 or bfloat16.
        """
        y, scale = _scaled(z, w, check)
        return self.rotate(y, w) * _norm(y) * scale

    def transpose(self, z: Tensor, w: Tensor, *, check: bool = False) -> Tensor:
        """R_zᵀ w."""
        y, scale = _scaled(z, w, check)
        return self.rotate_back(y, w) * _norm(y) * scale

    def inverse(self, z: Tensor, w: Tensor, *, check: bool = False) -> Tensor:
        """R_z⁻¹ w = R_zᵀ w / ‖z‖²."""
        y, scale = _scaled(z, w, check)
        return self.rotate_back(y, w) / _norm(y) / scale

    def transfer(self, a: Tensor, b: Tensor, w: Tensor) -> Tensor:
        """R_a R_b⁻¹ w, which carries b to a."""
        (y, p), (x, q) = _scaled(a, w), _scaled(b, w)
        return _times(self.rotate(y, self.rotate_back(x, w)), _norm(y) / _norm(x), p, q)

    def transfer_transpose(self, a: Tensor, b: Tensor, w: Tensor) -> Tensor:
        """(R_a R_b⁻¹)ᵀ w."""
        (y, p), (x, q) = _scaled(a, w), _scaled(b, w)
        return _times(self.rotate(x, self.rotate_back(y, w)), _norm(y) / _norm(x), p, q)


def _scaled(z: Tensor, w: Tensor, check: bool = False) -> tuple[Tensor, Tensor]:
    """z divided by its largest entry, and that entry, so that squares neither over- nor underflow.

    The entry is detached: what is computed does not depend on it, so neither do derivatives.
    """
    if z.shape[-1:] != w.shape[-1:]:
        raise ValueError(
            "`w` must have as many entries along its last axis as the frame's vector; "
            f"got {list(w.shape)} for {list(z.shape)}."
        )
    if not z.is_floating_point() or z.dtype == torch.float16:
        raise TypeError(
            f"a frame's vector must be float32, float64 or bfloat16; got {z.dtype}. "
            "Convert it with `.float()`."
        )
    if check:
        require_locus(z)
    scale = z.detach().abs().amax(-1, keepdim=True)
    return z / scale, scale


def _times(x: Tensor, ratio: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """x·ratio·p/q, which overflows only where x or the result does: p/q alone may."""
    half = p.sqrt() / q.sqrt()
    return x * (half * ratio) * half


def _norm(y: Tensor) -> Tensor:
    return torch.linalg.vector_norm(y, dim=-1, keepdim=True)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(-1, keepdim=True)


@final
@dataclass(frozen=True)
class Householder(MovingFrame):
    """A reflection: R_z = −s‖z‖ (I − 2vvᵀ), v ∝ z/‖z‖ + s e₁, with s the sign of z₁.

    The cheapest choice, and symmetric. It jumps only where z₁ = 0.
    """

    def rotate(self, y: Tensor, w: Tensor) -> Tensor:
        size, first = _norm(y), y[..., :1]
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
    """

    base: Tensor | None = field(default=None)

    def rotate(self, y: Tensor, w: Tensor) -> Tensor:
        p = self._base(y)
        return _reflect(y / _norm(y) + p, -Householder().rotate(p, w))

    def rotate_back(self, y: Tensor, w: Tensor) -> Tensor:
        p = self._base(y)
        return -Householder().rotate(p, _reflect(y / _norm(y) + p, w))

    def _base(self, y: Tensor) -> Tensor:
        h = y.shape[-1]
        if self.base is None:
            return y.new_full((h,), h**-0.5)
        if tuple(self.base.shape) != (h,):
            raise ValueError(
                f"`Geodesic.base` must have shape ({h},), the frame's dimension; "
                f"got {tuple(self.base.shape)}."
            )
        p = self.base.to(y)
        return p / _norm(p)


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
