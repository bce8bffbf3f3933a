"""Canonical gains: those that stand between a space and its readers are made 1."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import Homothety, HyperplaneFixing, PositiveScaling
from paramsym.orbit.coupling import overlap
from paramsym.ports import Frame, Port
from paramsym.sharded import whole

Params = Mapping[str, Tensor]
Element = Callable[[Params], Tensor | None]

DEGENERATE = 1e-7
"""Eigenvalues nearer than this, relative to the largest, count as equal: their eigenvectors would
be lost to rounding. So does a number that is smaller, relative to its terms, count as zero."""


def gain_scalings(families: Iterable[Family]) -> dict[Family, Element]:
    """Scalings that move a gain which other families read, with the element that makes it ±1.

    Rotations through a gain and shifts along 1/γ are then linear maps, and translations along
    constant directions (docs/derivations.md §30). A scaling that moves a gain which another one
    makes 1 already is not among them.
    """
    families = list(families)
    gains = gains_read(families)
    found: dict[Family, Element] = {}
    taken: list[Port] = []
    for family in families:
        if isinstance(family.group, Homothety):
            ports = [p for p in family.ports if p.parameter in _shifted(family)]
        elif isinstance(family.group, PositiveScaling):
            ports = [p for p in family.ports if p.parameter in gains and p.width == 1]
        else:
            continue
        port = next((p for p in ports if not any(overlap(p, q) for q in taken)), None)
        if port is None:
            continue
        taken.append(port)
        found[family] = _to_one(family, port)
    return found


def gains_read(families: Iterable[Family]) -> frozenset[str]:
    """Parameters that the actions of families divide by: frames, and sources to the power −1."""
    found: set[str] = set()
    for family in families:
        found |= {port.frame.parameter for port in family.ports if port.frame is not None}
        found |= {s.slot.parameter for t in family.terms for s in t.sources if s.power == -1}
    return frozenset(found)


def _shifted(family: Family) -> frozenset[str]:
    return frozenset(term.target.parameter for term in family.terms)


def _to_one(family: Family, port: Port) -> Element:
    group = family.group

    def element(params: Params) -> Tensor | None:
        gain = port.rows(whole(params[port.parameter]).double())[..., 0]
        if isinstance(group, Homothety):
            gain = gain - group.centre
        if bool((gain == 0).any()):
            return None
        a = gain.abs() ** (1 / port.degree if port.dual else -1 / port.degree)
        if not isinstance(group, Homothety):
            return a.reshape(group.shape)
        g = group.identity().reshape(group.copies, 2, 2)
        g[:, 0, 0] = a.flatten()
        g[:, 0, 1] = group.centre * (1 - a.flatten())
        return g.reshape(group.shape)

    return element


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
