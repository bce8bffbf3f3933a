"""Canonical gains: those that stand between a space and its readers are made 1."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

from paramsym.family import Family
from paramsym.groups import Homothety, PositiveScaling
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
        for gain in _gains_moved(family, gains):
            if gain.port.width == 1 and not any(overlap(gain.port, held.port) for held in found):
                found.append(gain)
                break
    return found


def _gains_moved(family: Family, gains: Collection[str]) -> list[HeldGain]:
    """Ways to hold a gain by a scaling, the best first."""
    group = family.group
    if isinstance(group, PositiveScaling):
        return [_linear(family, port) for port in family.ports if port.parameter in gains]
    if not isinstance(group, Homothety):
        return []
    shifted = {term.target.parameter for term in family.terms}
    about = {
        t.target.parameter: group.centre * t.coefficient for t in family.terms if not t.sources
    }
    counted = [
        HeldGain(family, port, about[port.parameter], 1.0)
        for port in family.ports
        if port.parameter in about
    ]
    readers = [port for port in family.ports if port.dual and port.parameter not in shifted]
    return [*counted, *(_linear(family, port) for port in readers)]


def _linear(family: Family, port: Port) -> HeldGain:
    return HeldGain(family, port, 0.0, -port.degree if port.dual else port.degree)


def gains_read(families: Iterable[Family]) -> frozenset[str]:
    """Parameters that the actions of families divide by: frames, and inverse sources."""
    found: set[str] = set()
    for family in families:
        found |= {port.frame.parameter for port in family.ports if port.frame is not None}
        sources = [source for term in family.terms for source in term.sources]
        found |= {s.slot.parameter for s in sources if s.power < 0 and not s.is_constant}
    return frozenset(found)


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
