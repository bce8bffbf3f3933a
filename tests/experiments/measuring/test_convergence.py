"""Steps to a loss, rank correlation, curves and tables."""

import math

import pytest
import torch
from matplotlib.figure import Figure

from paramsym.experiments.figures.curves import band, curve_table, joined, number, row_table
from paramsym.experiments.measuring.convergence import rank_correlation, steps_to


def test_steps_to_a_loss_are_exact_on_a_power_law() -> None:
    # Linear in log(1 + step), so that the interpolation is exact.
    steps = torch.tensor([0, 3, 10, 50, 400])
    rates = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    loss = (1 + steps.double())[:, None] ** -rates
    expected = 0.1 ** (-1 / rates) - 1
    torch.testing.assert_close(steps_to(0.1, steps, loss), expected, rtol=1e-12, atol=0)


def test_steps_to_a_loss_at_the_ends() -> None:
    steps = torch.tensor([0, 1, 10])
    never, at_once, exactly, diverged = [3.0, 2, 1], [0.1, 0.1, 0.1], [3, 1, 0.5], [3, 2, math.nan]
    loss = torch.tensor([never, at_once, exactly, diverged], dtype=torch.float64).T
    found = steps_to(0.5, steps, loss)
    assert found.tolist() == [math.inf, 0, pytest.approx(10), math.inf]


def test_rank_correlation() -> None:
    x = torch.tensor([1.0, 2, 3, 4])
    assert rank_correlation(x, x**3) == 1
    assert rank_correlation(x, -x) == -1
    assert rank_correlation(x, torch.ones(4)) == 0
    # τ_b = (5 − 0)/√(5·6): one pair of the six is tied.
    tied = torch.tensor([1.0, 2, math.inf, math.inf])
    assert rank_correlation(x, tied) == pytest.approx(5 / math.sqrt(30))


def test_a_band_is_the_median_and_the_range() -> None:
    axis = Figure().subplots()
    steps = torch.tensor([0, 1, 2])
    values = torch.tensor([[9.0, 9, 9], [1, 2, 4], [3, math.nan, 1]])
    band(axis, steps, values, "C0", "label")
    (line,) = axis.get_lines()
    assert list(line.get_xdata()) == [1, 2]
    assert list(line.get_ydata()) == [2, 3]
    assert line.get_label() == "label"


def test_tables_have_a_row_for_each_step_and_run() -> None:
    steps = torch.tensor([0, 5])
    table = curve_table(
        steps,
        [
            ({"seed": 0}, {"loss": torch.tensor([2.0, 1.0])}),
            ({"seed": 1}, {"loss": torch.tensor([4.0, 3.0])}),
        ],
    )
    assert table == {"seed": [0, 0, 1, 1], "step": [0, 5, 0, 5], "loss": [2.0, 1.0, 4.0, 3.0]}
    assert joined([table, table])["seed"] == [0, 0, 1, 1] * 2
    assert row_table([{"a": 1, "b": 2}, {"a": 3, "b": 4}]) == {"a": [1, 3], "b": [2, 4]}


def test_numbers_for_a_legend() -> None:
    found = [number(x) for x in (-0.00114, 13.2, 2190.4, 0.0, -582)]
    assert found == ["−0.0011", "13", "2190", "0", "−582"]
