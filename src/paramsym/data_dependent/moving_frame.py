"""What all frames R_z share: matrices with first column z that are a rotation times ‖z‖.

A frame turns "carry one vector to another" into R_a R_b⁻¹ (Section 4 and Appendix D.1). It is
applied to vectors in O(h); no h×h matrix is ever formed. R_z e₁ = z, R_z⁻¹ = R_zᵀ/‖z‖² and
‖R_z‖ = ‖z‖ (Proposition D.3).

The functions are pure, batched over leading axes, and run under `torch.func`. They neither over-
nor underflow unless what they return does. At z = 0 there is no frame, and they return NaN;
`check=True` reads values and raises.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from paramsym.data_dependent.requirements import require_locus


class MovingFrame(ABC):
    """A choice of R_z for every z ≠ 0 in R^h."""

    @abstractmethod
    def rotate(self, y: Tensor, w: Tensor) -> Tensor:
        """R_y w / ‖y‖ for vectors `y` whose largest entry is ±1; shapes broadcast."""

    @abstractmethod
    def rotate_back(self, y: Tensor, w: Tensor) -> Tensor:
        """R_yᵀ w / ‖y‖, the inverse of `rotate`."""

    def require(self, z: Tensor, argument: str = "z") -> None:
        """Raise unless every vector along the last axis has a frame; reads values.

        Raises:
            ValueError: If one has not; the message says why.
        """
        require_locus(argument, z)

    def apply(self, z: Tensor, w: Tensor, *, check: bool = False) -> Tensor:
        """R_z w, for z and w of shape `[..., h]`, which broadcast.

        Args:
            z: Vectors, not zero.
            w: Vectors that R_z is applied to.
            check: Also check that z has a frame, as `require`.

        Raises:
            ValueError: If the sizes differ, or with `check` if z has no frame.
            TypeError: If z is not float32, float64 or bfloat16.
        """
        (y, p), (v, r) = self._vector(z, w, check), _scaled(w)
        return _times(self.rotate(y, v), norm(y), (p, r))

    def transpose(self, z: Tensor, w: Tensor, *, check: bool = False) -> Tensor:
        """R_zᵀ w."""
        (y, p), (v, r) = self._vector(z, w, check), _scaled(w)
        return _times(self.rotate_back(y, v), norm(y), (p, r))

    def inverse(self, z: Tensor, w: Tensor, *, check: bool = False) -> Tensor:
        """R_z⁻¹ w = R_zᵀ w / ‖z‖²."""
        (y, p), (v, r) = self._vector(z, w, check), _scaled(w)
        return _times(self.rotate_back(y, v), 1 / norm(y), (r,), p)

    def transfer(self, a: Tensor, b: Tensor, w: Tensor) -> Tensor:
        """R_a R_b⁻¹ w, which carries b to a."""
        (y, p), (x, q), (v, r) = self._vector(a, w), self._vector(b, w), _scaled(w)
        return _times(self.rotate(y, self.rotate_back(x, v)), norm(y) / norm(x), (p, r), q)

    def transfer_transpose(self, a: Tensor, b: Tensor, w: Tensor) -> Tensor:
        """(R_a R_b⁻¹)ᵀ w."""
        (y, p), (x, q), (v, r) = self._vector(a, w), self._vector(b, w), _scaled(w)
        return _times(self.rotate(x, self.rotate_back(y, v)), norm(y) / norm(x), (p, r), q)

    def _vector(self, z: Tensor, w: Tensor, check: bool = False) -> tuple[Tensor, Tensor]:
        """z divided by its largest entry, and that entry; NaN where z is zero."""
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
            self.require(z)
        size = largest_entry(z)
        return z / size, size


def largest_entry(z: Tensor) -> Tensor:
    """The largest entry in absolute value. Detached: no result depends on what one divides by."""
    return torch.linalg.vector_norm(z.detach(), float("inf"), -1, keepdim=True)


def _scaled(w: Tensor) -> tuple[Tensor, Tensor]:
    """w divided by its largest entry, so that sums neither over- nor underflow, and that entry."""
    size = largest_entry(w)
    size = torch.where(size == 0, 1.0, size)
    return w / size, size


def _times(x: Tensor, ratio: Tensor, up: tuple[Tensor, ...], down: Tensor | None = None) -> Tensor:
    """x·ratio·∏up/down, where products and quotients of the scales alone may over- or underflow."""
    exponent = torch.zeros_like(up[0], dtype=torch.int32)
    for scale in up:
        part = torch.frexp(scale)
        ratio, exponent = ratio * part.mantissa, exponent + part.exponent
    if down is not None:
        part = torch.frexp(down)
        ratio, exponent = ratio / part.mantissa, exponent - part.exponent
    half = exponent // 2
    return x * (ratio * torch.exp2(half.to(x))) * torch.exp2((exponent - half).to(x))


def norm(y: Tensor) -> Tensor:
    """‖y‖ along the last axis, which is kept."""
    return torch.linalg.vector_norm(y, dim=-1, keepdim=True)
