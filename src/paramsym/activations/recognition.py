"""Which known group is this algebra of matrices?

The coordinates fall into blocks that some M couples. On a block a known algebra is gl(n) or so(n);
what is diagonal besides are scalings, each of a set of coordinates.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import final

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from paramsym.activations.algebra import Pairs
from paramsym.groups import (
    ComplexScaling,
    GeneralLinear,
    Group,
    Orthogonal,
    PositiveScaling,
    Translation,
)

TOLERANCE = 1e-7
"""How far entries of a reduced basis may be from those of a known algebra: ten times the threshold
of the null space that it comes from."""


@final
@dataclass(frozen=True)
class Factor:
    """A known group among the symmetries of an activation.

    Attributes:
        group: The group, one copy a block (scalings: one scale a block).
        blocks: The coordinates that each copy acts on.
        degree: π(g) = g^degree behind the activation for scalings; 1 for matrices that pass through
            as they are, 0 for those that are lost; `None` where π is another representation.
    """

    group: Group
    blocks: tuple[tuple[int, ...], ...]
    degree: float | None = 1.0

    def __str__(self) -> str:
        text = str(self.group)
        single = len(self.blocks) == 1 and not isinstance(self.group, PositiveScaling)
        plain = tuple((i,) for i in range(len(self.blocks)))
        if self.blocks != ((tuple(range(self.group.n)),) if single else plain):
            text += " on " + ", ".join(map(_span, self.blocks))
        if self.degree is None:
            return text + " (other representation behind)"
        if isinstance(self.group, PositiveScaling | ComplexScaling):
            return f"{text} of degree {self.degree:.6g}"
        return text + ("" if self.degree == 1 else " (lost behind)")


def _span(block: tuple[int, ...]) -> str:
    first, last = min(block), max(block)
    contiguous = len(block) > 3 and block == tuple(range(first, last + 1))
    return f"{{{first}…{last}}}" if contiguous else "{" + ",".join(map(str, block)) + "}"


def recognise(acting: Pairs, redundant: Pairs) -> tuple[tuple[Factor, ...], Tensor] | None:
    """The factors of an algebra, and the centre about which they act; `None` if unknown.

    Args:
        acting: A basis of the pairs with independent (M, a).
        redundant: The pairs with M = 0, a = 0, modulo which outputs are compared.
    """
    h = acting.inputs.shape[-1]
    centre = torch.zeros(h, dtype=torch.float64)
    if len(acting) == 0:
        return (), centre
    if not bool(acting.inputs.abs().max() > TOLERANCE):
        whole = len(acting) == h
        blocks = (tuple(range(h)),)
        return ((Factor(Translation(h), blocks, None),), centre) if whole else None
    rank = int(torch.linalg.matrix_rank(acting.inputs.flatten(1), rtol=TOLERANCE))
    if rank < len(acting):
        if len(acting) != h * h + h:
            return None
        blocks = (tuple(range(h)),)
        linear = Factor(GeneralLinear(h), blocks, 1.0 if _passes(acting, redundant) else None)
        return (linear, Factor(Translation(h), blocks, linear.degree)), centre
    # Generators (M, a) about a centre c have a = −M c.
    stacked = acting.inputs.reshape(-1, h)
    centre = -torch.linalg.pinv(stacked) @ acting.input_shifts.flatten()
    if (stacked @ centre + acting.input_shifts.flatten()).abs().max() > TOLERANCE:
        return None
    centre = torch.where(centre.abs() > TOLERANCE, centre, 0.0)
    factors = _linear_factors(acting, redundant)
    return None if factors is None else (factors, centre)


def _passes(acting: Pairs, redundant: Pairs) -> bool:
    same_width = acting.inputs.shape == acting.outputs.shape
    return same_width and _equal(acting.outputs, acting.inputs, redundant)


def _linear_factors(acting: Pairs, redundant: Pairs) -> tuple[Factor, ...] | None:
    matrices = acting.inputs
    h = matrices.shape[-1]
    algebra = _Algebra(acting, redundant)
    coupled = matrices.abs().amax(0) > TOLERANCE
    count, of = connected_components(csr_array(coupled.numpy()), directed=False)
    blocks = [tuple(np.flatnonzero(of == i).tolist()) for i in range(count)]
    factors: list[Factor] = []
    explained, full = 0, set[int]()
    for block in (b for b in blocks if len(b) > 1):
        n = len(block)
        units = torch.eye(n * n, dtype=torch.float64).reshape(n * n, n, n)
        for group in (GeneralLinear(n), Orthogonal(n)):
            generators = torch.stack([_placed(group.project(u), block, h) for u in units])
            if algebra.contains(generators):
                factors.append(Factor(group, (block,), algebra.degree(generators)))
                explained += group.dim
                full |= set(block) if isinstance(group, GeneralLinear) else set()
                break
        else:
            return None
    scales = _scales(matrices, [i for i in range(h) if i not in full])
    if scales is None or explained + len(scales) != len(acting):
        return None
    for block in scales:
        generator = _placed(torch.eye(len(block), dtype=torch.float64), block, h)[None]
        factors.append(Factor(PositiveScaling(1), (block,), algebra.degree(generator)))
    return _merged(_complex(factors))


def _placed(matrix: Tensor, block: tuple[int, ...], h: int) -> Tensor:
    whole = torch.zeros(h, h, dtype=torch.float64)
    index = torch.tensor(block)
    whole[index[:, None], index] = matrix
    return whole


def _scales(matrices: Tensor, free: list[int]) -> list[tuple[int, ...]] | None:
    """The diagonal matrices of the algebra on the free coordinates, as sets that scale alike."""
    h = matrices.shape[-1]
    off = matrices.flatten(1).clone()
    off[:, [i * h + i for i in free]] = 0
    left, values, _ = torch.linalg.svd(off)
    rank = int((values > TOLERANCE).sum())
    diagonals = (left.T[rank:] @ matrices.flatten(1))[:, [i * h + i for i in free]]
    # The projector onto a span of indicator vectors of disjoint sets has entries 1/size in them.
    projector = diagonals.T @ torch.linalg.pinv(diagonals.T) if len(diagonals) else None
    if projector is None:
        return []
    found = {
        tuple(int(j) for j in torch.nonzero(row.abs() > TOLERANCE).flatten()) for row in projector
    } - {()}
    for places in found:
        if (projector[list(places)][:, list(places)] - 1 / len(places)).abs().max() > TOLERANCE:
            return None
    if len(found) != len(diagonals) or len({i for b in found for i in b}) < sum(map(len, found)):
        return None
    return sorted(tuple(free[i] for i in places) for places in found)


@final
class _Algebra:
    """Membership, and representation behind the activation."""

    def __init__(self, acting: Pairs, redundant: Pairs) -> None:
        self.acting, self.redundant = acting, redundant
        self.inverse = torch.linalg.pinv(acting.inputs.flatten(1))

    def contains(self, generators: Tensor) -> bool:
        again = torch.tensordot(self._coefficients(generators), self.acting.inputs, 1)
        return bool((again - generators).abs().max() <= TOLERANCE)

    def _coefficients(self, generators: Tensor) -> Tensor:
        return generators.flatten(1) @ self.inverse

    def degree(self, generators: Tensor) -> float | None:
        """α with N = α M for all generators; `None` if there is none."""
        behind = torch.tensordot(self._coefficients(generators), self.acting.outputs, 1)
        if _equal(behind, torch.zeros_like(behind), self.redundant):
            return 0.0
        if behind.shape != generators.shape:
            return None
        clean = _without(generators, self.redundant)
        degree = float((behind * clean).sum() / (clean * clean).sum())
        if not _equal(behind, degree * generators, self.redundant):
            return None
        simple = float(Fraction(degree).limit_denominator(64))
        return simple if abs(degree - simple) <= TOLERANCE else degree


def _without(matrices: Tensor, redundant: Pairs) -> Tensor:
    if len(redundant) == 0:
        return matrices
    unit = torch.linalg.qr(redundant.outputs.flatten(1).T).Q
    flat = matrices.flatten(1)
    return (flat - flat @ unit @ unit.T).reshape(matrices.shape)


def _equal(left: Tensor, right: Tensor, redundant: Pairs) -> bool:
    """Whether matrices agree, up to redundancies of the output."""
    size = max(1.0, float(left.abs().max()), float(right.abs().max()))
    return bool(_without(left - right, redundant).abs().max() <= TOLERANCE * size)


def _complex(factors: list[Factor]) -> list[Factor]:
    """A rotation and a scale of the same two coordinates are a complex number."""
    scale_of = {
        f.blocks[0]: f for f in factors if isinstance(f.group, PositiveScaling) and f.degree
    }
    turned = {
        f.blocks[0]: Factor(ComplexScaling(), f.blocks, scale_of[f.blocks[0]].degree)
        for f in factors
        if isinstance(f.group, Orthogonal) and f.blocks[0] in scale_of
        and f.group.n == 2 and f.degree == 1
    }  # fmt: skip
    kept = [f for f in factors if f.blocks[0] not in turned]
    return [*turned.values(), *kept]


def _merged(factors: list[Factor]) -> tuple[Factor, ...]:
    """Equal factors on different blocks as copies of one another."""
    alike: dict[tuple[Group, float | None], list[Factor]] = defaultdict(list)
    for factor in factors:
        degree = None if factor.degree is None else round(factor.degree, 9)
        alike[factor.group, degree].append(factor)
    merged = []
    for (group, _), copies in alike.items():
        if isinstance(group, PositiveScaling):
            group = PositiveScaling(len(copies))
        elif len(copies) > 1:
            group = replace(group, copies=len(copies))
        blocks = tuple(sorted(factor.blocks[0] for factor in copies))
        merged.append(Factor(group, blocks, copies[0].degree))
    return tuple(merged)
