"""What stands behind a symmetry: the ops that were not analysed, and what a check measured."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Barrier:
    """An op that was not analysed: symmetries may exist behind it that are not reported.

    Attributes:
        op: Name of the op.
        count: How often it occurs with parameters behind it.
        where: Modules it occurs in.
        reason: Why it stops the analysis.
    """

    op: str
    count: int
    where: tuple[str, ...]
    reason: str


@final
@dataclass(frozen=True)
class Verification:
    """What the numerical check of a symmetry measured, in float64.

    Attributes:
        invariance: Relative change of the outputs under a joint random element.
        derivative: Relative size of the outputs' derivative along a joint random generator.
        tolerance: The rounding bound that both were held against.
        withdrawn: Families that failed and were removed: a bug of paramsym, please report it.
        discrete: Largest relative change of an output under random words of the discrete families;
            `None` where there are none.
        discrete_tolerance: The rounding bound that it was held against.
    """

    invariance: float
    derivative: float | None
    tolerance: float
    withdrawn: tuple[str, ...] = ()
    discrete: float | None = None
    discrete_tolerance: float | None = None

    @property
    def holds(self) -> bool:
        """Whether what was measured is within the bounds."""
        pairs = (
            (self.invariance, self.tolerance),
            (self.derivative, self.tolerance),
            (self.discrete, self.discrete_tolerance),
        )
        return all(x <= bound for x, bound in pairs if x is not None and bound is not None)
