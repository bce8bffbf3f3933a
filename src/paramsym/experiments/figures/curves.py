"""Curves over training steps: how they are drawn, and how they are written as a table."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from paramsym.experiments.experiment import Table


def band(
    axis: Axes,
    steps: Tensor,
    values: Tensor,
    color: str,
    label: str | None = None,
    *,
    share: float = 1.0,
) -> None:
    """Draw the median over seeds, and the band that holds a share of them.

    Args:
        axis: Where; its horizontal axis is logarithmic, so that the first step, 0, is left out.
        steps: Recorded steps, `[T]`, the first of which is 0.
        values: `[T, seeds]`; what is not finite counts as infinite.
        color: Of both.
        label: For a legend.
        share: 1 for the whole range, 0.5 for the middle half.
    """
    x, y = steps[1:], values[1:].nan_to_num(nan=torch.inf, posinf=torch.inf)
    ends = torch.tensor([(1 - share) / 2, (1 + share) / 2], dtype=y.dtype)
    # Without interpolation, which would subtract infinities.
    low, high = torch.quantile(y, ends, dim=1, interpolation="nearest")
    axis.fill_between(x, low, high, color=color, alpha=0.18, lw=0)
    axis.plot(x, y.median(1).values, color=color, label=label)


def curve_table(
    steps: Tensor, rows: Iterable[tuple[Mapping[str, Any], Mapping[str, Tensor]]]
) -> Table:
    """A row for each recorded step of each run.

    Args:
        steps: Recorded steps, `[T]`.
        rows: For each run what stays the same, and its curves, `[T]` each.
    """
    columns: dict[str, list[Any]] = {}
    for same, curves in rows:
        for name, value in same.items():
            columns.setdefault(name, []).extend([value] * len(steps))
        columns.setdefault("step", []).extend(steps.tolist())
        for name, values in curves.items():
            columns.setdefault(name, []).extend(values.tolist())
    return columns


def row_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """A table from its rows."""
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def joined(tables: Iterable[Table]) -> Table:
    """Tables with the same columns, one below the other."""
    columns: dict[str, list[Any]] = {}
    for table in tables:
        for name, values in table.items():
            columns.setdefault(name, []).extend(values)
    return columns


def number(value: float) -> str:
    """A number for a legend: two digits, `−0.0011`, `13`, `2200`."""
    digits = f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
    return digits.replace("-", "−")
