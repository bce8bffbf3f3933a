"""Confidence intervals over independent repetitions."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from torch import Tensor

Interval = tuple[float, float]
"""The two ends."""

RESAMPLES = 1000


def mean_interval(values: Tensor | Sequence[float], level: float = 0.95) -> tuple[float, Interval]:
    """The mean, and its confidence interval by Student's t.

    The interval is exact for normal values, and in the limit of many of any distribution with a
    variance. One value alone says nothing of its spread: its interval is the whole line.

    Args:
        values: One number a repetition.
        level: Probability that the interval holds the true mean.

    Returns:
        The mean and the ends of the interval.

    Raises:
        ValueError: If there are no values, or one is not finite, or `level` is not between 0 and 1.
    """
    x = _checked(values, level)
    mean = float(x.mean())
    if len(x) < 2:
        return mean, (-math.inf, math.inf)
    half = float(stats.t.ppf((1 + level) / 2, len(x) - 1)) * float(x.std(ddof=1)) / len(x) ** 0.5
    return mean, (mean - half, mean + half)


def bootstrap_interval(
    values: Tensor | Sequence[float],
    statistic: Callable[..., np.ndarray],
    level: float = 0.95,
    *,
    seed: int = 0,
) -> tuple[float, Interval]:
    """Any statistic of a sample, and its percentile bootstrap interval.

    Args:
        values: At least two numbers, independent draws of one distribution.
        statistic: A function of an array and the keyword `axis`, as `scipy.stats.skew`.
        level: Probability aimed at; it is reached in the limit of many values.
        seed: Of the resampling.

    Returns:
        The statistic of the values and the ends of the interval.

    Raises:
        ValueError: As `mean_interval`; also if there is only one value.
    """
    x = _checked(values, level)
    if len(x) < 2:
        raise ValueError("`values` must be at least two to resample; got one.")
    found = stats.bootstrap(
        (x,),
        statistic,
        confidence_level=level,
        n_resamples=RESAMPLES,
        batch=100,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(statistic(x, axis=0)), (float(found.low), float(found.high))


def within(interval: Interval, low: float = -math.inf, high: float = math.inf) -> bool | None:
    """Whether the true value lies between two numbers, as far as its interval tells.

    Returns:
        `True` if all of the interval does, `False` if none of it does, `None` if it is undecided,
        as always from one repetition alone.
    """
    if low <= interval[0] and interval[1] <= high:
        return True
    return False if interval[1] < low or interval[0] > high else None


def above_zero(interval: Interval, least: float = 0.0) -> bool | None:
    """Whether the true value is above 0, as far as its interval tells.

    Args:
        interval: Of the value.
        least: The least value that would matter.

    Returns:
        `True` if all of the interval is above 0, `False` if none of it is above `least`, else
        `None`.
    """
    if interval[0] > 0:
        return True
    return False if interval[1] <= least else None


def excludes_zero(interval: Interval) -> bool | None:
    """`True` if an interval lies on one side of 0, and `None`, undecided, if it does not.

    That a value is 0 exactly no interval can show.
    """
    return True if interval[0] > 0 or interval[1] < 0 else None


def each_of(count: int, level: float = 0.95) -> float:
    """The level at which `count` intervals all hold together at `level` or more (Bonferroni).

    The intervals may depend on one another.

    Raises:
        ValueError: If `count` is not positive or `level` not between 0 and 1.
    """
    if count < 1:
        raise ValueError(f"`count` must be at least 1; got {count}.")
    _require_level(level)
    return 1 - (1 - level) / count


def _checked(values: Tensor | Sequence[float], level: float) -> np.ndarray:
    _require_level(level)
    x = np.asarray(values, dtype=np.float64).reshape(-1)
    if len(x) == 0:
        raise ValueError("`values` must hold at least one number; got none.")
    if not np.isfinite(x).all():
        raise ValueError(f"`values` must be finite; got {x[~np.isfinite(x)][0]}.")
    return x


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1, as 0.95; got {level}.")
