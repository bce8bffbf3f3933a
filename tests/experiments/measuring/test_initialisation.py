"""Draws at initialisation: what the tasks report is what the networks drawn have."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from paramsym.experiments.experiment import Finished, Settings
from paramsym.experiments.figures.fig4 import glorot_mean, law, layers
from paramsym.experiments.figures.fig5 import moments
from paramsym.experiments.measuring.chi_squares import ChiSquareDifference
from paramsym.experiments.measuring.initialisation import (
    ACTIVATIONS,
    SHAPES,
    blocks,
    draw,
    joined,
    source,
    tasks,
)
from paramsym.experiments.measuring.rescaling import rescale
from paramsym.laws.elementwise import elementwise
from paramsym.laws.potentials import potential

SMALL = {"seed": 3, "part": 1, "draws": 10, "width": 6}
HERE = Path()


def test_the_reported_traces_are_those_of_networks_of_these_shapes() -> None:
    """The twin builds U and V as matrices and multiplies them, one by one."""
    found = draw(SMALL, HERE)
    generator, w = source(SMALL), SMALL["width"]
    drawn = torch.cat([blocks(SMALL, generator, n) for n in (4, 4, 2)]).double()
    for d, (U1, U2, V1, V2) in enumerate(drawn):
        for i, (m, h, n) in enumerate(SHAPES):
            U = {(1, 1): U1, (1, 2): torch.cat([U1, U2], 1), (2, 1): torch.cat([U1, U2])}[m, h]
            V = V1 if h == 1 else torch.cat([V1, V2])
            assert U.shape == (m * w, h * w)
            assert V.shape == (h * w, n * w)
            for name, var in (("fan_in", lambda a, b: 1 / a), ("glorot", lambda a, b: 2 / (a + b))):
                u, v = (W * var(W.shape[1], W.shape[0]) ** 0.5 for W in (U, V))
                expected = torch.trace(u.T @ u - v @ v.T)
                size = torch.trace(u.T @ u) + torch.trace(v @ v.T)
                # The blocks' sums are float32.
                assert abs(float(found[name][d, i] - expected)) < 1e-5 * float(size)


def test_the_reported_Q_is_that_of_eq_53() -> None:
    found = draw(SMALL, HERE)
    generator, w = source(SMALL), SMALL["width"]
    drawn = torch.cat([blocks(SMALL, generator, n) for n in (4, 4, 2)]).double() / w**0.5
    eye = torch.eye(w, dtype=torch.float64)
    for d, (U, U2, V, V2) in enumerate(drawn):
        for i, name in enumerate(ACTIVATIONS):
            expected = -elementwise(V, U, eye, potential(name)).sum() / 2
            reported = found["upper"][d] - found["lower"][d, i]
            assert float(reported) == pytest.approx(float(expected), abs=1e-4)
        linear = torch.trace(U2.T @ U2 - V2 @ V2.T) / 2
        assert float(found["linear"][d]) == pytest.approx(float(linear), abs=1e-4)


def test_tasks_share_no_numbers_and_repeat() -> None:
    found = [draw({**SMALL, "seed": s, "part": p}, HERE)["upper"] for s in (0, 1) for p in (0, 1)]
    assert len(torch.cat(found).unique()) == 40
    assert torch.equal(found[3], draw({**SMALL, "seed": 1, "part": 1}, HERE)["upper"])
    planned = tasks(Settings("paper", 2, seed=5))
    assert len({task.key for task in planned}) == 4
    assert sum(task.settings["draws"] for task in planned) == 2000


def test_the_moments_of_many_small_networks_are_the_exact_ones() -> None:
    settings = {"seed": 0, "part": 0, "draws": 20_000, "width": 6}
    found = draw(settings, HERE)
    for i in range(len(SHAPES)):
        m, h, n = layers(i, 6)
        for values, mean in (
            (found["fan_in"][:, i], float(m - h)),
            (found["glorot"][:, i], glorot_mean(m, h, n)),
        ):
            error = float(values.std()) / len(values) ** 0.5
            assert abs(float(values.mean()) - mean) < 4 * error
        expected = law(m, h, n)
        assert expected.mean == pytest.approx(m - h)
        assert float(found["fan_in"][:, i].std()) == pytest.approx(expected.std, rel=0.03)
    for i, name in enumerate(ACTIVATIONS):
        values = found["upper"] - found["lower"][:, i]
        mean, std = moments(name, 6)
        assert abs(float(values.mean()) - mean) < 4 * std / len(values) ** 0.5
        # The potentials of tanh and sigmoid have heavier tails than normal ones.
        assert float(values.std()) == pytest.approx(std, rel=0.06)


def test_the_law_is_a_variance_gamma_for_equal_scales() -> None:
    """Of two χ²_2a with one scale; its density has a Bessel function."""
    from scipy.special import gamma, kv

    law = ChiSquareDifference(0.5, 100, 0.5, 100)
    q = np.array([-9.0, -2.0, 0.5, 4.0, 12.0])
    order = 50 - 0.5
    bessel = np.abs(q / 2) ** order * kv(order, np.abs(q)) / (np.sqrt(np.pi) * gamma(50))
    assert law.pdf(q) == pytest.approx(bessel, rel=1e-10)


def test_the_law_of_unequal_scales_has_its_moments_and_matches_samples() -> None:
    law = ChiSquareDifference(0.1, 300, 0.3, 80)
    q = np.linspace(law.mean - 14 * law.std, law.mean + 14 * law.std, 4001)
    step, density = q[1] - q[0], law.pdf(q)
    assert density.sum() * step == pytest.approx(1, abs=1e-9)
    assert (q * density).sum() * step == pytest.approx(law.mean, abs=1e-8)
    spread = ((q - law.mean) ** 2 * density).sum() * step
    assert spread == pytest.approx(law.std**2, rel=1e-8)
    assert np.diff(law.cdf(q)) / step == pytest.approx((density[1:] + density[:-1]) / 2, abs=1e-4)
    rng = np.random.default_rng(0)
    samples = 0.1 * rng.chisquare(300, 2000) - 0.3 * rng.chisquare(80, 2000)
    assert stats.kstest(samples, law.cdf).pvalue > 0.01
    assert stats.kstest(samples + 0.2 * law.std, law.cdf).pvalue < 0.01


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_scalings_keep_the_outputs_and_move_Q(name: str) -> None:
    found = rescale({"activation": name, "width": 12, "seed": 0}, HERE)
    middle = len(found["scales"]) // 2
    assert float(found["scales"][middle]) == pytest.approx(1)
    assert float(found["change"].max()) < 1e-10
    assert (int(found["symmetries"]) > 0) == (name == "relu")
    assert (float(found["elsewhere"].max()) < 1e-12) == (name == "relu")
    # At c = 1 it is Q of the network itself, by a sum of its own.
    generator = torch.Generator().manual_seed(0)
    V, U = (torch.randn(12, 12, generator=generator, dtype=torch.float64) / 12**0.5 for _ in "VU")
    phi = {
        "relu": lambda v: v.clamp(min=0) ** 2 / 2,
        "tanh": lambda v: v.sinh() ** 2 / 2,
        "sigmoid": lambda v: v + v.exp() - 1,
    }[name]
    expected = float((U**2).sum() / 2 - phi(V).sum())
    assert float(found["Q"][middle]) == pytest.approx(expected, rel=1e-9)
    assert float(found["Q"].max() - found["Q"].min()) > abs(expected)


def test_only_draws_are_joined() -> None:
    planned = tasks(Settings("quick", 1))
    small = [draw({**SMALL, "part": i}, HERE) for i in range(2)]
    results = [Finished(task, arrays) for task, arrays in zip(planned, small, strict=True)]
    both = joined(results)
    assert both["fan_in"].shape == (20, 3)
    assert torch.equal(both["upper"], torch.cat([small[0]["upper"], small[1]["upper"]]))
