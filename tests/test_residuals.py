"""The largest of several residuals."""

import math
from itertools import permutations

import pytest

from paramsym.residuals import largest


@pytest.mark.parametrize("order", list(permutations([0.5, math.nan, 2.0])))
def test_nothing_hides_a_nan(order: tuple[float, ...]) -> None:
    assert math.isnan(largest(*order))


def test_otherwise_it_is_the_largest() -> None:
    assert largest(0.5, 2.0, -1.0) == 2.0
    assert largest(0.5, math.inf) == math.inf
