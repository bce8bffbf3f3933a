"""How far to go along a one-parameter subgroup: the strong Wolfe conditions, to rounding."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
import torch

from paramsym.orbit.pulling_back import Point

ARMIJO = 1e-4
"""Least decrease, as a share of what the slope promises."""
WOLFE = 0.9
"""Largest slope that is left, as a share of the slope at the start."""
TRIALS = 25
"""Most doublings of a step."""

SHRINKS = 0.9
"""Share of the gradient that is left, at most, where it decides."""

ROUNDING = 64 * torch.finfo(torch.float64).eps
"""Change of the objective, relative to its size, that may be rounding."""


def search(
    there: Callable[[float], Point], start: Point, direction: torch.Tensor, longest: float
) -> tuple[float, Point] | None:
    """A step length t along exp(t·direction), and the point there.

    Of the points tried, where no step meets both conditions, the lowest that has decreased enough.
    Where the decrease that is to be had is below rounding, the gradient decides in its place: the
    objective must not rise by more than rounding, and the gradient must shrink.

    Args:
        there: The point at t.
        start: The point at 0.
        direction: A vector of the algebra along which the objective decreases.
        longest: Largest t.

    Returns:
        `None` if no step is an improvement.
    """
    slope = float(start.gradient @ direction)
    tried: dict[float, Point] = {0.0: start}

    def point(t: float) -> Point:
        if t not in tried:
            tried[t] = there(t)
        return tried[t]

    def slope_at(t: float) -> float:
        return float(point(t).gradient @ direction)

    found = _wolfe(lambda t: point(t).value, slope_at, start.value, slope, longest)
    if found is not None:
        return found, point(found)
    lower = {
        t: p for t, p in tried.items() if t > 0 and p.value <= start.value + ARMIJO * t * slope
    }
    if lower:
        best = min(lower, key=lambda t: lower[t].value)
        return best, lower[best]
    full = min(1.0, longest)
    end, size = point(full), ROUNDING * abs(start.value)
    shrinks = float(end.gradient.norm()) < SHRINKS * float(start.gradient.norm())
    if -slope * full <= 4 * size and end.value <= start.value + size and shrinks:
        return full, end
    return None


def _wolfe(
    value: Callable[[float], float],
    slope: Callable[[float], float],
    at_start: float,
    slope_at_start: float,
    longest: float,
) -> float | None:
    """SciPy's search, on the line."""
    search: Any = scipy.optimize.line_search
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # that it failed is seen from what it returns
        found = search(
            lambda x: value(float(x[0])),
            lambda x: np.array([slope(float(x[0]))]),
            np.zeros(1),
            np.ones(1),
            gfk=np.array([slope_at_start]),
            old_fval=at_start,
            c1=ARMIJO,
            c2=WOLFE,
            amax=longest,
            maxiter=TRIALS,
        )[0]
    return None if found is None or not found > 0 else float(found)
