"""Conserved quantities of all scalings of a model at once: a convex problem in the log-scales.

½ Σ w e^{2Du} − ⟨Q*, u⟩ is convex in the log-scales u, and its gradient is Q − Q*
(docs/derivations.md §17). A sweep of the closed form, family by family, starts Newton's method,
whose equations conjugate gradients solve.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.family import Family
from paramsym.groups import ComplexScaling
from paramsym.orbit.target_neurons import attainable, log_scales
from paramsym.orbit.target_weights import Squares, squares, unknowns

NEWTON_STEPS = 60
DOUBTFUL = (4, 1e-2)
"""Newton steps after which a relative gap as large is reason to ask whether there is a solution."""

STARTING = 0.1
"""Relative gap from which a sweep of the closed form comes before Newton's method."""

LARGEST_STEP = 4.0
"""Longest step in a log-scale: terms change by e^8 at most."""


@final
@dataclass(frozen=True, eq=False)
class ScalingProblem:
    """Scalings, and the sums of squares that their conserved quantities depend on."""

    families: tuple[Family, ...]
    parts: tuple[Squares, ...]
    count: int

    @classmethod
    def at(cls, families: Sequence[Family], params: Mapping[str, Tensor]) -> "ScalingProblem":
        """The problem at these parameters."""
        count = sum(unknowns(family) for family in families)
        return cls(tuple(families), tuple(squares(families, params)), count)

    @property
    def is_finite(self) -> bool:
        """Whether all weights are."""
        return all(bool(torch.isfinite(part.sums).all()) for part in self.parts)

    def values(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Q of every unknown, and the sum of the sizes of its terms, `[count]` each."""
        signed, size = u.new_zeros(2, self.count + 1)
        ends = _ended(u)
        for part in self.parts:
            for side, marginal in zip(part.sides, _marginals(part, ends), strict=True):
                side.collect(marginal, signed)
                for slots, degree in zip(side.slots, side.degrees.abs().tolist(), strict=True):
                    size.index_add_(0, slots, degree * marginal)
        return signed[:-1], size[:-1]

    def potential(self, u: Tensor, target: Tensor) -> float:
        """½ Σ w e^{2Du} − ⟨Q*, u⟩."""
        ends = _ended(u)
        total = sum(float(_marginal(part, ends, 0).sum()) for part in self.parts)
        return total / 2 - float(target @ u)

    def by_degree(self, u: Tensor, start: int, stop: int) -> dict[float, Tensor]:
        """Sums of squares of the unknowns from `start` to `stop`, by the degree of their port."""
        ends, found = _ended(u), {}
        for part in self.parts:
            for k, side in enumerate(part.sides):
                marginal: Tensor | None = None
                for slots, degree in zip(side.slots, side.degrees.tolist(), strict=True):
                    if not bool(((slots >= start) & (slots < stop)).any()):
                        continue
                    marginal = _marginal(part, ends, k) if marginal is None else marginal
                    sums = found.setdefault(degree, u.new_zeros(self.count + 1))
                    sums.index_add_(0, slots, marginal)
        return {degree: sums[start:stop] for degree, sums in found.items()}

    def solve(
        self,
        target: Tensor,
        eps: float,
        goal: float = 0.0,
        doubt: Callable[[], None] = lambda: None,
    ) -> tuple[Tensor, float]:
        """The log-scales that reach the target, and the largest relative gap that is left.

        Args:
            target: Q*, `[count]`, which every neuron must be able to reach.
            eps: Relative accuracy of the parameters.
            goal: Largest relative gap to stop at; that of rounding where smaller.
            doubt: Called if the first steps leave a large gap; it may raise.
        """
        goal = max(goal, 4 * eps)
        u = torch.zeros(self.count, dtype=torch.float64)
        best, best_gap = u, self._gap(u, target)
        if best_gap > STARTING:
            best = u = self._sweep(u, target)
            best_gap = self._gap(u, target)
        for step in range(NEWTON_STEPS):
            if best_gap <= goal:
                break
            if step == DOUBTFUL[0] and best_gap > DOUBTFUL[1]:
                doubt()
            u = self._newton(u, target, best_gap, eps)
            gap = self._gap(u, target)
            stalled = gap > best_gap / 2 and best_gap <= 256 * eps
            if gap < best_gap:
                best, best_gap = u, gap
            if stalled:
                break
        return best, best_gap

    def _gap(self, u: Tensor, target: Tensor) -> float:
        value, size = self.values(u)
        return float(((target - value).abs() / torch.where(size > 0, size, 1.0)).max())

    def _sweep(self, u: Tensor, target: Tensor) -> Tensor:
        """Every family's own targets reached in turn, as if the others stood still."""
        u, start = u.clone(), 0
        for family in self.families:
            stop = start + unknowns(family)
            here = self.by_degree(u, start, stop)
            own = target[start:stop]
            reached = attainable(here, own)
            step = log_scales(here, torch.where(reached, own, 0.0))
            u[start:stop] += torch.where(reached & step.isfinite(), step, 0.0)
            start = stop
        return u

    def _newton(self, u: Tensor, target: Tensor, gap_now: float, eps: float) -> Tensor:
        ends = _ended(u)
        marginals = [_marginals(part, ends) for part in self.parts]
        value, diagonal = u.new_zeros(2, self.count + 1)
        for part, sums in zip(self.parts, marginals, strict=True):
            for side, marginal in zip(part.sides, sums, strict=True):
                side.collect(marginal, value)
                side.collect_squares(marginal, diagonal)
            if len(part.sides) == 2:
                self._add_shared(part, ends, diagonal)
        gap = target - value[:-1]
        step = self._conjugate_gradients(
            marginals, ends, gap, 2 * diagonal[:-1], min(0.1, gap_now**0.5)
        )
        step = step * min(1.0, LARGEST_STEP / max(float(step.abs().max()), 1e-300))
        half = sum(float(sums[0].sum()) for sums in marginals) / 2
        before, slope, t = half - float(target @ u), float(gap @ step), 1.0
        size = abs(before) + float((target * u).abs().sum())
        # Rounding of the potential must not stop steps near the end, where the full one is right.
        slack = 64 * eps * size
        while t > 1e-4 and self.potential(u + t * step, target) > before - 1e-4 * t * slope + slack:
            t /= 2
        return u + t * step

    def _add_shared(self, part: Squares, ends: Tensor, diagonal: Tensor) -> None:
        """The diagonal's share of entries that one unknown scales from both sides, as the diagonal
        of a recurrent weight."""
        first, second = part.sides
        for a, x in zip(first.slots, first.degrees.tolist(), strict=True):
            for b, y in zip(second.slots, second.degrees.tolist(), strict=True):
                if not bool(torch.isin(a[a < self.count], b).any()):
                    continue
                same = (a[:, None] == b[None, :]) & (a < self.count)[:, None]
                i, j = same.nonzero(as_tuple=True)
                w = part.sums[i, j].double()
                w = w * (2 * (first.spread(ends)[i] + second.spread(ends)[j])).exp()
                diagonal.index_add_(0, a[i], 2 * x * y * w)

    def _conjugate_gradients(
        self,
        marginals: list[tuple[Tensor, ...]],
        ends: Tensor,
        right: Tensor,
        diagonal: Tensor,
        accuracy: float,
    ) -> Tensor:
        """Solve 2DᵀWD x = right, preconditioned by the diagonal."""
        inverse = torch.where(diagonal > 0, 1 / torch.where(diagonal > 0, diagonal, 1.0), 0.0)
        scales = [
            tuple((2 * side.spread(ends)).exp() for side in part.sides) for part in self.parts
        ]

        def product(x: Tensor) -> Tensor:
            out, x = x.new_zeros(self.count + 1), _ended(x)
            for part, sums, scale in zip(self.parts, marginals, scales, strict=True):
                along = [side.spread(x) for side in part.sides]
                shares = [2 * m * p for m, p in zip(sums, along, strict=True)]
                if len(along) == 2:
                    w, (r, c) = part.sums, scale
                    shares[0] = shares[0] + 2 * r * (w @ (c * along[1]).to(w)).double()
                    shares[1] = shares[1] + 2 * c * (w.mT @ (r * along[0]).to(w)).double()
                for side, share in zip(part.sides, shares, strict=True):
                    side.collect(share, out)
            return out[:-1]

        x, residual = torch.zeros_like(right), right.clone()
        z = inverse * residual
        direction, now = z.clone(), float(residual @ z)
        goal = accuracy**2 * now
        for _ in range(20 + 2 * self.count):
            if now <= goal or now <= 0:
                break
            image = product(direction)
            curvature = float(direction @ image)
            if curvature <= 0:
                break
            x = x + now / curvature * direction
            residual = residual - now / curvature * image
            z = inverse * residual
            following = float(residual @ z)
            direction = z + following / now * direction
            now = following
        return x


def _ended(u: Tensor) -> Tensor:
    """With a last 0, for rows that a port does not hold."""
    return torch.cat([u, u.new_zeros(1)])


def _marginals(part: Squares, ends: Tensor) -> tuple[Tensor, ...]:
    """Σ w e^{2Du} over everything but one side, for each side."""
    return tuple(_marginal(part, ends, k) for k in range(len(part.sides)))


def _marginal(part: Squares, ends: Tensor, k: int) -> Tensor:
    """Σ w e^{2Du} over everything but side `k`, in float64."""
    w = part.sums
    own = (2 * part.sides[k].spread(ends)).exp()
    if len(part.sides) == 1:
        return own * w.double()
    other = (2 * part.sides[1 - k].spread(ends)).exp().to(w)
    return own * ((w @ other) if k == 0 else (w.mT @ other)).double()


def as_elements(families: Sequence[Family], u: Tensor) -> list[tuple[Family, Tensor]]:
    """Log-scales, family by family, as group elements."""
    letters = []
    for family, own in zip(families, u.split([unknowns(f) for f in families]), strict=True):
        group = family.group
        scales = own.exp()
        if isinstance(group, ComplexScaling):
            scales = scales.reshape(-1, 1, 1) * torch.eye(2, dtype=u.dtype)
        letters.append((family, scales.reshape(group.shape)))
    return letters
