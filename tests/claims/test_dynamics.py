"""Appendices E and G: the claims can fail, and their nets do what they say."""

import math

import pytest
import torch
from torch import Tensor

from paramsym.claims import CLAIMS, Verdict, convergence, dynamics
from paramsym.claims.flow import gradient
from paramsym.claims.sampling import normal


def total(theta: tuple[Tensor, ...]) -> float:
    """‖U‖² + ‖V‖², which is not conserved."""
    return sum(float(p.square().sum()) for p in theta)


@pytest.mark.parametrize("id", ["prop-e.1", "eq-43"])
def test_the_sum_of_squares_drifts_at_first_order(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamics, "imbalance", total)
    assert CLAIMS[id].check().verdict is Verdict.WRONG


def test_another_potential_drifts_at_first_order(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dynamics.potential("exp")
    monkeypatch.setattr(dynamics, "potential", lambda _: wrong)
    assert CLAIMS["e.2"].check().verdict is Verdict.WRONG


def test_another_profile_has_another_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convergence, "INVERSE", lambda r: r**-3)
    assert CLAIMS["prop-g.2"].check().verdict is Verdict.WRONG


def test_another_integral_is_no_law(monkeypatch: pytest.MonkeyPatch) -> None:
    (profile, _), *rest = convergence.PROFILES
    monkeypatch.setattr(convergence, "PROFILES", ((profile, lambda r: r.square() / 2), *rest))
    assert CLAIMS["prop-g.1"].check().verdict is Verdict.WRONG


def test_a_spectral_start_makes_the_product_diagonal(rng: torch.Generator) -> None:
    net, (U, V), sigma = convergence.spectral_start(rng)
    left, _, right = torch.linalg.svd(net.Y)
    product = left.T @ U @ net.g(V.T) @ right.T
    torch.testing.assert_close(product, product.diagonal().diag(), rtol=0, atol=1e-13)
    torch.testing.assert_close(left.T @ net.Y @ right.T, sigma.diag(), rtol=0, atol=1e-13)


def test_the_ellipse_is_the_flow_of_its_loss() -> None:
    w2 = torch.tensor(0.4, dtype=torch.float64)
    a, start, t = 2.0, 2.0, 0.3
    w1 = math.sqrt(start - a * 0.16) * math.exp(-2 * t)
    expected = w1**2 + a * (0.4 * math.exp(-2 * a * t)) ** 2
    assert float(convergence.loss_on_ellipse(w2, a, start, t)) == pytest.approx(expected)


def test_steps_are_counted_to_the_goal() -> None:
    start = (torch.ones((), dtype=torch.float64),)
    # Every step takes θ² to θ²/4.
    assert convergence.steps_to(lambda x: x.square(), start, 0.25, 0.26) == 1
    assert convergence.steps_to(lambda x: x.square(), start, 0.25, 0.06) == 3
    assert convergence.steps_to(lambda x: x.square(), start, 0.0, 0.5) == 3000


def test_descent_is_a_step_against_the_gradient(rng: torch.Generator) -> None:
    theta = (normal(rng, 3),)
    slope = gradient(lambda x: x.square().sum(), theta)
    (moved,) = dynamics.descend(theta, slope, 0.25)
    torch.testing.assert_close(moved, theta[0] / 2)
