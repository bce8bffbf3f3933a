"""What is left of a scaling once gains that it moves are held at 1 by other scalings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import PositiveScaling
from paramsym.orbit.canonical_gains import HeldGain
from paramsym.orbit.coupling import overlap
from paramsym.ports import Port

Params = Mapping[str, Tensor]
Letters = list[tuple[Family, Tensor]]


@final
@dataclass(frozen=True, eq=False)
class Residual:
    """A scaling followed by those that bring the gains back which it moved.

    Attributes:
        family: The scaling.
        action: Its group, acting as all of them together on what they scale.
        followers: The scalings that hold the gains; for each of their coordinates the one of
            `family` that it follows, −1 where there is none; and the exponent.
    """

    family: Family
    action: Family
    followers: tuple[tuple[HeldGain, Tensor, float], ...]

    def letters(self, scales: Tensor) -> Letters:
        """The word for an element of the scaling's group."""
        word = [(self.family, scales)]
        flat = torch.cat([scales.flatten(), scales.new_ones(1)])
        for held, leader, exponent in self.followers:
            word.append((held.family, held.element(flat[leader] ** exponent)))
        return word


def residual(
    family: Family, held: Sequence[HeldGain], shifts: Sequence[Family] = ()
) -> Residual | None:
    """The scaling with what follows it; `None` where that is no scaling of the same coordinates.

    Args:
        family: The scaling.
        held: Gains that were made 1.
        shifts: Families of shifts, which bring back what the followers shift, and shift more.
    """
    if not isinstance(family.group, PositiveScaling):
        return None
    ports: list[Port] = []
    followers: list[tuple[HeldGain, Tensor, float]] = []
    targets = {t.target.parameter for gain in held for t in gain.family.terms}
    for _ in shifts:
        for shift in shifts:
            if shift.moves & targets:
                targets |= shift.moves
    for port in family.ports:
        gains = [gain for gain in held if overlap(gain.port, port)]
        if not gains:
            # What a follower shifts besides is no square that a scale would change.
            if port.parameter not in targets:
                ports.append(port)
            continue
        for gain in gains:
            if (gain.port.view, gain.port.axes) != (port.view, port.axes):
                return None
            count = port.index[..., 0].numel()
            owner = port.spread(torch.arange(count), -1).flatten()
            leader = owner[gain.port.index[..., 0]].flatten()
            exponent = -_signed(port) / gain.exponent
            followers.append((gain, leader, exponent))
            for other in gain.family.ports:
                if other.parameter == gain.port.parameter:
                    continue
                moved = _led(other, leader, family, exponent * _signed(other))
                if moved is None:
                    return None
                ports.append(moved)
    return Residual(family, replace(family, ports=tuple(ports)), tuple(followers))


def _signed(port: Port) -> float:
    return -port.degree if port.dual else port.degree


def _led(port: Port, leader: Tensor, family: Family, degree: float) -> Port | None:
    """A follower's port, as its rows are scaled by the coordinates of `family` that lead it."""
    copies, n = family.group.copies, family.group.n
    rows = port.index.flatten(0, 1)
    led = [rows[leader == j].flatten() for j in range(copies * n)]
    if len({len(own) for own in led}) != 1:
        return None
    index = torch.stack(led).reshape(copies, n, -1)
    return replace(port, index=index, dual=degree < 0, degree=abs(degree))
