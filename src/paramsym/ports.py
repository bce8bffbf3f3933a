"""Ports: how parameters transform linearly with a hidden space.

A port says which coordinates of one parameter axis are coordinates of the space. It is plain data;
`action` gives it its meaning.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor

from paramsym.sharded import whole


@final
@dataclass(frozen=True)
class Frame:
    """A diagonal gain between the space and a port: matrices act as diag(γ) g diag(γ)⁻¹.

    Attributes:
        parameter: Name of the gain, for instance of an RMSNorm.
        offset: Added to the parameter, for norms that multiply by 1 + γ.
        power: −1 where the gain stands behind the port, as that of a layer scale does: there γ⁻¹ is
            what stands between the space and the port.
    """

    parameter: str
    offset: float = 0.0
    power: int = 1

    def __post_init__(self) -> None:
        if self.power not in (1, -1):
            raise ValueError(
                f"the frame {self.parameter!r} must have power 1 or -1; got {self.power}."
            )

    def diagonal(self, params: Mapping[str, Tensor], copies: int, n: int) -> Tensor:
        """The gain as a tensor of shape `[copies or 1, n, 1]`."""
        gain = whole(params[self.parameter]).reshape(-1, n, 1)
        assert gain.shape[0] in (1, copies)
        gain = gain + self.offset if self.offset else gain
        return gain if self.power == 1 else gain.reciprocal()


@final
@dataclass(frozen=True, eq=False)
class Port:
    """How coordinates of one parameter transform with a hidden space.

    The parameter is viewed in shape `view`; the positions along `axes` (flattened jointly, in row
    order) are its *rows*. Several axes serve grouped convolutions and stacked experts, where the
    coordinate depends on the group; ordinary layers have one.

    Attributes:
        parameter: Canonical name.
        view: Shape in which the axes are counted; the parameter's own shape as a rule.
        axes: Axes that carry the coordinates, in increasing order.
        index: Rows taken, int64 `[copies, n, multiplicity]`: which row belongs to which coordinate
            of which copy. Multiplicity counts rows that transform alike (pixels of a flattened
            channel, query heads that share a key head).
        dual: A reader transforms by π(g)⁻¹ (inverse transpose); a writer by g.
        degree: α in π(g) = g^α. Other than 1 for scalings only.
        frame: Diagonal gain between the space and this port.
    """

    parameter: str
    view: tuple[int, ...]
    axes: tuple[int, ...]
    index: Tensor = field(repr=False)
    dual: bool = False
    degree: float = 1.0
    frame: Frame | None = None
    _slot: Tensor = field(init=False, repr=False)
    """For every row its (copy, coordinate), flattened; one past the end where untouched."""
    _run: int | None = field(init=False, repr=False)
    """The first row taken, if the index lists consecutive rows in order."""

    def __post_init__(self) -> None:
        where = f"the port on {self.parameter!r}"
        if self.index.ndim != 3 or self.index.dtype != torch.int64:
            raise ValueError(
                f"{where} must have an int64 index [copies, n, multiplicity]; "
                f"got {self.index.dtype} {list(self.index.shape)}."
            )
        ordered = self.axes and list(self.axes) == sorted(set(self.axes))
        if not ordered or not all(0 <= a < len(self.view) for a in self.axes):
            raise ValueError(
                f"{where} must name one or more axes of its view {self.view}, in increasing "
                f"order; got {self.axes}."
            )
        copies, n, multiplicity = self.index.shape
        rows, owners = self.index.numpy().ravel(), np.arange(copies * n).repeat(multiplicity)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.row_count:
            raise ValueError(
                f"{where} must index rows 0 to {self.row_count - 1} of axes {self.axes} of its "
                f"view {self.view}; got {rows.min()} to {rows.max()}."
            )
        # Here and not on first use, which may be inside a `torch.func` transform: a tensor made
        # there must not be kept beyond it.
        slot = np.full(self.row_count, copies * n)
        slot[rows] = owners
        if (np.bincount(rows, minlength=1) > 1).any():
            raise ValueError(f"{where} must index every row once at most; rows are repeated.")
        start = int(rows[0]) if len(rows) else 0
        in_order = bool((rows == np.arange(start, start + len(rows))).all())
        object.__setattr__(self, "_slot", torch.from_numpy(slot))
        object.__setattr__(self, "_run", start if in_order else None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Port) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.parameter, self.view, self.axes, self.dual, self.degree, self.frame))

    def _key(self) -> tuple[object, ...]:
        index = (tuple(self.index.shape), self.index.flatten().tolist())
        head = (self.parameter, self.view, self.axes, self.dual, self.degree, self.frame)
        return (*head, index)

    @classmethod
    def along(
        cls,
        parameter: str,
        shape: tuple[int, ...],
        axis: int,
        rows: Tensor | None = None,
        *,
        copies: int = 1,
        dual: bool = False,
        degree: float = 1.0,
        frame: Frame | None = None,
    ) -> "Port":
        """The common port: one axis, rows in order, `copies` blocks of equal size.

        Args:
            rows: Rows taken, `[copies, n, multiplicity]` or anything that `copies` and one row a
                coordinate reshape to it; all rows of the axis when absent.
        """
        axis %= len(shape)
        rows = torch.arange(shape[axis]) if rows is None else torch.as_tensor(rows)
        index = rows if rows.ndim == 3 else rows.reshape(copies, -1, 1)
        return cls(parameter, tuple(shape), (axis,), index, dual, degree, frame)

    @property
    def multiplicity(self) -> int:
        return self.index.shape[2]

    @property
    def taken(self) -> Tensor:
        """Which rows the index lists, bool `[row_count]`."""
        copies, n, _ = self.index.shape
        return self._slot < copies * n

    @cached_property
    def row_count(self) -> int:
        """Number of rows of the view along the port's axes."""
        return math.prod(self.view[a] for a in self.axes)

    def whole_axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Axes of a parameter of this shape along which it may not be cut for this port."""
        return self.axes if self.view == shape else tuple(range(len(shape)))

    def on_part(self, part: tuple[int, ...], shape: tuple[int, ...]) -> "Port":
        """The same port on a part of a parameter, cut along other axes than `whole_axes`."""
        return self if part == shape else replace(self, view=tuple(part))

    @cached_property
    def width(self) -> int:
        """Vectors of the hidden space that this port holds, per copy."""
        return math.prod(self.view) // self.row_count * self.multiplicity

    @cached_property
    def _rest(self) -> tuple[int, ...]:
        return tuple(a for a in range(len(self.view)) if a not in self.axes)

    @cached_property
    def _is_all(self) -> bool:
        """Whether the index lists every row once, in order."""
        return self._run == 0 and self.index.numel() == self.row_count

    # -- vectors of the hidden space held in a parameter ------------------------------------

    def rows(self, tensor: Tensor) -> Tensor:
        """The rows taken, `[copies, n, width]`."""
        copies, n, _ = self.index.shape
        rows = self._as_rows(tensor)
        if self._run is not None:
            rows = rows.narrow(0, self._run, self.index.numel())
        else:
            rows = rows.index_select(0, self.index.flatten().to(rows.device))
        return rows.reshape(copies, n, -1)

    def put(self, tensor: Tensor, rows: Tensor) -> Tensor:
        """`tensor` with the rows taken replaced; a new tensor."""
        flat = rows.reshape(self.index.numel(), -1)
        if not self._is_all:
            flat = self._as_rows(tensor).index_copy(0, self.index.flatten().to(flat.device), flat)
        return self._from_rows(flat, tensor)

    def writes_into(self, tensor: Tensor) -> bool:
        """Whether `write_` can see the rows in the tensor's own memory."""
        return self.view == tensor.shape or tensor.is_contiguous()

    def write_(self, tensor: Tensor, rows: Tensor) -> None:
        """Replace the rows taken in the tensor itself."""
        sizes = [self.view[a] for a in self.axes]
        inside = tensor.view(self.view).permute(*self.axes, *self._rest)
        values = rows.reshape(self.index.numel(), *(self.view[a] for a in self._rest))
        if self._is_all:
            inside.copy_(values.reshape(inside.shape))
        elif self._run is not None and len(sizes) == 1:
            inside.narrow(0, self._run, len(values)).copy_(values)
        else:
            taken = torch.unravel_index(self.index.flatten().to(tensor.device), sizes)
            inside.index_put_(taken, values)

    def _as_rows(self, tensor: Tensor) -> Tensor:
        order = (*self.axes, *self._rest)
        return tensor.reshape(self.view).permute(order).reshape(self.row_count, -1)

    def _from_rows(self, rows: Tensor, like: Tensor) -> Tensor:
        order = (*self.axes, *self._rest)
        back = sorted(range(len(order)), key=order.__getitem__)
        shape = [self.view[a] for a in order]
        return rows.reshape(shape).permute(back).reshape(like.shape)

    # -- one number a coordinate --------------------------------------------------------------

    def spread(self, values: Tensor, fill: float) -> Tensor:
        """`values` of shape `[copies, n]`, broadcast against the view; `fill` in other rows."""
        flat = values.flatten()
        if not (self._is_all and self.multiplicity == 1):
            padded = torch.cat([flat, flat.new_full((1,), fill)])
            flat = padded.index_select(0, self._slot.to(flat.device))
        return flat.reshape([d if a in self.axes else 1 for a, d in enumerate(self.view)])

    def collect(self, product: Tensor) -> Tensor:
        """Adjoint of `spread`: sums of an already reduced `[row_count]` tensor, `[copies, n]`."""
        if self._is_all and self.multiplicity == 1:
            return product.reshape(self.index.shape[:2])
        taken = product.index_select(0, self.index.flatten().to(product.device))
        return taken.reshape(self.index.shape).sum(-1)
