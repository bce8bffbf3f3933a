"""What Figures 4 and 5 conclude, from draws that agree with the paper and others that do not."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from paramsym.experiments.experiment import Finished, Settings, Summary, Task
from paramsym.experiments.figures.fig4 import FIG4, centre, distribution, printed, xavier
from paramsym.experiments.figures.fig5 import (
    FIG5,
    concentrated,
    critical_distance,
    largest_gap,
    moments,
    shape,
    small_part,
    standardised,
)
from paramsym.experiments.measuring.initialisation import draw
from paramsym.experiments.measuring.rescaling import rescale


def _normal(mean: float, std: float, seed: int = 0, count: int = 1000) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(mean, std, count))


def test_a_right_centre_holds_and_a_shifted_one_does_not() -> None:
    spread = 5**0.5
    right = centre(_normal(-100, spread), 100, 200, 100)
    assert right.holds is True
    assert right.interval is not None
    assert right.interval[0] < -100 < right.interval[1]
    assert centre(_normal(-99.6, spread), 100, 200, 100).holds is False
    assert centre(_normal(-50, spread), 100, 200, 100).holds is False


def test_the_printed_mean_is_told_from_the_corrected_one() -> None:
    assert printed(_normal(-100, 2), 100, 200, 100).holds is False
    assert printed(_normal(-200, 2), 100, 200, 100).holds is True


def test_the_law_is_told_from_a_wider_or_shifted_one() -> None:
    assert distribution(_normal(0, 2), 100, 100, 100).holds is True
    assert distribution(_normal(0, 2 * 2**0.5), 100, 100, 100).holds is False
    assert distribution(_normal(0.4, 2), 100, 100, 100).holds is False


def test_glorot_is_told_from_fan_in() -> None:
    assert xavier(_normal(0, 2), 100, 200, 100).holds is False
    assert xavier(_normal(-100, 2), 100, 200, 100).holds is True


def test_a_skewed_or_heavy_tailed_shape_is_not_similar() -> None:
    linear = _normal(0, 1)
    assert shape("relu", _normal(25, 0.9, seed=1), linear).holds is True
    rng = np.random.default_rng(2)
    assert shape("relu", torch.from_numpy(rng.exponential(1, 1000)), linear).holds is False
    assert shape("relu", torch.from_numpy(rng.standard_t(2, 1000)), linear).holds is False


def test_the_critical_distance_rejects_as_often_as_it_says() -> None:
    bound = critical_distance(200, 200, 0.9)
    assert bound < critical_distance(200, 200, 0.99)
    # Kolmogorov and Smirnov's own, for samples that are not standardised, is 1.22 √(2/200).
    assert 0.6 * 0.122 < bound < 0.122
    rng = np.random.default_rng(5)
    gaps = [
        largest_gap(*(standardised(rng.normal(3, 2, 200)) for _ in range(2))) for _ in range(500)
    ]
    kept = float(np.mean(np.array(gaps) <= bound))
    assert abs(kept - 0.9) < 4 * (0.9 * 0.1 / 500) ** 0.5 + 0.01


def test_a_range_is_concentrated_or_not() -> None:
    upper = _normal(50, 0.7)
    assert concentrated("relu", upper, _normal(25, 0.6, seed=1)).holds is True
    wide = concentrated("sigmoid", upper, _normal(50, 20, seed=1))
    assert wide.holds is False
    assert wide.value == pytest.approx(4 * 1.96 * 20 / 2 / 100, rel=0.1)


def _move(Q: Sequence[float], change: float, symmetries: int) -> Finished:
    arrays = {
        "scales": torch.tensor([0.5, 1.0, 2.0]),
        "Q": torch.tensor(Q),
        "change": torch.tensor([change, 0.0, change]),
        "elsewhere": torch.tensor([0.1, 0.0, 0.1]),
        "symmetries": torch.tensor(symmetries),
    }
    return Finished(Task("scalings", rescale, {"activation": "relu"}), arrays)


def test_the_part_of_the_minimum_is_small_only_if_Q_leaves_the_range_at_the_same_outputs() -> None:
    draws = _normal(0, 1)
    assert small_part("relu", draws, _move([9.0, 0.0, -9.0], 1e-15, 4)).holds is True
    assert small_part("relu", draws, _move([9.0, 0.0, -1.0], 1e-15, 4)).holds is False
    assert small_part("relu", draws, _move([9.0, 0.0, -9.0], 1e-3, 4)).holds is None
    by_data = small_part("tanh", draws, _move([9.0, 0.0, -9.0], 1e-15, 0))
    assert "not available" in by_data.note
    assert "data-dependent" in by_data.measured


def test_the_moments_are_those_of_quadrature() -> None:
    """The closed forms beside Gauss–Hermite quadrature; ReLU by its half of the line."""
    x, w = np.polynomial.hermite_e.hermegauss(80)
    v, w = x / 10, w / np.sqrt(2 * np.pi)
    for name, phi in {
        "tanh": np.sinh(v) ** 2 / 2,
        "sigmoid": v + np.exp(v) - 1,
    }.items():
        first, second = (w * phi).sum(), (w * phi**2).sum()
        mean, std = moments(name)
        assert mean == pytest.approx(50 - 1e4 * first, abs=1e-9)
        assert std == pytest.approx((0.5 + 1e4 * (second - first**2)) ** 0.5, rel=1e-9)
    even = (w * v**2 / 4).sum(), (w * v**4 / 8).sum()
    assert moments("relu")[0] == pytest.approx(50 - 1e4 * even[0])
    assert moments("relu")[1] == pytest.approx((0.5 + 1e4 * (even[1] - even[0] ** 2)) ** 0.5)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Finished]:
    """Both figures' tasks at their own width, with fewer draws."""
    folder = tmp_path_factory.mktemp("tasks")
    found: list[Finished] = []
    for task in FIG5.tasks(Settings("quick", 1)):
        settings = dict(task.settings)
        if task.compute is draw:
            settings["draws"] = 100
        else:
            settings["width"] = 10
        found.append(Finished(task, task.compute(settings, folder)))
    return found


def test_the_figures_have_their_draws_in_common() -> None:
    settings = Settings("paper", 1)
    keys = {task.key for task in FIG5.tasks(settings)}
    assert {task.key for task in FIG4.tasks(settings)} < keys


@pytest.mark.parametrize("figure", [FIG4, FIG5], ids=lambda figure: figure.name)
def test_a_figure_is_drawn_and_judged(figure, results: list[Finished], tmp_path) -> None:
    names = {task.key for task in figure.tasks(Settings("quick", 1))}
    summary: Summary = figure.summarize(
        Settings("quick", 1), [r for r in results if r.task.key in names]
    )
    assert len(summary.findings) == {"fig4": 10, "fig5": 9}[figure.name]
    for table in summary.tables.values():
        assert len({len(column) for column in table.values()}) == 1
    drawing = summary.drawings["figure"].figure
    assert isinstance(drawing, Figure)
    for ending in ("png", "svg", "pdf"):
        drawing.savefig(tmp_path / f"figure.{ending}")
        assert (tmp_path / f"figure.{ending}").stat().st_size > 5000
    shown = [axis for axis in drawing.axes if axis.patches]
    counts = [sum(p.get_height() * p.get_width() for p in a.patches[:48]) for a in shown[:3]]
    # Histograms are densities: nearly all draws are inside the axes.
    assert all(0.95 < count < 1.001 for count in counts)
