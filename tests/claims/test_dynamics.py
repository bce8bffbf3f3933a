"""Appendices E and G: the claims can fail, and their nets do what they say."""

import math

import pytest
import torch
from torch import Tensor

from paramsym.claims import CLAIMS, Verdict, convergence, dynamics, training
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


def test_every_run_is_counted_to_its_own_goal(rng: torch.Generator) -> None:
    """A batch, against one run after the other."""
    U, V, Y = normal(rng, 6, 2, 5), normal(rng, 6, 3, 5), normal(rng, 6, 2, 3)
    V[0] = 0  # a saddle in U, from which tanh nets move slowly
    expected: list[int] = []
    for u, v, y in zip(U, V, Y, strict=True):

        def loss(u: Tensor, v: Tensor, y: Tensor = y) -> Tensor:
            return (u @ torch.tanh(v.T) - y).square().sum()

        theta, steps = (u, v), 0
        while float(loss(*theta)) > 0.05 * float(y.square().sum()):
            theta, steps = dynamics.descend(theta, gradient(loss, theta), 0.02), steps + 1
        expected.append(steps)
    assert len(set(expected)) > 3
    found = training.descend_all(torch.tanh, U, V, Y, 0.02, 0.05)
    assert found.tolist() == expected


def test_runs_that_do_not_arrive_count_in_full() -> None:
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    assert training.descend_all(torch.tanh, one.clone(), one.clone(), one, 0.0, 0.01) == 4000


def test_a_pair_has_one_sign_and_two_sizes_of_Q(
    rng: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "descend_all", lambda *_: torch.zeros(2 * training.PAIRS))
    runs = training.run_pairs(torch.tanh, rng, (3, 5, 4), 0.1, 0.1)
    Q = runs.U.square().sum((1, 2)) - runs.V.square().sum((1, 2))
    less, more = Q.view(2, -1)
    assert bool((less * more > 0).all())
    assert bool((less.abs() < more.abs()).all())
    assert {bool(x) for x in less > 0} == {True, False}


def test_the_sign_test_accepts_a_coin_as_rarely_as_it_says() -> None:
    """By the sum of binomial coefficients."""
    k = training.exceptions_allowed(training.PAIRS)
    chance = [
        sum(math.comb(training.PAIRS, i) for i in range(last + 1)) / 2**training.PAIRS
        for last in (k, k + 1)
    ]
    assert chance[0] <= training.FALSE_ALARM < chance[1]


def test_descent_is_a_step_against_the_gradient(rng: torch.Generator) -> None:
    theta = (normal(rng, 3),)
    slope = gradient(lambda x: x.square().sum(), theta)
    (moved,) = dynamics.descend(theta, slope, 0.25)
    torch.testing.assert_close(moved, theta[0] / 2)
