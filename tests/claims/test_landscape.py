"""Appendix H: the claims can fail, and their Hessians are Hessians."""

import pytest
import torch

from paramsym.claims import CLAIMS, Verdict, dynamics, landscape
from paramsym.claims.flow import flatten, split
from paramsym.claims.sampling import normal


def test_elsewhere_than_at_the_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landscape, "minimum", lambda Q: (1.0, 1.0))
    assert CLAIMS["eq-111"].check().verdict is Verdict.WRONG
    assert CLAIMS["eq-109"].check().verdict is Verdict.WRONG
    assert CLAIMS["h.1-flow"].check().verdict is Verdict.WRONG


def test_without_training_fewer_directions_are_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landscape, "trained", lambda theta, Y: theta)
    assert CLAIMS["h.2"].check().verdict is Verdict.WRONG


def test_the_dense_hessian_is_that_of_the_loss(rng: torch.Generator) -> None:
    theta, Y = (normal(rng, 3, 4), normal(rng, 4, 2)), normal(rng, 3, 2)

    def loss(x: torch.Tensor) -> torch.Tensor:
        U, V = split(x, theta)
        return (U @ V - Y).square().sum()

    expected = torch.func.hessian(loss)(flatten(theta))
    torch.testing.assert_close(landscape.full_hessian(theta, Y), expected)


def test_training_reaches_a_minimum(rng: torch.Generator) -> None:
    Y = normal(rng, 3, 2)
    U, V = landscape.trained((normal(rng, 3, 6, scale=0.3), normal(rng, 6, 2, scale=0.3)), Y)
    torch.testing.assert_close(U @ V, Y, rtol=0, atol=1e-13)
    values = torch.linalg.eigvalsh(landscape.full_hessian((U, V), Y))
    pairs = torch.linalg.svdvals(U)[:, None] ** 2 + torch.linalg.svdvals(V) ** 2
    expected = 2 * pairs.reshape(-1).sort().values
    torch.testing.assert_close(values[-6:], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("Q", [-1e6, -3.0, 0.0, 7.0, 1e6])
def test_the_minimum_has_its_Q(Q: float) -> None:
    U, V = landscape.minimum(Q)
    assert pytest.approx(1, rel=1e-15) == U * V
    assert pytest.approx(Q, rel=1e-14, abs=1e-14) == U * U - V * V


@pytest.mark.parametrize("name", ["identity", "relu", "sigmoid", "tanh"])
def test_the_trace_is_that_of_the_dense_hessian(name: str, rng: torch.Generator) -> None:
    sigma = dynamics.ACTIVATIONS[name]
    U, V, Y = normal(rng, 2, 3, 4), normal(rng, 2, 5, 4), normal(rng, 2, 3, 5)
    found = landscape.curvature(sigma, U, V, Y)
    for u, v, y, trace in zip(U, V, Y, found, strict=True):

        def loss(x: torch.Tensor, like=(u, v), y=y) -> torch.Tensor:
            a, b = split(x, like)
            return (a @ sigma(b.T) - y).square().sum()

        torch.testing.assert_close(trace, torch.func.hessian(loss)(flatten((u, v))).trace())
