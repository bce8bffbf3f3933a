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

from paramsym.data_dependent.frames import Householder
from paramsym.data_dependent.moving_frame import MovingFrame
from paramsym.data_dependent.requirements import (
    require_finite,
    require_float,
    require_invertible,
    require_rank,
    require_square,
)

Activation = Callable[[Tensor], Tensor]
"""σ: from `[..., k, h]` to `[..., k', h]`. It may mix coordinates, and samples too.

Mostly k' = k. Where σ pools, as over the pixels of an image, it has fewer samples k'; what is said
of the number of samples is then said of k'.
"""


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

    @classmethod
    def inverse_of(cls, matrix: Tensor) -> "LinearMap":
        """The map of the inverse of a dense matrix `[..., h, h]`, which is not formed."""
        return cls(
            lambda w: torch.linalg.solve(matrix, w.mT).mT,
            lambda w: torch.linalg.solve(matrix.mT, w.mT).mT,
        )


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
    """Samples of a hidden space: z `[..., k, h]` and σ(z) `[..., k', h]`."""

    z: Tensor
    value: Tensor


class Variant(ABC):
    """A choice of c(g, Z).

    Attributes:
        axioms: What it keeps.
        any_batch: Whether it takes more samples than the space has dimensions.
        dtypes: Types that it computes in; LAPACK has no others.
    """

    axioms: ClassVar[Axioms]
    any_batch: ClassVar[bool] = False
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.float64)

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
            z: Samples Z, `[..., k, h]`, in one of `dtypes`.
            activation: σ.
            check: Also check values: g invertible, Z and σ finite and on the locus.

        Raises:
            ValueError: If a shape does not fit, or there are too many samples; or with `check` if
                a value does not.
            TypeError: If g, Z and σ(Z) are not tensors of one dtype, or it is none of `dtypes`.
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
        return self.carry(end, start, LinearMap.inverse_of(g))

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
        h = z.shape[-1]
        require_square(g, h, f"`z` has {h} coordinates along its last axis")
        if g.dtype != z.dtype or z.dtype not in self.dtypes:
            names = ", ".join(str(d).removeprefix("torch.") for d in self.dtypes)
            raise TypeError(
                f"`g` and `z` must have one dtype, of {names}; got {g.dtype} and {z.dtype}. "
                "Convert them with `.to(torch.float64)`."
            )
        if check:
            require_finite("z", z)
            require_invertible("g", g)
        points = []
        for name, samples in (("Z", z), ("gZ", z @ g.mT)):
            if check:
                require_finite(name, samples)
            value = activation(samples)
            self._require_value(value, samples)
            points.append(Point(samples, value))
            if check:
                require_finite(f"σ({name})", value)
                self.require_samples(points[-1], f"σ({name})")
        return points[0], points[1]

    def _require_value(self, value: object, z: Tensor) -> None:
        if not isinstance(value, Tensor) or value.dtype != z.dtype:
            got = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(
                f"`activation` must keep the dtype of its argument, {z.dtype}; got {got}."
            )
        h = z.shape[-1]
        if value.ndim < 2 or (value.shape[:-2], value.shape[-1]) != (z.shape[:-2], h):
            raise ValueError(
                "`activation` must keep the shape of its argument, all but the number of samples, "
                f"because c(g, Z) is a map of R^{h}; it took {list(z.shape)} to "
                f"{list(value.shape)}."
            )
        self._require_count(value.shape[-2], h)

    def _require_count(self, k: int, h: int) -> None:
        if not 1 <= k <= h and not (self.any_batch and k):
            raise ValueError(
                f"`z` must give σ(Z) of between 1 and h = {h} samples: GL({h}) carries {h} "
                f"independent vectors to any others, not more (Lemma D.6); got k = {k}. Take fewer "
                "samples, or `PseudoInverse` or `MinimalChange`, which are then approximate."
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
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.bfloat16, torch.float32, torch.float64)

    def carry(self, start: Point, end: Point, move: LinearMap) -> LinearMap:
        a, b = end.value, start.value
        return LinearMap(
            lambda w: self.frame.transfer(a, b, w),
            lambda w: self.frame.transfer_transpose(a, b, w),
        )

    def require_samples(self, point: Point, argument: str) -> None:
        self.frame.require(point.value, argument)

    def _require_count(self, k: int, h: int) -> None:
        if k != 1:
            raise ValueError(
                f"`OneSample` acts at one sample: `z` must have shape [..., 1, h]; got k = {k}. "
                "Use `QR()` for a batch, or `z.unsqueeze(-2)` for one map a sample."
            )
