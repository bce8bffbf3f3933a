"""Intervals hold the truth as often as they say, and shrink as they should."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from paramsym.experiments.measuring.intervals import (
    above_zero,
    bootstrap_interval,
    each_of,
    excludes_zero,
    mean_interval,
    within,
)


def test_the_interval_is_students() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    mean, interval = mean_interval(values, 0.9)
    by_scipy = stats.t.interval(0.9, 4, loc=np.mean(values), scale=stats.sem(values))
    assert mean == pytest.approx(6.2)
    assert interval == pytest.approx(by_scipy)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_interval_covers_the_mean_at_its_level(level: float) -> None:
    draws = np.random.default_rng(0).normal(3, 2, (2000, 4))
    hits = sum(low <= 3 <= high for _, (low, high) in (mean_interval(d, level) for d in draws))
    spread = math.sqrt(level * (1 - level) / len(draws))
    assert abs(hits / len(draws) - level) < 4 * spread


def test_one_value_says_nothing_of_its_spread() -> None:
    assert mean_interval([5.0]) == (5.0, (-math.inf, math.inf))

    assert within(mean_interval([5.0])[1], high=10.0) is None


def test_an_interval_lies_within_or_not() -> None:
    assert within((1.0, 2.0), low=0.5) is True
    assert within((1.0, 2.0), low=1.5) is None
    assert within((1.0, 2.0), high=1.5) is None
    assert within((1.0, 2.0), low=2.5) is False
    assert within((1.0, 2.0), high=0.5) is False
    assert within((-3.0, 2.0), high=2.0) is True


def test_tensors_are_taken() -> None:
    assert mean_interval(torch.tensor([[1.0, 3.0]]))[0] == 2
    assert mean_interval([2.0, 2.0])[1] == (2.0, 2.0)


def test_the_bootstrap_agrees_with_student_on_a_mean() -> None:
    values = np.random.default_rng(1).normal(0, 1, 400)
    mean, (low, high) = bootstrap_interval(values, np.mean)
    expected = mean_interval(values)
    assert mean == pytest.approx(expected[0])
    width = expected[1][1] - expected[1][0]
    assert high - low == pytest.approx(width, rel=0.15)
    assert (low + high) / 2 == pytest.approx(mean, abs=0.15 * width)
    assert bootstrap_interval(values, np.mean) == (mean, (low, high))


def test_the_level_of_each_is_bonferronis() -> None:
    assert each_of(1) == pytest.approx(0.95)
    assert each_of(5) == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), "at least one"),
        (lambda: mean_interval([1.0, math.nan]), "must be finite; got nan"),
        (lambda: mean_interval([1.0, 2.0], 1.0), "`level` must be between 0 and 1"),
        (lambda: bootstrap_interval([1.0], np.mean), "at least two"),
        (lambda: each_of(0), "`count` must be at least 1; got 0"),
        (lambda: each_of(2, 95), "as 0.95; got 95"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_an_interval_on_one_side_of_zero() -> None:
    assert excludes_zero((0.1, 2))
    assert excludes_zero((-2, -0.1))
    assert excludes_zero((-0.1, 0.1)) is None
    assert excludes_zero((-math.inf, math.inf)) is None
    assert above_zero((0.1, 2))
    assert above_zero((0.0, 2)) is None
    assert above_zero((-0.1, 0.01), 0.02) is False
    assert above_zero((-2, -0.1)) is False
    assert above_zero((-math.inf, math.inf)) is None
