"""Coupled families brought to their targets together: sweeps over the families, then Newton.

Families that share entries change each other's conserved quantities. A sweep solves for each kind
as if the others stood still; where sweeps converge slowly Newton's method takes over, whose linear
equations, with the Gram matrix of the generators, conjugate gradients solve without forming it
(docs/derivations.md §24).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from paramsym.action import act, act_
from paramsym.conserved import conserved
from paramsym.family import Family
from paramsym.groups import Affine, ComplexScaling, GeneralLinear
from paramsym.orbit.coupling import all_commute, overlaps_itself
from paramsym.orbit.target_newton import (
    Field,
    exponential,
    newton_step,
    norm,
    scale_squares,
    spectral,
)
from paramsym.orbit.target_scalings import DOUBTFUL, ScalingProblem, as_elements
from paramsym.orbit.target_spaces import as_element, grams, linear_part, reach

Letters = list[tuple[Family, Tensor]]

SWEEPS = 8
REACHED = 32
"""Gaps that count as closed, in units of the parameters' eps."""

NEWTON_STEPS = 60
LARGEST_STEP = 2.0


@final
@dataclass(eq=False)
class JointProblem:
    """Coupled families, their targets, and the parameters as moved so far.

    Attributes:
        families: Families with a law, of any kind.
        target: Q* of each, of its group's shape, float64.
        params: Parameters that the families move or read; replaced as they move.
        eps: Relative accuracy of the parameters.
        letters: What moved them, in order.
    """

    families: Sequence[Family]
    target: Mapping[str, Tensor]
    params: dict[str, Tensor]
    eps: float
    letters: Letters = field(default_factory=list)
    _start: Mapping[str, Tensor] = field(init=False)
    _sizes: dict[str, Tensor] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._start = self.params
        self.params = {k: p.clone() for k, p in self.params.items()}
        self._commuting = all_commute(self.families)

    def solve(self, doubt: Callable[[], None] = lambda: None) -> float:
        """Move the parameters; the largest gap that is left, relative to the terms of Q. `doubt` is
        called if sweeps leave a large gap; it may raise."""
        goal = REACHED * self.eps
        gap = self._swept(self.gap(), goal)
        if gap > DOUBTFUL[1]:
            doubt()
        if len(self.families) > 1 or overlaps_itself(self.families[0]):
            for _ in range(NEWTON_STEPS):
                if gap <= goal:
                    break
                before = gap
                if not self._advance(self._newton(self.families, min(0.1, gap**0.5) / 4)):
                    break
                gap = self.gap()
                if gap > before / 2 and before <= 256 * self.eps:
                    break
        return self._settled(gap)

    def _settled(self, gap: float) -> float:
        """The gap of the element that is returned, with its own rounding. Where families commute
        it is one letter each, and a last sweep closes what its rounding opened."""
        if not self._commuting or not self.letters:
            return gap
        gap = self._restarted()
        if REACHED * self.eps < gap < 1e6 * self.eps:
            letters = self.letters
            self._sweep(gap)
            further = self._restarted()
            if further < gap:
                return further
            self.letters = letters
        return gap

    def _restarted(self) -> float:
        """Follow one letter a family from the start; the gap there."""
        self.letters = joined(self.letters)
        self.params = act(self.letters, self._start)
        self._sizes = None
        return self.gap()

    def gap(self) -> float:
        """The largest distance to a target, relative to the size of the terms of Q."""
        found, worst = conserved(self.families, self.params), 0.0
        if self._sizes is None:
            self._sizes = {family.name: self._size(family) for family in self.families}
        for family in self.families:
            gap = (self.target[family.name] - found[family.name].double().cpu()).abs()
            size = self._sizes[family.name]
            worst = max(worst, float((gap / torch.where(size > 0, size, 1.0)).max()))
        return worst

    def _size(self, family: Family) -> Tensor:
        """The sum of the sizes of the terms of Q; for matrices the largest, of the trace."""
        if not family.ports:
            held = [self.params[term.target.parameter].double().norm() for term in family.terms]
            return torch.stack(held).sum().cpu()
        if family.group.diagonal:
            return scale_squares(family, self.params, 1)
        A, B = grams(family, self.params)
        return (A + B).diagonal(dim1=-2, dim2=-1).sum(-1).max()

    # -- sweeps ------------------------------------------------------------------------------

    def _swept(self, gap: float, goal: float) -> float:
        """Sweeps while each is worth it; the gap after them.

        Gaps of sweeps shrink like ρᵏ, mostly along one direction; where the last two sweeps agree
        on ρ, the sum of all the steps to come is taken at once.
        """
        last = 0.0
        for _ in range(SWEEPS):
            if gap <= goal:
                break
            before, count = gap, len(self.letters)
            self._sweep(gap)
            gap = self.gap()
            rate = gap / before
            if rate > 1 / 4:
                break
            if goal < gap and last / 2 < rate < 2 * last:
                gap, last = self._extrapolated(gap, self.letters[count:], rate), 0.0
            else:
                last = rate
        return gap

    def _extrapolated(self, gap: float, step: Letters, rate: float) -> float:
        """Repeat the step ρ/(1 − ρ) times, if that brings the targets nearer."""
        params, letters = {k: p.clone() for k, p in self.params.items()}, list(self.letters)
        self._move(_to_the_power(step, rate / (1 - rate)))
        further = self.gap()
        if further < gap:
            return further
        self.params, self.letters = params, letters
        return gap

    def _sweep(self, gap: float) -> None:
        scalings = [f for f in self.families if is_scaling(f)]
        if scalings:
            problem = ScalingProblem.at(scalings, self.params)
            # No better than the other families will leave it.
            u, _ = problem.solve(scaling_target(scalings, self.target), self.eps, gap / 100)
            self._move(as_elements(scalings, u))
        for family in self.families:
            if is_scaling(family):
                continue
            if not is_linear_space(family) or overlaps_itself(family):
                self._advance(self._newton([family], accuracy=self.eps))
                continue
            linear = reach(
                family, self.params, linear_part(family, self.target[family.name]), self.eps
            )
            self._move([(family, as_element(family, linear))])

    def _move(self, letters: Letters) -> None:
        act_(letters, self.params)
        self.letters += letters

    # -- Newton's method -----------------------------------------------------------------------

    def _newton(self, families: Sequence[Family], accuracy: float) -> Field:
        return newton_step(families, self._gaps(families, self.params), self.params, accuracy)

    def _gaps(self, families: Sequence[Family], params: Mapping[str, Tensor]) -> Field:
        found = conserved(families, params)
        return {f.name: self.target[f.name] - found[f.name].double().cpu() for f in families}

    def _advance(self, step: Field) -> bool:
        """Go along the step as far as the gaps fall; whether they did."""
        chosen = [f for f in self.families if f.name in step]
        largest = max((spectral(f, step[f.name]) for f in chosen), default=0.0)
        if largest == 0:
            return False
        before = norm(self._gaps(chosen, self.params))
        t = min(1.0, LARGEST_STEP / largest)
        while t > 1e-4:
            letters = [(f, exponential(f, t * step[f.name])) for f in chosen]
            tried = act(letters, self.params)
            if norm(self._gaps(chosen, tried)) <= (1 - t / 4) * before:
                self.params = tried
                self.letters += letters
                return True
            t /= 2
        return False


def joined(letters: Letters) -> Letters:
    """One letter a family, the product of its own; for families that commute."""
    products: dict[str, tuple[Family, Tensor]] = {}
    for family, g in letters:
        before = products.get(family.name)
        product = g if before is None else family.group.compose(g, before[1])
        products[family.name] = (family, product)
    return list(products.values())


def is_scaling(family: Family) -> bool:
    """Whether Q moves by positive scales alone: T₊, and the absolute values of complex scalings."""
    return bool(family.ports) and (
        family.group.diagonal or isinstance(family.group, ComplexScaling)
    )


def is_linear_space(family: Family) -> bool:
    """Whether the family is GL or Aff of a hidden space."""
    return isinstance(family.group, GeneralLinear | Affine)


def scaling_target(families: Sequence[Family], target: Mapping[str, Tensor]) -> Tensor:
    """Targets of scalings, one number an unknown; for complex ones the trace, a sum of squares."""
    parts = [
        target[f.name].diagonal(dim1=-2, dim2=-1).sum(-1).reshape(-1)
        if isinstance(f.group, ComplexScaling)
        else target[f.name].reshape(-1)
        for f in families
    ]
    return torch.cat(parts)


def _to_the_power(letters: Letters, exponent: float) -> Letters:
    """g^exponent of scalings, shifts, and matrices near the unit that are nearly symmetric."""
    powers = []
    for family, g in letters:
        group = family.group
        if not family.ports:
            powers.append((family, exponent * g))
        elif group.diagonal:
            powers.append((family, g**exponent))
        else:
            linear = group.linear(g)
            assert linear is not None
            values, vectors = torch.linalg.eigh((linear + linear.mT) / 2)
            inner = (vectors * values.clamp(min=0.1)[..., None, :] ** exponent) @ vectors.mT
            powers.append((family, as_element(family, inner)))
    return powers
