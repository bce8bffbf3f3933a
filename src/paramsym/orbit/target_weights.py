"""Squared weights, summed over entries that all scalings treat alike.

Under scalings with logarithms u an entry x of a parameter becomes x e^{(Du)}, where D counts, with
their degrees, the ports that hold it. All that Q depends on are the sums of squares of the entries
with equal rows of D; a convolution keeps a number for each pair of channels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import final

import numpy as np
import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import ComplexScaling
from paramsym.ports import Port
from paramsym.rows import summable
from paramsym.sharded import whole


@final
@dataclass(frozen=True, eq=False)
class Side:
    """Classes of rows along some axes of a parameter: which unknowns scale them.

    Attributes:
        slots: Unknown that each port brings, int64 `[ports, classes]`; the number of all unknowns
            where a port does not hold the rows.
        degrees: Signed degree of each port, `[ports]`.
    """

    slots: Tensor
    degrees: Tensor

    def spread(self, u: Tensor) -> Tensor:
        """Du for every class, from one number an unknown and a last 0."""
        return (u[self.slots] * self.degrees[:, None]).sum(0)

    def collect(self, sums: Tensor, onto: Tensor) -> None:
        """Add Dᵀ sums to `onto`, the adjoint of `spread`."""
        for slots, degree in zip(self.slots, self.degrees.tolist(), strict=True):
            onto.index_add_(0, slots, degree * sums)

    def collect_squares(self, sums: Tensor, onto: Tensor) -> None:
        """As `collect`, with the squares of the coefficients of D: the diagonal of DᵀSD."""
        count = onto.shape[0]
        for i, (slots, degree) in enumerate(zip(self.slots, self.degrees.tolist(), strict=True)):
            onto.index_add_(0, slots, degree * degree * sums)
            for other, also in zip(self.slots[:i], self.degrees[:i].tolist(), strict=True):
                both = torch.where(slots == other, slots, count - 1)
                onto.index_add_(0, both, 2 * degree * also * sums)


@final
@dataclass(frozen=True, eq=False)
class Squares:
    """Sums of squares of one parameter, by the classes of one or two sides.

    Attributes:
        sums: `[classes]`, or `[classes, classes]`.
        sides: One or two.
    """

    sums: Tensor
    sides: tuple[Side, ...]


def unknowns(family: Family) -> int:
    """How many scales a family has: complex ones of a pair count for their absolute value."""
    group = family.group
    return group.copies if isinstance(group, ComplexScaling) else group.copies * group.n


def squares(families: Sequence[Family], params: Mapping[str, Tensor]) -> list[Squares]:
    """The sums for every parameter that the scalings hold; unknowns are numbered family by family.

    Sums are of the parameter's dtype (float32 at least).
    """
    held: dict[str, list[tuple[Port, Tensor]]] = {}
    start, total = 0, sum(unknowns(family) for family in families)
    for family in families:
        for port in family.ports:
            held.setdefault(port.parameter, []).append((port, start + _owners(family, port)))
        start += unknowns(family)
    return [
        _squares_of(summable(whole(params[name].detach())), ports, total)
        for name, ports in held.items()
    ]


def _owners(family: Family, port: Port) -> Tensor:
    """The family's own number of the unknown that scales each row taken."""
    copies, n, multiplicity = port.index.shape
    if isinstance(family.group, ComplexScaling):
        return torch.arange(copies).repeat_interleave(n * multiplicity)
    return torch.arange(copies * n).repeat_interleave(multiplicity)


def _squares_of(tensor: Tensor, ports: list[tuple[Port, Tensor]], total: int) -> Squares:
    view = ports[0][0].view
    if any(port.view != view for port, _ in ports):
        # Views that differ have only the entries in common.
        ports = [
            (_by_entries(port, tensor.shape), _spread(port, own, total)) for port, own in ports
        ]
        view = (tensor.numel(),)
    groups = _joined_axes([port.axes for port, _ in ports])
    kept = [a for axes in groups for a in axes]
    rest = [a for a in range(len(view)) if a not in kept]
    seen = tensor.reshape(view)
    # Summed before it is permuted: what is left is small.
    sums = torch.linalg.vector_norm(seen, dim=rest, keepdim=True) if rest else seen
    sizes = [math.prod(view[a] for a in axes) for axes in groups]
    sums = sums.square().permute([*kept, *rest]).reshape(sizes)
    sides = []
    for k, axes in enumerate(groups):
        slots, degrees = _row_slots(
            axes, view, [p for p in ports if set(p[0].axes) <= set(axes)], total
        )
        classes, inverse = np.unique(slots.numpy(), axis=1, return_inverse=True)
        inverse = torch.from_numpy(inverse.reshape(-1))
        if classes.shape[1] < slots.shape[1]:
            shape = list(sums.shape)
            shape[k] = classes.shape[1]
            sums = sums.new_zeros(shape).index_add_(k, inverse.to(sums.device), sums)
            slots = torch.from_numpy(classes)
        sides.append(Side(slots, degrees))
    while len(sides) > 2:
        sides[-2:] = [_product(sides[-2], sides[-1])]
        sums = sums.flatten(-2)
    return Squares(sums.cpu(), tuple(sides))


def _row_slots(
    axes: tuple[int, ...], view: tuple[int, ...], ports: list[tuple[Port, Tensor]], total: int
) -> tuple[Tensor, Tensor]:
    """For the rows along `axes` the unknown of every port, and the ports' signed degrees."""
    shape = [view[a] for a in axes]
    rows = []
    for port, owners in ports:
        own = torch.full((port.row_count,), total, dtype=torch.int64)
        own[port.index.flatten()] = owners
        broadcast = own.reshape([view[a] if a in port.axes else 1 for a in axes])
        rows.append(broadcast.expand(shape).flatten())
    signs = [-port.degree if port.dual else port.degree for port, _ in ports]
    return torch.stack(rows), torch.tensor(signs, dtype=torch.float64)


def _product(a: Side, b: Side) -> Side:
    """The classes of pairs."""
    first = a.slots.repeat_interleave(b.slots.shape[1], 1)
    second = b.slots.repeat(1, a.slots.shape[1])
    return Side(torch.cat([first, second]), torch.cat([a.degrees, b.degrees]))


def _joined_axes(kinds: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Sets of axes, joined where they meet."""

    def add(groups: list[set[int]], axes: tuple[int, ...]) -> list[set[int]]:
        meeting = [g for g in groups if g & set(axes)]
        return [*(g for g in groups if not g & set(axes)), set(axes).union(*meeting)]

    start: list[set[int]] = []
    return [tuple(sorted(group)) for group in reduce(add, kinds, start)]


def _by_entries(port: Port, shape: tuple[int, ...]) -> Port:
    """The port as one on single entries, all of them; rows that it leaves out have no owner."""
    count = math.prod(shape)
    index = torch.arange(count).reshape(1, 1, -1)
    return Port(port.parameter, (count,), (0,), index, port.dual, port.degree)


def _spread(port: Port, owners: Tensor, total: int) -> Tensor:
    """The unknown of every entry of the parameter."""
    own = torch.full((port.row_count,), total, dtype=torch.int64)
    own[port.index.flatten()] = owners
    shape = [size if a in port.axes else 1 for a, size in enumerate(port.view)]
    return own.reshape(shape).expand(port.view).flatten()
