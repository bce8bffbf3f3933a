"""Which coordinates of a family the outputs respond to at a point.

A family whose parameters the outputs do not depend on there (a dead channel, a layer multiplied by
zero) passes every check at that point, true or false.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, final

import torch
from torch import Tensor

from paramsym.discovery.points import Point
from paramsym.discovery.recording import Recording, replay
from paramsym.discrete.family import DiscreteFamily
from paramsym.family import Family

Found = TypeVar("Found", bound=Family | DiscreteFamily)

LARGEST = 2**31
"""Bytes of intermediate values beyond which no gradient is taken, which keeps them all."""


@final
@dataclass(frozen=True)
class Responses:
    """How much the outputs depend on each parameter.

    Attributes:
        along: For every parameter and axis the squared gradient of a random function of the
            outputs, summed over the other axes.
    """

    along: dict[str, tuple[Tensor, ...]]

    def silent(self, family: Family | DiscreteFamily, *, wholly: bool) -> bool:
        """Whether the outputs do not respond to a coordinate of a family in any of its ports, or
        to none of its coordinates."""
        found = [self._of(port.parameter) for port in family.ports] or [
            self._of(name) for name in family.moves
        ]
        heard = torch.zeros(1, dtype=torch.float64)
        for port, total in zip(family.ports, found, strict=False):
            along = self.along[port.parameter]
            plain = len(port.axes) == 1 and len(port.view) == len(along)
            own = along[port.axes[0]] if plain else None
            follows = own is not None and len(own) == port.row_count
            heard = heard + (port.collect(own).flatten() if follows and own is not None else total)
        if not family.ports:
            heard = heard + sum(found)
        return bool((heard == 0).all() if wholly else (heard == 0).any())

    def _of(self, parameter: str) -> Tensor:
        along = self.along[parameter]
        return along[0].sum() if along else torch.zeros((), dtype=torch.float64)


def responses(point: Point, seed: int) -> Responses | None:
    """The responses at a point; `None` where gradients cannot be had, or would need much memory."""
    if _bytes_of_values(point.recording) > LARGEST:
        return None
    along = {
        name: tuple(torch.zeros(n, dtype=torch.float64) for n in p.shape or (1,))
        for name, p in point.params.items()
    }

    def take(name: str, leaf: Tensor) -> None:
        # Summed at once, so that there is one gradient in memory and not all.
        assert leaf.grad is not None
        square = leaf.grad.square().reshape(leaf.shape or (1,))
        along[name] = tuple(
            square.sum([a for a in range(square.ndim) if a != axis]).cpu()
            if square.ndim > 1
            else square.cpu()
            for axis in range(square.ndim)
        )
        leaf.grad = None

    leaves = dict(point.params)
    for name, tensor in point.params.items():
        if tensor.is_floating_point():
            leaf = tensor.detach().requires_grad_()
            leaf.register_post_accumulate_grad_hook(lambda leaf, name=name: take(name, leaf))
            leaves[name] = leaf
    try:
        with torch.enable_grad():
            outputs = replay(point.recording, leaves, point.inputs, seed=seed)
            total = _random_function(outputs)
            if total is not None:
                total.backward()
    except (NotImplementedError, RuntimeError):
        return None
    return Responses(along)


def silent_families(
    families: Sequence[Found], point: Point, seed: int, *, wholly: bool = False
) -> list[Found]:
    """Families with a coordinate that the outputs do not respond to at a point; those with nothing
    else if `wholly`.

    Where gradients cannot be had: all or none, by whether other parameters change the outputs.
    """
    found = responses(point, seed)
    if found is not None:
        return [family for family in families if found.silent(family, wholly=wholly)]
    other = {name: p * 1.1 if p.is_floating_point() else p for name, p in point.params.items()}
    outputs = replay(point.recording, other, point.inputs, seed=seed)
    alike = all(torch.equal(a, b) for a, b in zip(outputs, point.outputs, strict=True))
    return list(families) if alike else []


def _random_function(outputs: Sequence[Tensor]) -> Tensor | None:
    generator = torch.Generator().manual_seed(0)
    total: Tensor | None = None
    for y in outputs:
        y = torch.view_as_real(y) if y.is_complex() else y
        if not y.requires_grad:
            continue
        weights = torch.randn(y.shape, generator=generator, dtype=torch.float64)
        share = (y * weights.to(y)).sum()
        total = share if total is None else total + share
    return total


def _bytes_of_values(recording: Recording) -> int:
    return 8 * sum(map(math.prod, recording.shapes.values()))
