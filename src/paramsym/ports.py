"""Ports and terms: how parameters take part in a symmetry.

A *port* says that some coordinates of one parameter axis transform linearly with a hidden space. A
*term* says that a translation of the space adds a contraction to a parameter. Both are plain data;
`action` gives them their meaning.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Frame:
    """A diagonal gain between the space and a port: matrices act as diag(γ) g diag(γ)⁻¹.

    Attributes:
        parameter: Name of the gain, for instance of an RMSNorm.
        offset: Added to the parameter, for norms that multiply by 1 + γ.
    """

    parameter: str
    offset: float = 0.0

    def diagonal(self, params: Mapping[str, Tensor], copies: int, n: int) -> Tensor:
        """The gain as a tensor of shape `[copies or 1, n, 1]`."""
        gain = params[self.parameter].reshape(-1, n, 1)
        assert gain.shape[0] in (1, copies)
        return gain + self.offset if self.offset else gain


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
        object.__setattr__(self, "_slot", torch.from_numpy(slot))

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

    @cached_property
    def row_count(self) -> int:
        """Number of rows of the view along the port's axes."""
        return math.prod(self.view[a] for a in self.axes)

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
        flat = self.index.flatten()
        return len(flat) == self.row_count and bool((flat == torch.arange(len(flat))).all())

    # -- vectors of the hidden space held in a parameter ------------------------------------

    def rows(self, tensor: Tensor) -> Tensor:
        """The rows taken, `[copies, n, width]`."""
        copies, n, _ = self.index.shape
        rows = self._as_rows(tensor)
        if not self._is_all:
            rows = rows.index_select(0, self.index.flatten().to(rows.device))
        return rows.reshape(copies, n, -1)

    def put(self, tensor: Tensor, rows: Tensor) -> Tensor:
        """`tensor` with the rows taken replaced; a new tensor."""
        flat = rows.reshape(self.index.numel(), -1)
        if not self._is_all:
            flat = self._as_rows(tensor).index_copy(0, self.index.flatten().to(flat.device), flat)
        return self._from_rows(flat, tensor)

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


@final
@dataclass(frozen=True)
class Slot:
    """A rectangular block of a parameter.

    Attributes:
        parameter: Canonical name.
        block: For every axis `(start, stop)`, or `None` for the whole axis; `()` for the whole.
    """

    parameter: str
    block: tuple[tuple[int, int] | None, ...] = ()

    def read(self, params: Mapping[str, Tensor]) -> Tensor:
        tensor = params[self.parameter]
        return tensor[tuple(slice(*b) if b else slice(None) for b in self.block)]

    def add(self, tensor: Tensor, change: Tensor) -> Tensor:
        """`tensor` plus `change` in the block; a new tensor."""
        padding: list[int] = []
        for size, b in zip(tensor.shape, self._bounds(tensor.shape), strict=True):
            padding = [b[0], size - b[1], *padding]
        return (
            tensor + torch.nn.functional.pad(change, padding) if any(padding) else tensor + change
        )

    def within(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the block in a parameter of this shape.

        Raises:
            ValueError: If the block is not inside.
        """
        bounds = self._bounds(shape) if len(self.block) in (0, len(shape)) else []
        inside = all(0 <= a <= b <= size for (a, b), size in zip(bounds, shape, strict=False))
        if len(bounds) != len(shape) or not inside:
            raise ValueError(
                f"block {self.block} is not inside {self.parameter!r} of shape {shape}."
            )
        return tuple(stop - start for start, stop in bounds)

    def _bounds(self, shape: tuple[int, ...]) -> list[tuple[int, int]]:
        block = self.block or (None,) * len(shape)
        return [b or (0, size) for b, size in zip(block, shape, strict=True)]


@final
@dataclass(frozen=True)
class Source:
    """A parameter that a term reads: (entry + offset)^power, power 1 or −1."""

    slot: Slot
    power: int = 1
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.power not in (1, -1):
            raise ValueError(
                f"the source {self.slot.parameter!r} must have power 1 or -1; got {self.power}."
            )

    def read(self, params: Mapping[str, Tensor]) -> Tensor:
        value = self.slot.read(params)
        value = value + self.offset if self.offset else value
        return value if self.power == 1 else value.reciprocal()


@final
@dataclass(frozen=True)
class Term:
    """`target += coefficient · contraction(translation, sources)`.

    Attributes:
        target: What is shifted.
        equation: As for `einsum`; the first operand is the translation, of the group's shape, the
            others are the sources. Letters of the result that no operand has are broadcast:
            `"i->oi"` adds the translation to every row.
        sources: Parameters that the contraction reads, at the moment the term runs.
        coefficient: A number.
    """

    target: Slot
    equation: str
    sources: tuple[Source, ...] = ()
    coefficient: float = 1.0

    @cached_property
    def _letters(self) -> tuple[list[str], str]:
        inputs, output = self.equation.split("->")
        return inputs.split(","), output

    def require_shapes(
        self, translation: tuple[int, ...], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        """Raise unless the equation fits the translation, the sources and the target.

        Raises:
            ValueError: If operands, letters, blocks or sizes differ.
        """
        where = f"the term {self.equation!r} on {self.target.parameter!r}"
        inputs, output = self._letters
        if len(inputs) != 1 + len(self.sources):
            raise ValueError(
                f"{where} must name the translation and {len(self.sources)} sources; "
                f"got {len(inputs)} operands."
            )
        operands = [translation, *(s.slot.within(shapes[s.slot.parameter]) for s in self.sources)]
        target = self.target.within(shapes[self.target.parameter])
        sizes: dict[str, int] = {}
        for letters, shape in zip([*inputs, output], [*operands, target], strict=True):
            fits = len(letters) == len(shape) and all(
                sizes.setdefault(x, size) == size for x, size in zip(letters, shape, strict=True)
            )
            if not fits:
                raise ValueError(f"{where}: {letters!r} does not fit shape {shape} there.")

    def change(self, translation: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """What the term adds to its block of the target."""
        inputs, output = self._letters
        given = "".join(inputs)
        kept = "".join(letter for letter in output if letter in given)
        target = params[self.target.parameter]
        sources = [source.read(params).to(target) for source in self.sources]
        value = torch.einsum(f"{','.join(inputs)}->{kept}", translation.to(target), *sources)
        spread = value[tuple(slice(None) if x in given else None for x in output)]
        return (self.coefficient * spread).expand(self.target.within(target.shape))

    def adjoint(self, covector: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """The translation's share of ⟨covector, change⟩, shaped like the translation."""
        inputs, output = self._letters
        sources = [source.read(params).to(covector) for source in self.sources]
        given = "".join([output, *inputs[1:]])
        kept = "".join(letter for letter in inputs[0] if letter in given)
        equation = f"{','.join([output, *inputs[1:]])}->{kept}"
        value = self.coefficient * torch.einsum(equation, covector, *sources)
        # A letter of the translation that the term sums over: every entry has the same share.
        return value[tuple(slice(None) if x in given else None for x in inputs[0])]
