"""The steps to a canonical point, each of which keeps what the steps before it fixed."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from paramsym.action import act
from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import Permutations, Signs
from paramsym.element import GroupElement
from paramsym.family import Family
from paramsym.groups import HyperplaneFixing, Translation
from paramsym.orbit.balancing import can_balance
from paramsym.orbit.canonical_alone import to_unit
from paramsym.orbit.canonical_balance import canonical_target, freely
from paramsym.orbit.canonical_gains import DEGENERATE, HeldGain, held_gains
from paramsym.orbit.canonical_hyperplanes import (
    bias_to_one,
    leaves_writers,
    readers_to_rest,
    without_sums,
    writers_to_rest,
)
from paramsym.orbit.canonical_lopsided import one_side, unlike
from paramsym.orbit.canonical_normal_form import normal_form
from paramsym.orbit.canonical_order import contained, order
from paramsym.orbit.canonical_residual import Residual, residual
from paramsym.orbit.canonical_rotations import rotations, turning
from paramsym.orbit.canonical_shifts import orthogonal_shifts, shifting
from paramsym.orbit.canonical_signs import signs
from paramsym.orbit.coupling import overlaps_itself
from paramsym.orbit.matching import Matching
from paramsym.orbit.target import element_reaching
from paramsym.orbit.target_joint import is_linear_space
from paramsym.symmetry import Symmetry

Params = Mapping[str, Tensor]
AnyFamily = Family | DiscreteFamily

QUIET = 32
"""Units of the parameters' eps below which, relative to what stands beside it, an entry that should
be zero may be rounding."""

FINER = 1e-3
"""Sums of squares of float64 are equal below this part of what counts as degenerate: an order does
not magnify rounding, as eigenvectors do."""


class Fixing:
    """A point on its way, in float64, and what has been fixed so far.

    Attributes:
        now: Where it is.
        seen: What the steps look at: `now`, without sums of readers that are fixed last.
        word: What moved it there.
        ties: Choices that nothing determined.
        vague: Choices between what looked alike, on the way to another point.
        trusted: Whether some choices on that way were left as they were.
        unfixed: Names of families without a rule.
        gap: The smallest gap of eigenvalues, relative to the largest.
        eps: Relative rounding of the parameters.
    """

    def __init__(self, symmetry: Symmetry, params: Params) -> None:
        self.symmetry = symmetry
        self.now = {
            k: p.detach().double() if p.is_floating_point() else p for k, p in params.items()
        }
        self.seen = self.now
        self.word: list[tuple[AnyFamily, Tensor]] = []
        self.ties: list[str] = []
        self.vague: list[str] = []
        self.trusted = False
        self.unfixed: list[str] = []
        self.gap = 1.0
        self.eps = max(torch.finfo(p.dtype).eps for p in params.values() if p.is_floating_point())
        self._quiet = max(DEGENERATE, QUIET * self.eps)
        self._exact = [f for f in symmetry if not f.exactness.as_eps_vanishes]
        self._shifting = [family for family in self._exact if shifting(family)]
        self._settled: set[str] = set()
        self._held: list[HeldGain] = []
        self._resting: list[Family] = []
        self._lopsided: set[str] = set()
        self._formed: list[Family] = []
        self._units: list[Family] = []
        self._ordered: list[DiscreteFamily] = []

    @property
    def element(self) -> GroupElement:
        """The word as a group element."""
        return GroupElement(
            tuple(family.name for family, _ in self.word),
            tuple(family.group for family, _ in self.word),
            tuple(g for _, g in self.word),
        )

    def gains(self) -> None:
        """Gains that others read become ±1."""
        for gain in held_gains(self._exact):
            g = gain.to_one(self.seen)
            if g is None:
                self.unfixed.append(gain.family.name)
                continue
            self._held.append(gain)
            self._settled.add(gain.family.name)
            self._move(gain.family, g)

    def hyperplanes(self) -> None:
        """Biases of LayerNorms become 1, where readers have no bias; else sums are left aside."""
        for family in self._exact:
            if not isinstance(family.group, HyperplaneFixing):
                continue
            if family.reads:
                g = bias_to_one(family, self.seen, self._quiet)
                rests = g is None and leaves_writers(family, self.seen, self._quiet)
            else:  # maps along the mean: no bias of a norm stands for them
                others = (*self._exact, *self.symmetry.discrete)
                g, rests = writers_to_rest(family, others, self.seen, self._quiet), False
            if g is None and not rests:
                self.unfixed.append(family.name)
                continue
            self._settled.add(family.name)
            if g is None:
                self._resting.append(family)
            else:
                self._move(family, g)
        for family in self._resting:
            self.seen = without_sums(family, self.seen)

    def shifts(self) -> None:
        """Parameters become orthogonal to the directions along which they shift."""
        letters, restless = orthogonal_shifts(self._shifting, self.seen)
        self.unfixed += restless
        for family, g in letters:
            self._move(family, g)
        self._settled |= {f.name for f in self._shifting if isinstance(f.group, Translation)}

    def alone(self) -> None:
        """Matrices that one family moves to anything are set aside: they become 1 in the end."""
        everything = (*self._exact, *self.symmetry.discrete)
        for family in self._exact:
            if to_unit(family, everything, self.seen, self._quiet) is not None:
                self._units.append(family)
                self._settled |= {f.name for f in everything if f.moves <= family.moves}
                zero = {k: torch.zeros_like(self.seen[k]) for k in family.moves}
                self.seen = {**self.seen, **zero}

    def scales(self) -> None:
        """Q takes its canonical value."""
        open_, led = self._open()
        target, found = canonical_target(
            open_, {gain.port.parameter for gain in self._held}, self.seen
        )
        self.unfixed += found
        for i, family in enumerate(open_):
            if not is_linear_space(family) or family.name not in target:
                continue
            if overlaps_itself(family) or can_balance(family, self.seen):
                continue
            del target[family.name]
            side = self._without_balance(family, [f for f in open_ if f is not family])
            if side is not None:
                open_[i], target[family.name] = side
        free = freely(self.symmetry, open_)
        balanced = element_reaching(free, self.seen, target, others="free")
        for name, g in zip(balanced.names, balanced.tensors, strict=True):
            letters = led[name].letters(g) if name in led else [(self.symmetry[name], g)]
            for family, letter in letters:
                self._move(family, letter)
        if led:
            self.shifts()

    def rotations(self) -> None:
        """Hidden spaces take their eigenbases."""
        for family in self._turned:
            weighed = unlike(family, self._turned) if family.name in self._lopsided else None
            g, found, gap = rotations(family, self.seen, weighed)
            self.gap = min(self.gap, gap)
            self.ties += found
            self._move(family, g)

    def orders(self) -> None:
        """Units are sorted."""
        ones = {gain.port.parameter for gain in self._held}
        turned = frozenset[str]().union(*(family.moves for family in self._turned))
        eps = max(self.eps, FINER * DEGENERATE)
        frames = {p.frame.parameter for f in self._turned for p in f.ports if p.frame is not None}
        for family in self._discrete:
            if not isinstance(family.group, Permutations) or contained(family, self._exact, ones):
                continue
            if family.moves & (frames - ones):
                self.unfixed.append(family.name)
                continue
            self._ordered.append(family)
            self._find(lambda family=family: order(family, self.seen, eps, turned), family)

    def signs(self) -> None:
        """Signs that are left are chosen."""
        letters, found = signs(self._turned, self._discrete, self.seen, self._quiet)
        self.ties += found
        for family, g in letters:
            self._move(family, g)

    def match(self, goal: "Fixing") -> None:
        """Rotations, orders and signs are chosen anew, so that this is near another point."""
        flips = [f for f in self._discrete if isinstance(f.group, Signs)]
        families = [*self._turned, *self._formed, *self._ordered, *flips]
        matching = Matching(families, self.seen, goal.seen, max(self.eps, goal.eps))
        matching.solve()
        self.vague += matching.vague
        self.trusted = matching.trusted
        alike = self.seen is self.now
        self.seen = matching.now
        self.now = matching.now if alike else act(matching.word, self.now)
        self.word += matching.word

    def sums(self, toward: Params | None = None) -> None:
        """Sums of readers that were left aside."""
        self.seen = self.now
        for family in self._resting:
            self._find(
                lambda family=family: readers_to_rest(
                    family, self._shifting, self.now, self._quiet, toward
                ),
                family,
            )
        if self._resting:
            self.shifts()
        for family in self._units:
            g = to_unit(family, (), self.now, 0.0)
            assert g is not None
            self._move(family, g)

    @property
    def _discrete(self) -> list[DiscreteFamily]:
        return [f for f in self.symmetry.discrete if f.name not in self._settled]

    @property
    def _turned(self) -> list[Family]:
        done = self._settled | set(self.unfixed)
        return [f for f in self._exact if turning(f) and f.name not in done]

    def _move(self, family: AnyFamily, g: Tensor) -> None:
        alike = self.seen is self.now
        self.now = act([(family, g)], self.now)
        self.seen = self.now if alike else act([(family, g)], self.seen)
        self.word.append((family, g))

    def _find(self, find: Callable[[], tuple[Tensor, list[str]]], family: AnyFamily) -> None:
        g, found = find()
        self.ties += found
        self._move(family, g)

    def _open(self) -> tuple[list[Family], dict[str, Residual]]:
        """Families without a gauge so far, those that move held gains as what is left of them."""
        ones = {gain.port.parameter for gain in self._held}
        open_: list[Family] = []
        led: dict[str, Residual] = {}
        for family in self._exact:
            if family.name in self._settled or family.name in self.unfixed:
                continue
            moved = family.moves & ones
            left = residual(family, self._held, self._shifting) if moved else None
            if left is not None:
                led[family.name] = left
            open_.append(left.action if left else family)
        return open_, led

    def _without_balance(
        self, family: Family, others: list[Family]
    ) -> tuple[Family, Tensor] | None:
        """What to do with a space that has no balanced point: its normal form, if nothing else that
        is open moves its weights; else one of its sides and a Q for that."""
        discrete = self.symmetry.discrete
        if not any(family.moves & other.moves for other in (*others, *discrete)):
            self._settled.add(family.name)
            self._formed.append(family)
            self._find(lambda: normal_form(family, self.seen), family)
            return None
        taken = [other for other in others if other.name in self._lopsided]
        side = one_side(family, others, taken, self.seen)
        if side is None:
            self.unfixed.append(family.name)
        else:
            self._lopsided.add(family.name)
        return side


def fixed(symmetry: Symmetry, params: Params) -> Fixing:
    """All steps but the last, `sums`."""
    point = Fixing(symmetry, params)
    point.gains()
    point.hyperplanes()
    point.shifts()
    point.alone()
    point.scales()
    point.rotations()
    point.orders()
    point.signs()
    return point
