"""Cocycles c(g, Z): invertible maps with c(g, Z) σ(Z) = σ(gZ), for any activation σ.

Section 4 and Lemma D.6. A *variant* chooses the map. What a choice can promise are three axioms:

- unit: c(1, Z) = 1;
- cocycle: c(gk, Z) = c(g, kZ) c(k, Z), which makes (U, V) ↦ (U c⁻¹, gV) a group action;
- equivariance: c(g, Z) σ(Z) = σ(gZ), which makes the network's outputs at the samples invariant.

Conventions. A hidden space R^h is the last axis; samples are rows, so that Z has shape
`[..., k, h]` (the transpose of the paper's), as layers of torch give it. Maps act on the last axis
of `[..., r, h]`. Everything is pure, batched over leading axes and runs under `torch.func`;
`check=True` reads values and raises off the non-degenerate locus.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from paramsym.data_dependent.frames import Householder, MovingFrame, require_locus

Activation = Callable[[Tensor], Tensor]
"""σ: from `[..., k, h]` to the same shape. It may mix coordinates, and samples too."""


@final
@dataclass(frozen=True, eq=False)
class LinearMap:
    """A linear map of R^h, given by how it acts.

    Attributes:
        forward: w ↦ A w along the last axis of `[..., r, h]`.
        backward: w ↦ Aᵀ w.
    """

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]

    def apply(self, w: Tensor) -> Tensor:
        """A w, for w of shape `[..., r, h]` (r vectors) or `[h]`."""
        return self.forward(w[None]).squeeze(-2) if w.ndim == 1 else self.forward(w)

    def transpose(self, w: Tensor) -> Tensor:
        """Aᵀ w; of the rows of a matrix U `[..., m, h]` it makes the rows of U A."""
        return self.backward(w[None]).squeeze(-2) if w.ndim == 1 else self.backward(w)

    def __matmul__(self, other: "LinearMap") -> "LinearMap":
        """The product: first `other`, then `self`."""
        return LinearMap(
            lambda w: self.forward(other.forward(w)), lambda w: other.backward(self.backward(w))
        )

    def matrix(self, like: Tensor, h: int) -> Tensor:
        """The dense matrix `[..., h, h]`, in the dtype and on the device of `like`."""
        return self.transpose(torch.eye(h, dtype=like.dtype, device=like.device))

    @classmethod
    def of(cls, matrix: Tensor) -> "LinearMap":
        """The map of a dense matrix `[..., h, h]`."""
        return cls(lambda w: w @ matrix.mT, lambda w: w @ matrix)


@final
@dataclass(frozen=True)
class Axioms:
    """Which axioms a variant keeps, up to rounding.

    Attributes:
        unit: c(1, Z) = 1.
        cocycle: c(gk, Z) = c(g, kZ) c(k, Z).
        equivariance: c(g, Z) σ(Z) = σ(gZ), for k ≤ h samples of full rank.
    """

    unit: bool = True
    cocycle: bool = True
    equivariance: bool = True


class Point(NamedTuple):
    """Samples of a hidden space: z and σ(z), both `[..., k, h]`."""

    z: Tensor
    value: Tensor


class Variant(ABC):
    """A choice of c(g, Z).

    Attributes:
        axioms: What it keeps.
        any_batch: Whether it takes more samples than the space has dimensions.
    """

    axioms: ClassVar[Axioms]
    any_batch: ClassVar[bool] = False

    @abstractmethod
    def carry(self, start: Point, end: Point, move: LinearMap) -> LinearMap:
        """The map that carries `start.value` to `end.value`, where `end.z` is `move` of `start.z`.

        c(g, Z) carries Z to gZ by g, and its inverse carries gZ to Z by g⁻¹.
        """

    def require_samples(self, point: Point, argument: str) -> None:
        """Raise unless the variant exists at these samples; reads values.

        Raises:
            ValueError: If it does not; the message says why. More than h samples are a matter of
                least squares, at any rank.
        """
        if point.value.shape[-2] <= point.value.shape[-1]:
            require_rank(point.value, argument)

    def cocycle(
        self, g: Tensor, z: Tensor, activation: Activation, *, check: bool = False
    ) -> LinearMap:
        """c(g, Z), the map with c(g, Z) σ(Z) = σ(gZ).

        Args:
            g: An invertible matrix `[..., h, h]`.
            z: Samples Z, `[..., k, h]`.
            activation: σ.
            check: Also check values: g invertible, Z and σ finite and on the locus.

        Raises:
            ValueError: If a shape does not fit, or there are too many samples; or with `check` if
                a value does not.
            TypeError: If an argument is not a floating-point tensor.
        """
        start, end = self._points(g, z, activation, check)
        return self.carry(start, end, LinearMap.of(g))

    def reader(
        self, g: Tensor, z: Tensor, activation: Activation, *, check: bool = False
    ) -> LinearMap:
        """π(g, Z) = c(g⁻¹, gZ), with π(g, Z) σ(gZ) = σ(Z): what readers U are multiplied by.

        It is c(g, Z)⁻¹ where the variant keeps the axioms. Arguments and errors as `cocycle`.
        """
        start, end = self._points(g, z, activation, check)
        return self.carry(end, start, LinearMap.of(torch.linalg.inv(g)))

    def _points(
        self, g: Tensor, z: Tensor, activation: Activation, check: bool
    ) -> tuple[Point, Point]:
        for name, tensor in (("g", g), ("z", z)):
            require_float(name, tensor)
        if z.ndim < 2:
            raise ValueError(
                "`z` must have shape [..., k, h], one row a sample; "
                f"got {list(z.shape)}. Use `z[None]` for one sample."
            )
        k, h = z.shape[-2:]
        require_square(g, h, f"`z` has {h} coordinates along its last axis")
        self._require_count(k, h)
        if check:
            require_finite("z", z)
            require_invertible("g", g)
        points = []
        for name, samples in (("σ(Z)", z), ("σ(gZ)", z @ g.mT)):
            value = activation(samples)
            if value.shape != samples.shape:
                raise ValueError(
                    "`activation` must keep the shape of its argument, because c(g, Z) is a map "
                    f"of R^{h}; it took {list(samples.shape)} to {list(value.shape)}."
                )
            points.append(Point(samples, value))
            if check:
                require_finite(name, value)
                self.require_samples(points[-1], name)
        return points[0], points[1]

    def _require_count(self, k: int, h: int) -> None:
        if not 1 <= k <= h and not (self.any_batch and k):
            raise ValueError(
                f"`z` must have between 1 and h = {h} samples: GL({h}) carries {h} independent "
                f"vectors to any others, not more (Lemma D.6); got k = {k}. Take fewer samples, or "
                "`PseudoInverse` or `MinimalChange`, which are then approximate."
            )


@final
@dataclass(frozen=True)
class OneSample(Variant):
    """c(g, z) = R_{σ(gz)} R_{σ(z)}⁻¹, for one sample z `[..., 1, h]` (eq. (7), Theorem D.4).

    In O(h) a vector. Keeps all axioms wherever σ(z) and σ(gz) are not zero. Several samples, each
    with a map of its own, are leading axes: `[k, 1, h]`.

    Attributes:
        frame: The choice of R_z.
    """

    frame: MovingFrame = field(default_factory=Householder)
    axioms: ClassVar[Axioms] = Axioms()

    def carry(self, start: Point, end: Point, move: LinearMap) -> LinearMap:
        a, b = end.value, start.value
        return LinearMap(
            lambda w: self.frame.transfer(a, b, w),
            lambda w: self.frame.transfer_transpose(a, b, w),
        )

    def require_samples(self, point: Point, argument: str) -> None:
        require_locus(point.value, argument)

    def _require_count(self, k: int, h: int) -> None:
        if k != 1:
            raise ValueError(
                f"`OneSample` acts at one sample: `z` must have shape [..., 1, h]; got k = {k}. "
                "Use `QR()` for a batch, or `z.unsqueeze(-2)` for one map a sample."
            )


def require_rank(values: Tensor, argument: str) -> None:
    """Raise unless the rows of `[..., k, h]` have full numerical rank; reads values.

    Raises:
        ValueError: If a singular value is below max(k, h)·eps times the largest. The batch is off
            the non-degenerate locus of Lemma D.6.
    """
    sizes = torch.linalg.svdvals(values)
    floor = max(values.shape[-2:]) * torch.finfo(values.dtype).eps * sizes[..., :1]
    ranks = (sizes > floor).sum(-1)
    full = min(values.shape[-2:])
    if int(ranks.min()) < full:
        raise ValueError(
            f"`{argument}` must have full rank {full}, because invertible maps keep rank (Lemma "
            f"D.6); its numerical rank is {int(ranks.min())}. Remove samples that repeat or are "
            "dead (all zeros), or use an activation that keeps them independent."
        )


def require_invertible(name: str, g: Tensor) -> None:
    """Raise unless g is finite and numerically invertible; reads values."""
    require_finite(name, g)
    sizes = torch.linalg.svdvals(g)
    floor = g.shape[-1] * torch.finfo(g.dtype).eps * sizes[..., 0]
    if not bool((sizes[..., -1] > floor).all()):
        condition = float((sizes[..., 0] / sizes[..., -1]).max())
        raise ValueError(
            f"`{name}` must be invertible, an element of GL(h); its condition number is "
            f"{condition:.1e}. Take for instance I + εM with a small ε."
        )


def require_finite(name: str, tensor: Tensor) -> None:
    """Raise unless all entries are finite; reads values."""
    if not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise ValueError(
            f"`{name}` must be finite; {bad} of {tensor.numel()} entries are NaN or infinite."
        )


def require_float(name: str, tensor: object) -> None:
    """Raise unless it is a floating-point tensor."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"`{name}` must be a floating-point tensor; got {got}.")


def require_square(g: Tensor, h: int, why: str, name: str = "g") -> None:
    """Raise unless g has shape `[..., h, h]`."""
    if g.ndim < 2 or tuple(g.shape[-2:]) != (h, h):
        raise ValueError(
            f"`{name}` must have shape [..., {h}, {h}], because {why}; got {list(g.shape)}."
        )
