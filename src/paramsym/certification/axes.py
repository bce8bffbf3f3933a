"""Axes of weights along which some directions do not matter."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.certification.certificate import Unit
from paramsym.certification.jacobian import Jacobian
from paramsym.certification.null_space import triangular

TOLERANCE = 1e-9
"""A direction of an axis does not matter if the rows along it are smaller than this, relative to
the largest. It is proposed then; whether it is flat is decided in the measured null space."""

SAMPLE = 20_000
"""Slices of an axis that are looked at, at most."""


@final
@dataclass(frozen=True)
class NullAxis:
    """Directions n of one axis of a weight W such that v ⊗ n is flat for every v.

    Attributes:
        parameter: W.
        shape: Its shape.
        axis: The axis.
        bias: The bias that is added to what W gives, where there is one: its entries count as one
            more coordinate, that of a constant 1 that is read with W.
        null: Orthonormal basis of the directions, `[k, n]` or `[k, n + 1]` with a bias.
    """

    parameter: str
    shape: tuple[int, ...]
    axis: int
    bias: str | None
    null: Tensor

    @property
    def size(self) -> int:
        """Number of coordinates, that of the bias included."""
        return self.null.shape[1]

    @property
    def title(self) -> str:
        return f"{self.parameter}[axis {self.axis}]"

    def _seen(self) -> Tensor:
        """What of each coordinate matters: columns of the projector, `[size, size]`."""
        return torch.eye(self.size, dtype=torch.float64) - self.null.mT @ self.null

    def dead(self) -> Tensor:
        """Coordinates of the axis that do not matter at all."""
        return (self._seen()[:, : self.shape[self.axis]].norm(dim=0) < 1e-6).nonzero()[:, 0]

    def without(self, vectors: Tensor) -> Tensor:
        """Basis of the null directions, without those that are one of these vectors on the axis
        itself, whatever they are on the bias."""
        own = self.null[:, : self.shape[self.axis]].mT
        found = torch.linalg.pinv(own, rtol=1e-8) @ vectors.mT
        sizes = vectors.norm(dim=1)
        there = (own @ found - vectors.mT).norm(dim=0) <= 1e-6 * sizes
        known = found[:, there] / sizes[there]
        if not known.numel():
            return self.null
        U, values, _ = torch.linalg.svd(known, full_matrices=True)
        rank = int((values > 1e-6 * values[0]).sum())
        return U[:, rank:].mT @ self.null

    def directions(self, jacobian: Jacobian, null: Tensor) -> Tensor:
        """v ⊗ n for every n given and every entry v, in θ, `[k·entries, d]`."""
        n = self.shape[self.axis]
        others = [s for a, s in enumerate(self.shape) if a != self.axis]
        count = torch.Size(others).numel()
        every = torch.eye(count, dtype=torch.float64)
        blocks = torch.einsum("kn,ij->kijn", null[:, :n], every).reshape(-1, *others, n)
        vectors = torch.zeros(len(blocks), jacobian.dim, dtype=torch.float64)
        parts = dict(
            zip(jacobian.sizes, vectors.split(list(jacobian.sizes.values()), 1), strict=True)
        )
        parts[self.parameter].copy_(blocks.movedim(-1, self.axis + 1).flatten(1))
        if self.bias is not None:
            parts[self.bias].copy_(torch.einsum("k,ij->kij", null[:, n], every).reshape(-1, count))
        return vectors


def null_axes(jacobian: Jacobian, rows: Tensor) -> Iterator[NullAxis]:
    """The axes of all weights that have such directions, by rows of the Jacobian `[m, d]`."""
    shapes = {p.name: p.shape for p in jacobian.recording.parameters if p.name in jacobian.sizes}
    parts = jacobian.unflatten(rows)
    for name, shape in shapes.items():
        for axis in range(len(shape) if len(shape) > 1 else 0):
            slices = parts[name].movedim(axis + 1, -1).flatten(0, -2)
            bias = name.removesuffix("weight") + "bias"
            joined = len(shape) == 2 and shapes.get(bias) == (shape[1 - axis],)
            if joined:
                slices = torch.cat([slices, parts[bias].reshape(-1, 1)], 1)
            null = _null(slices)
            if len(null):
                yield NullAxis(name, shape, axis, bias if joined else None, null)


def _null(slices: Tensor) -> Tensor:
    step = max(1, len(slices) // SAMPLE)
    R = triangular(slices[::step])
    _, values, vectors = torch.linalg.svd(R)
    return vectors[values <= TOLERANCE * values[0]] if len(values) and values[0] > 0 else vectors


def units_of(axes: Sequence[NullAxis]) -> Iterator[Unit]:
    """Units that a weight reads along axis 1 and that can go: dead, constant, or alike."""
    for axis in axes:
        if axis.axis != 1:
            continue
        n = axis.shape[1]
        seen = axis._seen()
        constant = seen[:, n:].norm(dim=0) if axis.bias else torch.zeros(0)
        varying = seen[:, :n]
        if len(constant) and constant[0] > 1e-6:
            unit = seen[:, n:] / constant
            varying = varying - unit @ (unit.mT @ varying)
        sizes, whole = varying.norm(dim=0), seen[:, :n].norm(dim=0)
        kept: list[int] = []
        for i in range(n):
            if whole[i] < 1e-6:
                yield Unit(axis.parameter, i, "dead")
            elif sizes[i] < 1e-6:
                yield Unit(axis.parameter, i, "constant")
            else:
                twin = next((j for j in kept if _parallel(varying[:, i], varying[:, j])), None)
                if twin is None:
                    kept.append(i)
                else:
                    yield Unit(axis.parameter, i, "duplicate", twin)


def _parallel(a: Tensor, b: Tensor) -> bool:
    return bool((a @ b).abs() > (1 - 1e-10) * a.norm() * b.norm())
