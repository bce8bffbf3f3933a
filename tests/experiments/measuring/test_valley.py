"""Figures 1 and 8: the valley, its flows, and what is concluded from them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from paramsym.experiments.experiment import Finished, Settings
from paramsym.experiments.figures import fig1, fig8
from paramsym.experiments.figures.valley_surface import surface
from paramsym.experiments.measuring.valley import (
    U,
    V,
    Valley,
    act,
    conserved,
    drift,
    flow,
    joined,
    missed,
    split,
    starts_on,
)

VALLEYS = [fig1.VALLEY, fig8.VALLEY, Valley(Y=1.5, X=2.0, a=0.5)]
SETTINGS = {"time": 20.0, "points": 61, "seed": 1, "count": 6, "spread": 1.5}
HERE = Path()


def _flow(valley: Valley, **more: object) -> dict[str, Tensor]:
    return flow({"Y": valley.Y, "X": valley.X, "a": valley.a, **SETTINGS, **more}, HERE)


@pytest.fixture(scope="module", params=VALLEYS, ids=["fig1", "fig8", "other"])
def case(request: pytest.FixtureRequest) -> tuple[Valley, dict[str, Tensor]]:
    return request.param, _flow(request.param)


def test_the_gradient_and_the_sharpness_are_those_of_the_loss(rng: torch.Generator) -> None:
    for valley in VALLEYS:
        point = {k: torch.randn(5, generator=rng, dtype=torch.float64) for k in (U, V)}
        by_autograd = torch.func.grad(valley.loss)(point)
        for name, slope in valley.gradient(point).items():
            assert torch.allclose(slope, by_autograd[name], rtol=1e-12, atol=1e-12)
        Q = torch.tensor([-7.0, -0.3, 0.0, 2.0], dtype=torch.float64)
        up, v = valley.at(Q, torch.full_like(Q, valley.product))
        assert torch.allclose(up * v, torch.full_like(Q, valley.product), rtol=1e-14)
        assert torch.allclose(up**2 - v**2, Q, atol=1e-13)
        measured = torch.stack(
            [valley.largest_eigenvalue(a, b) for a, b in zip(up, v, strict=True)]
        )
        assert torch.allclose(measured, valley.sharpness(Q), rtol=1e-12)


def test_points_of_other_products(rng: torch.Generator) -> None:
    Q = 3 * torch.randn(50, generator=rng, dtype=torch.float64)
    product = torch.randn(50, generator=rng, dtype=torch.float64)
    up, v = fig1.VALLEY.at(Q, product)
    assert bool((up > 0).all())
    assert torch.allclose(up * v, product, atol=1e-14)
    assert torch.allclose(up**2 - v**2, Q, atol=1e-13)
    assert starts_on(fig1.VALLEY, (0.0,), (-1.0,)) == []
    starts = np.array(starts_on(fig1.VALLEY, (3.0,), (2.0,)))
    assert starts == pytest.approx(np.array([[2, 1], [-2, -1]]))


def test_the_flow_is_that_of_another_integrator(case: tuple[Valley, dict[str, Tensor]]) -> None:
    """The twin follows one start at a time, by another method, with its own formulas."""
    valley, found = case
    for i in range(3):

        def velocity(_: float, p: np.ndarray) -> list[float]:
            e = 2 * valley.a * valley.X * (valley.Y - p[0] * p[1] * valley.X)
            return [e * p[1], e * p[0]]

        start = [float(found["U"][i, 0]), float(found["V"][i, 0])]
        twin = solve_ivp(
            velocity, (0, 20), start, "LSODA", found["times"].numpy(), rtol=1e-10, atol=1e-12
        )
        assert found["U"][i].numpy() == pytest.approx(twin.y[0], abs=1e-7)
        assert found["V"][i].numpy() == pytest.approx(twin.y[1], abs=1e-7)


def test_the_engine_has_the_same_Q_and_the_same_action(rng: torch.Generator) -> None:
    up, v = torch.randn(2, 3, 4, generator=rng, dtype=torch.float64)
    assert torch.allclose(conserved(up, v), up**2 - v**2)
    g = torch.rand(12, generator=rng, dtype=torch.float64) + 0.5
    moved = act(g, up.flatten(), v.flatten())
    assert torch.allclose(moved[0], up.flatten() / g)
    assert torch.allclose(moved[1], v.flatten() * g)


def test_what_is_claimed_holds_for_real_flows(case: tuple[Valley, dict[str, Tensor]]) -> None:
    valley, found = case
    balanced = _flow(valley, starts=[[0.3, 0.3]])
    every = {k: torch.cat([found[k], balanced[k]]) for k in found if k != "times"}
    assert fig1.constant(found).holds is True
    assert fig1.related(valley, every).holds is True
    assert fig1.parametrise(valley, found).holds is True
    assert fig1.least_sharp(valley, every).holds is True
    seeds = [found, _flow(valley, seed=2)]
    assert fig8.different(valley, seeds).holds is True
    assert fig8.predicted(valley, seeds).holds is True
    assert fig8.constant(seeds).holds is True
    assert fig8.slope(valley, found) == pytest.approx(1, abs=1e-8)


def test_a_flow_that_loses_Q_is_noticed() -> None:
    """Friction of Q, as gradient descent with long steps has it."""
    valley = fig8.VALLEY
    found = _flow(valley)
    decayed = found["Q"] * torch.linspace(1, 0.2, found["Q"].shape[1], dtype=torch.float64)
    side = found["U"][:, -1:].sign()
    up, v = valley.at(decayed, (found["U"] * found["V"]).abs().clamp(min=1e-6))
    faulty = {**found, "U": side * up, "V": side * v, "Q": decayed}
    assert fig1.constant(faulty).holds is False
    assert fig1.parametrise(valley, faulty).holds is False
    assert fig8.predicted(valley, [faulty, faulty]).holds is False
    assert fig8.constant([faulty, faulty]).holds is False
    assert fig8.slope(valley, faulty) < 0.6


def test_ends_off_the_minimum_are_not_related() -> None:
    found = _flow(fig1.VALLEY)
    ends = found["U"].clone()
    ends[0, -1] *= 1.001
    assert fig1.related(fig1.VALLEY, {**found, "U": ends}).holds is False


def test_ends_at_one_point_are_noticed() -> None:
    found = _flow(fig8.VALLEY)
    root = math.sqrt(fig8.VALLEY.product)
    same = torch.full_like(found["U"], root)
    faulty = {**found, "U": same, "V": same}
    assert fig8.different(fig8.VALLEY, [faulty, faulty]).holds is False


def test_ends_in_another_order_are_noticed() -> None:
    found = _flow(fig1.VALLEY, starts=[[0.5, 0.4], [1.5, 0.2], [0.2, 2.0]])
    swapped = {**found, "U": found["U"].flip(0), "V": found["V"].flip(0)}
    assert fig1.parametrise(fig1.VALLEY, swapped).holds is False


def test_a_less_sharp_point_than_that_of_no_Q_is_noticed() -> None:
    found = _flow(fig1.VALLEY, starts=[[0.3, 0.3], [1.5, 0.2]])
    less = found["sharpness"].clone()
    less[1] = 0.9 * less[0]
    assert fig1.least_sharp(fig1.VALLEY, found).holds is True
    assert fig1.least_sharp(fig1.VALLEY, {**found, "sharpness": less}).holds is False
    others = {k: x[1:] for k, x in found.items() if k != "times"}
    assert fig1.least_sharp(fig1.VALLEY, others).holds is None


def test_the_printed_eigenvalue_is_judged_by_what_is_measured() -> None:
    found = _flow(fig1.VALLEY)
    assert fig1.eigenvalue(fig1.VALLEY, found).holds is False
    assert fig1.eigenvalue(fig1.VALLEY, found).value == pytest.approx(0.5)
    doubled = {**found, "sharpness": 2 * found["sharpness"]}
    assert fig1.eigenvalue(fig1.VALLEY, doubled).holds is True


def test_one_seed_decides_nothing_over_seeds() -> None:
    found = _flow(fig8.VALLEY)
    assert fig8.different(fig8.VALLEY, [found]).holds is None


def test_the_surface_is_the_loss() -> None:
    for valley in VALLEYS:
        up, v, loss = surface(valley, 11, 9)
        assert np.isfinite(up).all()
        assert loss == pytest.approx(valley.a * (valley.Y - up * v * valley.X) ** 2, abs=1e-12)
        assert loss.min() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("figure", [fig1.FIG1, fig8.FIG8], ids=lambda figure: figure.name)
def test_the_figure_is_drawn_and_judged(figure, tmp_path: Path) -> None:
    settings = Settings("quick", 2)
    results = [Finished(t, t.compute(t.settings, tmp_path)) for t in figure.tasks(settings)]
    _, random = split(results)
    assert len(random) == 2
    assert not torch.equal(random[0]["U"], random[1]["U"])
    assert float(drift(joined(random)).max()) < 1e-10
    valley = {"fig1": fig1.VALLEY, "fig8": fig8.VALLEY}[figure.name]
    assert float(missed(valley, joined(results)).max()) < 1e-9
    summary = figure.summarize(settings, results)
    wrong = [finding.claim for finding in summary.findings if finding.holds is not True]
    assert len(wrong) == {"fig1": 1, "fig8": 0}[figure.name]
    for table in summary.tables.values():
        assert len({len(column) for column in table.values()}) == 1
    for ending in ("png", "svg", "pdf"):
        summary.drawings["figure"].figure.savefig(tmp_path / f"figure.{ending}")
        assert (tmp_path / f"figure.{ending}").stat().st_size > 10_000
    if figure is fig1.FIG1:
        assert summary.interactive is not None
        turned = json.loads(summary.interactive)
        kinds = [trace["type"] for trace in turned["data"]]
        assert kinds.count("surface") == 1
        assert kinds.count("scatter3d") > 3
        assert len(summary.interactive) < 200_000
