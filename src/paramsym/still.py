"""What of a parameter stands still: coordinates that no family moves, and what pins them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.parameters import Parameter
from paramsym.ports import Port
from paramsym.terms import Slot

OUTPUTS = "(outputs)"
"""Stands in place of an op where the outputs of the model themselves pin."""

MODULES_NAMED = 3
"""Modules that a pin names; calls are counted beyond."""


@final
@dataclass(frozen=True)
class Pin:
    """Why no family moves some coordinates of a parameter.

    Attributes:
        parameter: Name of the parameter.
        axis: The axis; 0 for a number.
        op: Name of the op that pins them, `OUTPUTS` for the model's outputs.
        calls: How many calls of it do.
        where: Modules that make the calls, the first ones.
        reason: Why.
        rows: How many coordinates along the axis.
    """

    parameter: str
    axis: int
    op: str
    calls: int
    where: tuple[str, ...]
    reason: str
    rows: int

    def __str__(self) -> str:
        if self.op == OUTPUTS:
            return f"the outputs: {self.reason}"
        times = f" ×{self.calls:,}" if self.calls > 1 else ""
        others = ", …" if self.calls > len(self.where) == MODULES_NAMED else ""
        return f"{self.op}{times} in {', '.join(self.where)}{others}: {self.reason}"


def still_coordinates(parameter: Parameter, families: Iterable[Family]) -> list[Tensor]:
    """For every axis, which of its coordinates no port takes and no shift reaches.

    Returns:
        Boolean masks, one an axis; one mask `[1]` for a number. Axes of size 1 beside longer ones
        have no coordinates of their own: nothing of them stands still.
    """
    shape = parameter.shape or (1,)
    longest = max(shape)
    moved = [torch.full((size,), size == 1 < longest) for size in shape]
    for family in families:
        if parameter.name not in family.moves:
            continue
        touched = [
            *(_of_port(port) for port in family.ports if port.parameter == parameter.name),
            *(
                _of_slot(term.target, shape)
                for term in family.terms
                if term.target.parameter == parameter.name
            ),
        ]
        for view, axes in touched:
            for mask, more in zip(moved, _in_shape(shape, view, axes), strict=True):
                mask |= more
    return [~mask for mask in moved]


Touched = tuple[tuple[int, ...], dict[int, Tensor]]
"""A view of a parameter, and for some of its axes which coordinates move."""


def _of_port(port: Port) -> Touched:
    sizes = [port.view[axis] for axis in port.axes]
    rows = torch.unravel_index(port.index.flatten(), sizes)
    axes = {}
    for axis, coordinates in zip(port.axes, rows, strict=True):
        axes[axis] = torch.zeros(port.view[axis], dtype=torch.bool)
        axes[axis][coordinates] = True
    return port.view, axes


def _of_slot(slot: Slot, shape: tuple[int, ...]) -> Touched:
    view = slot.view or shape
    axes = {}
    for axis, bounds in enumerate(slot.block or (None,) * len(view)):
        axes[axis] = torch.zeros(view[axis], dtype=torch.bool)
        axes[axis][slice(*bounds) if bounds else slice(None)] = True
    return view, axes


def _in_shape(
    shape: tuple[int, ...], view: tuple[int, ...], axes: dict[int, Tensor]
) -> list[Tensor]:
    """Coordinates that move along the axes of the shape, each of which is some axes of the view."""
    parts = _refinement(shape, view)
    if parts is None:  # the view joins axes: nothing is known to stand still
        return [torch.ones(size, dtype=torch.bool) for size in shape]
    masks = []
    for size, own in zip(shape, parts, strict=True):
        if not any(a in axes for a in own):
            masks.append(torch.zeros(size, dtype=torch.bool))
            continue
        mask = torch.ones(1, dtype=torch.bool)
        for a in own:
            along = axes.get(a, torch.ones(view[a], dtype=torch.bool))
            mask = (mask[:, None] & along).flatten()
        masks.append(mask)
    return masks


def _refinement(shape: tuple[int, ...], view: tuple[int, ...]) -> list[list[int]] | None:
    """For every axis the axes of the view that it is split into, if the view only splits."""
    parts, start = [], 0
    for size in shape:
        stop = start
        while stop < len(view) and math.prod(view[start:stop]) < size:
            stop += 1
        stop = max(stop, start + 1) if size == 1 else stop
        if math.prod(view[start:stop]) != size:
            return None
        parts.append(list(range(start, min(stop, len(view)))))
        start = stop
    return parts if start >= len(view) or math.prod(view[start:]) == 1 else None
