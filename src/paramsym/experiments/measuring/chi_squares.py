"""The law of Tr[UᵀU − VVᵀ] for normal entries: a difference of scaled χ² variables."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import stats

_REACH = 12.0
"""Standard deviations beyond which a χ² variable of many degrees of freedom has no mass."""


@final
@dataclass(frozen=True)
class ChiSquareDifference:
    """a·χ²_k − b·χ²_l, of independent variables.

    The density is the integral of the product of two gamma densities. The trapezoidal rule gives it
    to rounding where both have many degrees of freedom, 20 or more, and so vanish smoothly at 0.

    Attributes:
        a: Scale of the first, as the variance of the entries of U.
        k: Its degrees of freedom, the number of entries.
        b: Scale of the second.
        l: Its degrees of freedom.
    """

    a: float
    k: int
    b: float
    l: int  # noqa: E741

    @property
    def mean(self) -> float:
        return self.a * self.k - self.b * self.l

    @property
    def std(self) -> float:
        return float(np.sqrt(2 * (self.a**2 * self.k + self.b**2 * self.l)))

    def pdf(self, q: np.ndarray) -> np.ndarray:
        """Density at each entry."""
        return self._over_second(q, stats.gamma.pdf)

    def cdf(self, q: np.ndarray) -> np.ndarray:
        """Distribution function at each entry."""
        return self._over_second(q, stats.gamma.cdf)

    def _over_second(self, q: np.ndarray, function: Callable[..., np.ndarray]) -> np.ndarray:
        """The mean over B = b·χ²_l of that function of a·χ²_k at q + B."""
        centre, spread = self.b * self.l, self.b * np.sqrt(2 * self.l)
        low = max(0.0, centre - _REACH * spread)
        t = np.linspace(low, centre + 1.5 * _REACH * spread, 801)
        weights = stats.gamma.pdf(t, self.l / 2, scale=2 * self.b) * (t[1] - t[0])
        at = np.asarray(q)[..., None] + t
        return function(at, self.k / 2, scale=2 * self.a) @ weights
