"""Flat directions that are there because of the values of the parameters, and their names.

Each kind proposes directions from a sample of rows of the Jacobian; only those that lie in the null
space measured before are counted, so that a wrong proposal explains nothing (docs/derivations.md
§23).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.func import vmap

from paramsym.action import tangent
from paramsym.certification.axes import NullAxis, null_axes, units_of
from paramsym.certification.certificate import LocalFamily, Unit
from paramsym.certification.jacobian import Jacobian, Params
from paramsym.certification.measuring import Measured
from paramsym.certification.null_space import pivoted
from paramsym.family import Family
from paramsym.groups import GeneralLinear, PositiveScaling
from paramsym.moment_map import moment
from paramsym.ports import Port

ROWS = 384
"""Rows that proposals are read off from."""

INSIDE = 1e-6
"""A direction of length 1 lies in the null space if no more than this of it lies outside. Both are
known to rounding times the condition of the null space, which the gap bounds."""

WIDEST = 64
"""Units of the widest hidden space whose linear units are looked for, a square of directions."""

UNUSED = "unused coordinates"
LOW_RANK = "low rank"
LINEAR = "linear units"


@final
@dataclass(frozen=True)
class Exceptions:
    """What is explained by values.

    Attributes:
        families: Kinds with the directions that each adds.
        directions: Orthonormal basis of them all, orthogonal to what was known, `[k, d]`.
        rest: Orthonormal basis of what is left.
        units: Hidden units that can go.
    """

    families: tuple[LocalFamily, ...]
    directions: Tensor
    rest: Tensor
    units: tuple[Unit, ...]


@final
@dataclass(frozen=True)
class _Proposal:
    kind: str
    where: str
    detail: str
    vectors: Tensor


def exceptions(jacobian: Jacobian, params: Params, found: Measured, *, seed: int) -> Exceptions:
    """Explain flat directions beyond a symmetry's by the values of θ, as far as that goes.

    The kinds, in the order in which they are counted:

    - *unused coordinates*: a coordinate of an axis of a weight never matters (a dead unit, a tap of
      a convolution that meets zeros only);
    - *low rank*: a weight does not matter along some directions of an axis, because what it reads
      stays in a subspace, or because what it writes is not read there (linear layers whose ends are
      narrow, radial layers wider than their input, factors of low rank, units that agree);
    - *linear units*: units of a homogeneous layer that are on for every input mix as in a linear
      layer, and their biases may be shifted.
    """
    rows = jacobian.rows(params, ROWS, seed)
    axes = list(null_axes(jacobian, rows))
    flat = _Flat(found.known(), found.rest)
    proposals = [
        *_unused(jacobian, axes),
        *_low_rank(jacobian, axes, params),
        *_linear_units(jacobian, params, found.families, rows),
    ]
    families = [
        LocalFamily(p.kind, p.where, added, p.detail)
        for p in proposals
        if (added := flat.add(p.vectors))
    ]
    directions, rest = flat.split()
    return Exceptions(tuple(families), directions, rest, tuple(units_of(axes)))


class _Flat:
    """The null space beyond what is known, and how much of it is explained so far."""

    def __init__(self, known: Tensor, rest: Tensor) -> None:
        self.known, self.rest = known, rest
        self.explained = rest.new_empty(0, len(rest))

    def add(self, vectors: Tensor) -> int:
        """How many directions those vectors add that lie in the null space."""
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
        inside = vectors @ self.rest.mT
        outside = vectors - inside @ self.rest - (vectors @ self.known.mT) @ self.known
        shares = inside[outside.norm(dim=1) <= INSIDE]
        shares = shares - (shares @ self.explained.mT) @ self.explained
        if not shares.numel():
            return 0
        _, values, mix = torch.linalg.svd(shares, full_matrices=False)
        new = mix[values > INSIDE]
        self.explained = torch.linalg.qr(torch.cat([self.explained, new]).mT).Q.mT
        return len(new)

    def split(self) -> tuple[Tensor, Tensor]:
        """The directions that are explained, and the others."""
        k = len(self.explained)
        whole = torch.linalg.qr(self.explained.mT, mode="complete").Q.mT
        return whole[:k] @ self.rest, whole[k:] @ self.rest


def _unused(jacobian: Jacobian, axes: Sequence[NullAxis]) -> Iterator[_Proposal]:
    for axis in axes:
        dead = axis.dead()
        if len(dead):
            numbers = ", ".join(map(str, dead[:6].tolist())) + (", …" if len(dead) > 6 else "")
            null = torch.zeros(len(dead), axis.null.shape[1], dtype=torch.float64)
            null[torch.arange(len(dead)), dead] = 1.0
            yield _Proposal(UNUSED, axis.title, numbers, axis.directions(jacobian, null))


def _low_rank(jacobian: Jacobian, axes: Sequence[NullAxis], params: Params) -> Iterator[_Proposal]:
    """Directions of axes, but for those that a formula gives at any parameters: such a one is no
    accident of values, and if no family says it, then one is missing."""
    for axis in axes:
        null = axis.without(_formulas(axis, params))
        if len(axis.null) > len(axis.dead()) and len(null):
            detail = f"{axis.size - len(axis.null)} of {axis.size} directions matter"
            yield _Proposal(LOW_RANK, axis.title, detail, axis.directions(jacobian, null))


def _formulas(axis: NullAxis, params: Params) -> Tensor:
    """What shifts are made of: the vector of ones, parameters with as many entries, and their
    inverses, one a row."""
    n = axis.shape[axis.axis]
    vectors = [p.flatten() for p in params.values() if p.numel() == n and bool((p != 0).all())]
    rows = [torch.ones(n, dtype=torch.float64), *vectors, *(1 / v for v in vectors)]
    return torch.stack(rows) if n > 1 else torch.empty(0, n, dtype=torch.float64)


def _linear_units(
    jacobian: Jacobian, params: Params, families: Sequence[Family], rows: Tensor
) -> Iterator[_Proposal]:
    """Pairs of units that mix without effect, and shifts of a hidden bias."""
    covectors = jacobian.unflatten(rows)
    for family in families:
        group = family.group
        fits = isinstance(group, PositiveScaling) and 1 <= group.n <= WIDEST
        if not fits or any(port.degree != 1 for port in family.ports):
            continue
        mixing = Family(family.name, GeneralLinear(group.n, group.copies), family.ports)
        pairs = vmap(lambda row, mixing=mixing: moment(mixing, params, row))(covectors)
        size = pairs.square().mean(0).sqrt()
        quiet = (size <= INSIDE * size.amax()).nonzero()
        vectors = [
            _field(jacobian, params, mixing, index) for index in quiet if index[-1] != index[-2]
        ]
        vectors += list(_bias_shifts(jacobian, params, family.ports))
        if vectors:
            yield _Proposal(LINEAR, family.name, "on for every input", torch.stack(vectors))


def _field(jacobian: Jacobian, params: Params, family: Family, index: Tensor) -> Tensor:
    generator = torch.zeros(family.group.shape, dtype=torch.float64)
    generator[tuple(index)] = 1.0
    moved = tangent([(family, generator)], params)
    rest = {k: torch.zeros_like(params[k]) for k in jacobian.sizes if k not in moved}
    return jacobian.flatten(rest | moved)


def _bias_shifts(jacobian: Jacobian, params: Params, ports: Sequence[Port]) -> Iterator[Tensor]:
    """b_i + t with the bias of the reader − U_{:i} t, for every entry of a bias that writes; of a
    channel, U_{:i} is the sum of all that it is multiplied by."""
    for writer in ports:
        if writer.dual or params[writer.parameter].ndim != 1:
            continue
        for reader in ports:
            bias = reader.parameter.removesuffix("weight") + "bias"
            if not reader.dual or bias not in jacobian.sizes or reader.axes != (1,):
                continue
            weight = params[reader.parameter]
            fits = weight.ndim > 1 and reader.view == weight.shape
            if not fits or weight.shape[0] != params[bias].numel():
                continue
            # A channel is read at many places, by as many columns or by the taps of a kernel.
            columns = weight.flatten(2).sum(-1) if weight.ndim > 2 else weight
            for entry, own in zip(
                writer.index.flatten().tolist(), reader.index.flatten(0, 1).tolist(), strict=False
            ):
                zeros = {k: torch.zeros_like(params[k]) for k in jacobian.sizes}
                zeros[writer.parameter][entry] = 1.0
                zeros[bias] = -columns[:, own].sum(-1)
                yield jacobian.flatten(zeros)


def independent(vectors: Tensor, known: Tensor) -> Tensor:
    """Orthonormal basis of what vectors of length 1 add to `known`, where they may be dependent."""
    left = vectors
    for _ in range(2):
        left = left - (left @ known.mT) @ known
    if not left.numel():
        return left
    R, order = pivoted(left.mT.contiguous())
    rank = int((R.diagonal().abs() > INSIDE).sum())
    return torch.linalg.qr(left[order[:rank]].mT).Q.mT
