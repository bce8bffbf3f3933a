"""L-BFGS in a Lie algebra: steps and changes of the gradient, and the direction they suggest.

Along g(t) = exp(tM) g the velocity, carried back to the unit by right translation, is M at all t.
So steps at different points of the orbit are vectors of one space, and the formulas are those of
R^n (docs/derivations.md §26).
"""

from dataclasses import dataclass
from typing import final

from torch import Tensor

MEMORY = 20
"""Pairs that are kept."""

CURVATURE = 1e-10
"""Least ⟨s, y⟩ of a pair, relative to ‖s‖‖y‖: less is rounding, or no positive curvature."""


@final
@dataclass(frozen=True, eq=False)
class Curvature:
    """What the last steps said of the second derivative.

    Attributes:
        pairs: Step s, change of the gradient y, and ⟨s, y⟩, the oldest first.
    """

    pairs: tuple[tuple[Tensor, Tensor, float], ...] = ()

    def after(self, step: Tensor, change: Tensor) -> "Curvature":
        """With one more pair, if its curvature is positive; it would spoil the direction if not."""
        product = float(step @ change)
        if not product > CURVATURE * float(step.norm() * change.norm()):
            return self
        return Curvature((*self.pairs, (step, change, product))[-MEMORY:])

    def direction(self, gradient: Tensor) -> Tensor:
        """−H⁻¹P by the two-loop recursion (Nocedal, Math. Comp. 35, 1980)."""
        found, shares = -gradient, []
        for s, y, product in reversed(self.pairs):
            share = float(s @ found) / product
            shares.append(share)
            found = found - share * y
        if self.pairs:
            _, y, product = self.pairs[-1]
            found = found * (product / float(y @ y))
        for (s, y, product), share in zip(self.pairs, reversed(shares), strict=True):
            found = found + (share - float(y @ found) / product) * s
        return found
