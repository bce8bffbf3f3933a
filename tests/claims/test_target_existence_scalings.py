"""Reaching a target Q by positive scalings: docs/derivations.md §17, measured."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from paramsym.claims.sampling import normal, rounding, size

F64 = torch.float64


def balance(s: float, a: float, b: float, alpha: float) -> float:
    """Q of a neuron whose writers are scaled by √s."""
    return a * s - alpha * b * s**-alpha


def closed_form(q: float, a: float, b: float) -> float:
    """The s of degree 1."""
    root = math.hypot(q, 2 * math.sqrt(a) * math.sqrt(b))
    return (root + q) / (2 * a) if q >= 0 else 2 * b / (root - q)


def test_degree_one_is_solved_to_rounding() -> None:
    for log_a, log_b, q in itertools.product(
        (-20, -3, 0, 20), (-20, 0, 7, 20), (-1e9, -2.5, -1e-9, 0.0, 1e-9, 3.0, 1e9)
    ):
        a, b = math.exp(log_a), math.exp(log_b)
        s = closed_form(q, a, b)
        # The terms a·s and b/s round, and s itself by a few units.
        assert abs(balance(s, a, b, 1) - q) <= rounding(16) * (a * s + b / s)


def test_the_textbook_root_is_not() -> None:
    """What the two branches are for."""
    q, a, b = -1e9, 1.0, 1.0
    s = (q + math.hypot(q, 2 * math.sqrt(a * b))) / (2 * a)
    assert abs(s - closed_form(q, a, b)) > 0.1 * closed_form(q, a, b)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.7])
def test_the_bracket_holds_one_root_within_a_factor_of_two(
    alpha: float, rng: torch.Generator
) -> None:
    for _ in range(50):
        a, b, q = (float(x) for x in normal(rng, 3, scale=2.0))
        a, b = math.exp(a), math.exp(b)
        s0 = (alpha * b / a) ** (1 / (1 + alpha))
        if q >= 0:
            low, high = max(s0, q / a), s0 + q / a
            assert high <= 2 * low
        else:
            w0, w = s0**-alpha, -q / (alpha * b)
            low, high = (w0 + w) ** (-1 / alpha), max(w0, w) ** (-1 / alpha)
            assert low**-alpha <= 2 * high**-alpha * (1 + rounding(64 * alpha))
        slack = rounding(64) * (abs(q) + a * high + alpha * b * low**-alpha)
        assert balance(low, a, b, alpha) <= q + slack
        assert balance(high, a, b, alpha) >= q - slack


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_neurons_without_writers_or_readers(alpha: float) -> None:
    for q in (0.1, 2.0):
        assert balance(q / 3, 3, 0, alpha) == pytest.approx(q)
        s = (alpha * 3 / q) ** (1 / alpha)
        assert balance(s, 0, 3, alpha) == pytest.approx(-q)


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_scales_of_a_deep_net_are_convex(alpha: float, rng: torch.Generator) -> None:
    """½Σ w² e^{2(u_j − α u_k)}: its gradient is Q, its Hessian positive definite."""
    widths = (3, 4, 4, 2)
    weights = [normal(rng, m, n) for n, m in itertools.pairwise(widths)]

    def half(u: Tensor) -> Tensor:
        parts = [torch.zeros(3, dtype=F64), *u.split([4, 4]), torch.zeros(2, dtype=F64)]
        return sum(
            (
                (W * (after[:, None] - alpha * before).exp()).square().sum() / 2
                for W, before, after in zip(weights, parts[:-1], parts[1:], strict=True)
            ),
            torch.zeros((), dtype=F64),
        )

    u = normal(rng, 8)
    parts = [torch.zeros(3, dtype=F64), *u.split([4, 4]), torch.zeros(2, dtype=F64)]
    there = [
        W * (after[:, None] - alpha * before).exp()
        for W, before, after in zip(weights, parts[:-1], parts[1:], strict=True)
    ]
    Q = torch.cat(
        [W.square().sum(1) - alpha * V.square().sum(0) for W, V in itertools.pairwise(there)]
    )
    gradient = torch.func.grad(half)(u)
    assert size(gradient - Q) <= rounding(64) * sum(size(W) ** 2 for W in there)
    assert float(torch.linalg.eigvalsh(torch.func.hessian(half)(u))[0]) > 0
