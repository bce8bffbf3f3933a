"""Where the elements of spaces stand on the axes of parameters."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from paramsym.discovery.labels import Labels
from paramsym.discovery.permuting.spaces import Axis, Spaces, bits
from paramsym.ports import Port

NOWHERE = -1


@final
@dataclass(frozen=True)
class Occurrence:
    """A space on one axis of a parameter.

    Attributes:
        parameter: Its name.
        shape: Its shape.
        axis: The axis.
        space: The space, not taken apart.
        elements: For every position along the axis the element of the space, or `NOWHERE`.
        unknown: Whether the signs of the space change this axis, as a bit.
    """

    parameter: str
    shape: tuple[int, ...]
    axis: int
    space: int
    elements: Labels
    unknown: int


def occurrences(
    spaces: Spaces, parameters: dict[str, tuple[Axis, ...]]
) -> dict[int, list[Occurrence]]:
    """Every place of every space that is not fixed, by space.

    A space that stands on one axis twice as a factor of one product is left out (fixed): a position
    there belongs to two elements.
    """
    found: dict[int, list[Occurrence]] = {}
    twice: set[int] = set()
    for name, axes in parameters.items():
        shape = tuple(sum(_sizes(axis)) for axis in axes)
        for a, axis in enumerate(axes):
            taken: dict[int, Labels] = {}
            for space, elements, unknown in _laid_out(spaces, axis):
                there = elements != NOWHERE
                if space in taken and bool((taken[space] & there).any()):
                    twice.add(space)
                taken[space] = taken.get(space, np.zeros(len(there), dtype=bool)) | there
                place = Occurrence(name, shape, a, space, elements, unknown)
                found.setdefault(space, []).append(place)
    return {space: places for space, places in found.items() if space not in twice}


def _sizes(axis: Axis) -> list[int]:
    return [int(np.prod([f.size for f in segment], dtype=np.int64)) for segment in axis]


def _laid_out(spaces: Spaces, axis: Axis) -> Iterable[tuple[int, Labels, int]]:
    """(space, elements, unknown) of every factor of every segment."""
    settled = spaces.segments(axis)
    total, start = sum(_sizes(tuple(settled))), 0
    for segment in settled:
        sizes = [factor.size for factor in segment]
        size = int(np.prod(sizes, dtype=np.int64))
        for k, factor in enumerate(segment):
            if factor.space < 0:
                continue
            elements = np.full(total, NOWHERE, dtype=np.int64)
            shape = [n if i == k else 1 for i, n in enumerate(sizes)]
            grid = np.arange(factor.size).reshape(shape)
            elements[start : start + size] = np.broadcast_to(grid, sizes).ravel()
            yield factor.space, elements, factor.parity
        start += size


def port(
    spaces: Spaces, place: list[Occurrence], copies: list[list[Occurrence]], size: int
) -> Port | None:
    """The port of a space on one axis of a parameter, in independent copies where there are any.

    Args:
        spaces: All spaces.
        place: The space's occurrences on that axis.
        copies: For every space that counts the copies, its occurrences in the same parameter.
        size: Number of elements of the space.

    Returns:
        The port; `None` where copies cannot be told apart.
    """
    first = place[0]
    axes = sorted({first.axis, *(other[0].axis for other in copies)})
    own = _joint(place, axes)
    copy, count = np.zeros_like(own), 1
    for other in copies:
        label = _joint(other, axes)
        if bool(((label == NOWHERE) & (own != NOWHERE)).any()):
            return None
        extent = spaces.sizes[other[0].space]
        copy, count = copy * extent + label, count * extent
    rows = np.flatnonzero(own != NOWHERE)
    if len(rows) == 0 or len(rows) % (count * size):
        return None
    owner = copy[rows] * size + own[rows]
    if not bool((np.bincount(owner, minlength=count * size) == len(rows) // (count * size)).all()):
        return None
    index = rows[np.argsort(owner, kind="stable")].reshape(count, size, -1)
    dual = any(spaces.base[u] in spaces.read for p in place for u in bits(p.unknown))
    return Port(first.parameter, first.shape, tuple(axes), torch.from_numpy(index), dual=dual)


def _joint(places: list[Occurrence], axes: list[int]) -> Labels:
    """The elements at the joint positions along some axes, in row order."""
    shape = [places[0].shape[a] for a in axes]
    joint = np.full(shape, NOWHERE, dtype=np.int64)
    for place in places:
        view = [-1 if a == place.axis else 1 for a in axes]
        elements = np.broadcast_to(place.elements.reshape(view), shape)
        joint = np.where(elements != NOWHERE, elements, joint)
    return joint.ravel()
