"""Two points of one orbit, both with their gains, shifts and scales fixed, brought together.

What is left between them are rotations, orders and signs, a compact group. Each family of it is
determined by what the two points hold where no other family is in the way: a rotation by a polar
factor, an order by an assignment, a sign by a sum of products. So known families make others known
(docs/derivations.md §34). Unlike canonical points this needs no gaps between eigenvalues or keys.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from paramsym.action import act
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations, Signs
from paramsym.family import Family
from paramsym.orbit.canonical_gains import DEGENERATE
from paramsym.orbit.canonical_signs import signs
from paramsym.orbit.coupling import overlap
from paramsym.orbit.matching_rotations import nearest_rotation
from paramsym.orbit.matching_units import nearest_order
from paramsym.ports import Port

Params = Mapping[str, Tensor]
AnyFamily = Family | DiscreteFamily
Letters = list[tuple[AnyFamily, Tensor]]

SWEEPS = 8
"""Passes over all families once each is known from somewhere."""

LOUD = 8
"""Units of the parameters' eps above which, relative to what stands beside it, a difference is more
than the rounding of a vector."""

WORTH = 0.9
"""A pass that leaves more of the distance than this is the last one."""


class Matching:
    """One point on its way to another.

    Attributes:
        now: Where it is.
        goal: Where it goes.
        word: What moved it.
        vague: Choices between what looks alike where it was chosen.
        trusted: Whether some family was left where it was, because it is in the way of others and
            they of it.
    """

    def __init__(
        self, families: Sequence[AnyFamily], start: Params, goal: Params, eps: float
    ) -> None:
        self.now, self.goal = dict(start), goal
        self.slack = max(DEGENERATE, LOUD * eps)
        self.word: Letters = []
        self.vague: list[str] = []
        self.trusted = False
        self._families = families
        self._open = {family.name for family in families}
        self._on: dict[str, list[tuple[AnyFamily, Port]]] = {}
        for family in families:
            for port in family.ports:
                self._on.setdefault(port.parameter, []).append((family, port))

    def solve(self) -> None:
        """Find each family where it is alone, then all of them where they are together."""
        best, kept = self.distance(), (self.now, list(self.word))
        while self._open:
            known = [family for family in self._unknown() if self._know(family)]
            if not known and not any(self._know(family, loose=True) for family in self._by_share()):
                self._trust()
        there = self.distance()
        if there > best:
            self.now, self.word = kept
        best = min(best, there)
        for _ in range(SWEEPS):
            kept = self.now, list(self.word)
            for family in self._families:
                self._move(family, self._nearest(family, family.ports))
            there = self.distance()
            if there >= best:
                self.now, self.word = kept
                return
            if there > WORTH * best:
                return
            best = there

    def distance(self) -> float:
        """The Euclidean distance to the goal."""
        gaps = [(p - self.goal[k]).norm() for k, p in self.now.items() if p.is_floating_point()]
        return float(torch.stack(gaps).norm())

    def _unknown(self) -> list[AnyFamily]:
        return [family for family in self._families if family.name in self._open]

    def _by_share(self) -> list[AnyFamily]:
        """Unknown families, first that of which the most can be seen."""

        def share(family: AnyFamily) -> float:
            clear = self._energy(port for port, _ in self._clear(family))
            return clear / max(self._energy(family.ports), torch.finfo(torch.float64).tiny)

        return sorted(self._unknown(), key=share, reverse=True)

    def _energy(self, ports: Iterable[Port]) -> float:
        held = (port.rows(self.goal[port.parameter]) for port in ports)
        return sum(float(rows.square().sum()) for rows in held)

    def _clear(self, family: AnyFamily) -> list[tuple[Port, bool]]:
        """Ports of a family that no unknown one is in the way of, and whether one is inside."""
        seen = ((port, self._in_the_way(family, port)) for port in family.ports)
        return [(port, way) for port, way in seen if way is not None]

    def _know(self, family: AnyFamily, *, loose: bool = False) -> bool:
        """Find a family by its clear ports, if these are enough, or `loose`."""
        clear = self._clear(family)
        found = None
        if isinstance(family, DiscreteFamily) and isinstance(family.group, Permutations):
            ports, rough = [port for port, _ in clear], [way for _, way in clear]
            found = self._order(family, ports, rough, loose)
        else:
            ports = [port for port, way in clear if loose or not way]
            found = self._nearest(family, ports, whole=not loose)
        if found is None:
            return False
        self._move(family, found)
        self._open.discard(family.name)
        return True

    def _in_the_way(self, family: AnyFamily, port: Port) -> bool | None:
        """Whether an unknown family mixes or signs the very rows of a port; `None` if one changes
        its columns, or turns the rows of the same units against one another."""
        rough = False
        for other, held in self._on[port.parameter]:
            if held is port if other is family else other.name not in self._open:
                continue
            if held.view == port.view and held.axes == port.axes:
                if other is family or not overlap(held, port):
                    continue
                if port.frame is not None and port.frame.parameter in other.moves:
                    # Seen through its gain, a row does not change with the gain's sign.
                    continue
                rough = True
            else:
                return None
        return rough

    def _order(
        self, family: DiscreteFamily, ports: Sequence[Port], rough: Sequence[bool], loose: bool
    ) -> Tensor | None:
        if not ports:
            return None
        g, vague = nearest_order(family, ports, rough, self.now, self.goal, self.slack)
        if vague and not loose:
            return None
        if vague:
            self.vague.append(f"{family.name!r}: {vague} units that look alike")
        return g

    def _nearest(
        self, family: AnyFamily, ports: Sequence[Port], *, whole: bool = False
    ) -> Tensor | None:
        """The element that brings what the ports hold nearest to the goal; with `whole` `None`
        where they do not determine it."""
        if not ports:
            return None
        if isinstance(family, Family):
            return nearest_rotation(family, ports, self.now, self.goal, self.slack, whole)
        if isinstance(family.group, Permutations):
            smooth = [False] * len(ports)
            return nearest_order(family, ports, smooth, self.now, self.goal, self.slack)[0]
        return self._sign(family, ports, whole)

    def _sign(self, family: DiscreteFamily, ports: Sequence[Port], whole: bool) -> Tensor | None:
        toward = torch.zeros(family.group.copies, family.group.n, dtype=torch.float64)
        elsewhere = torch.zeros_like(toward)
        for port in family.ports:
            mine, other = (port.rows(p[port.parameter]).double() for p in (self.now, self.goal))
            elsewhere += mine.square().sum(-1) + other.square().sum(-1)
            if any(port is chosen for chosen in ports):
                toward += (mine * other).sum(-1)
        alive = elsewhere > self.slack**2 * elsewhere.max()
        if whole and bool((alive & (toward.abs() <= self.slack * elsewhere)).any()):
            return None
        return torch.where(toward < 0, -1.0, 1.0).double().reshape(family.group.shape)

    def _trust(self) -> None:
        """Where each is in the way of another: signs by products of entries if only they are
        unknown, and else the first family as canonical points have it."""
        unknown = self._unknown()
        flips = [f for f in unknown if isinstance(f.group, Signs)]
        if len(flips) < len(unknown):
            first = next(f for f in unknown if not isinstance(f.group, Signs))
            self.trusted = True
            self._open.discard(first.name)
            return
        chosen = [f for f in flips if isinstance(f, DiscreteFamily)]
        letters, left = signs([], chosen, self.now, self.slack, toward=self.goal)
        self.vague += left
        for family, g in letters:
            self._move(family, g)
        self._open.clear()

    def _move(self, family: AnyFamily, g: Tensor | None) -> None:
        if g is None:
            return
        self.now = act([(family, g)], self.now)
        self.word.append((family, g))
