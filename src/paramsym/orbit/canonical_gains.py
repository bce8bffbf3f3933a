"""Canonical gains: those that stand between a space and its readers are made 1."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import Homothety, HyperplaneFixing, PositiveScaling
from paramsym.orbit.coupling import overlap
from paramsym.ports import Frame, Port
from paramsym.sharded import whole

Params = Mapping[str, Tensor]

DEGENERATE = 1e-7
"""Eigenvalues nearer than this, relative to the largest, count as equal: their eigenvectors would
be lost to rounding. So does a number that is smaller, relative to its terms, count as zero."""


@final
@dataclass(frozen=True, eq=False)
class HeldGain:
    """A scaling that makes a gain ±1.

    Attributes:
        family: The scaling, by positive numbers or about a point.
        port: Where it holds the gain.
        about: The number from which the gain is counted.
        exponent: The power of the scale by which it multiplies the gain.
    """

    family: Family
    port: Port
    about: float
    exponent: float

    def to_one(self, params: Params) -> Tensor | None:
        """The element after which the gain is ±1; `None` where an entry of it is zero."""
        gain = self.port.rows(whole(params[self.port.parameter]).double())[..., 0] - self.about
        if bool((gain == 0).any()):
            return None
        return self.element(gain.abs() ** (-1 / self.exponent))

    def element(self, scales: Tensor) -> Tensor:
        """The group element with these scales."""
        group = self.family.group
        if not isinstance(group, Homothety):
            return scales.reshape(group.shape)
        a = scales.flatten()
        g = group.identity().reshape(group.copies, 2, 2)
        g[:, 0, 0], g[:, 0, 1] = a, group.centre * (1 - a)
        return g.reshape(group.shape)


def held_gains(families: Iterable[Family]) -> list[HeldGain]:
    """Scalings that move a gain which other families read, and those of gains 1 + γ or in front of
    fixed statistics, which have no Q.

    Rotations through a gain and shifts along 1/γ are then linear maps, and translations along
    constant directions (docs/derivations.md §30). A scaling that moves a gain which another one
    makes 1 already is not among them.
    """
    families = list(families)
    gains = gains_read(families)
    found: list[HeldGain] = []
    for family in families:
        group = family.group
        if not isinstance(group, Homothety | PositiveScaling):
            continue
        shifted = {term.target.parameter for term in family.terms}
        for port in family.ports:
            scaled = port.parameter not in shifted
            own = (
                not scaled or port.dual
                if isinstance(group, Homothety)
                else (port.parameter in gains)
            )
            if own and port.width == 1 and not any(overlap(port, gain.port) for gain in found):
                about = group.centre if isinstance(group, Homothety) and not scaled else 0.0
                exponent = -port.degree if port.dual else port.degree
                found.append(HeldGain(family, port, about, exponent))
                break
    return found


def gains_read(families: Iterable[Family]) -> frozenset[str]:
    """Parameters that the actions of families divide by: frames, and inverse sources."""
    found: set[str] = set()
    for family in families:
        found |= {port.frame.parameter for port in family.ports if port.frame is not None}
        sources = [source for term in family.terms for source in term.sources]
        found |= {s.slot.parameter for s in sources if s.power < 0 and not s.is_constant}
    return frozenset(found)


def hyperplane(family: Family, params: Params) -> Tensor | None:
    """The element I + w1ᵀ that takes a LayerNorm's bias, seen through its gain, to 1.

    The bias has the mean s there; (I + w1ᵀ)b = b + n s w is 1 for w = (1 − b)/(n s). `None` where
    the bias has mean zero: then it stays, and only readers move.
    """
    if not isinstance(family.group, HyperplaneFixing):
        return None
    writer = next((p for p in family.ports if not p.dual and p.width == 1), None)
    if writer is None:
        return None
    n, copies = family.group.n, family.group.copies
    b = framed_rows(writer, params)
    total = b.sum(1, keepdim=True)
    if bool((total.abs() <= DEGENERATE * b.abs().amax(1, keepdim=True) * n).any()):
        return None
    w = (1 - b) / total
    one = torch.eye(n, dtype=w.dtype)
    return (one + w @ w.new_ones(copies, 1, n)).reshape(family.group.shape)


def framed_rows(port: Port, params: Params) -> Tensor:
    """The vectors of the space that a port holds, seen through its gain, in float64."""
    rows = port.rows(whole(params[port.parameter]).double())
    if port.frame is None:
        return rows
    gain = gain_of(port.frame, params, port)
    return rows * gain if port.dual else rows / gain


def unframed(port: Port, params: Params, rows: Tensor) -> Tensor:
    """The port's rows from the vectors of the space: the inverse of `framed_rows`."""
    if port.frame is None:
        return rows
    gain = gain_of(port.frame, params, port)
    return rows / gain if port.dual else rows * gain


def gain_of(frame: Frame, params: Params, port: Port) -> Tensor:
    """The gain of a port, `[copies or 1, n, 1]`, in float64."""
    return frame.diagonal(params, *port.index.shape[:2]).double()
