"""Residuals of several measurements in one."""

import math


def largest(*values: float) -> float:
    """The largest value; NaN if one of them is, which `max` drops or keeps as the order has it."""
    return math.nan if any(map(math.isnan, values)) else max(values)
