"""Appendix F: the claims can fail."""

import math

import pytest
import torch

from paramsym.claims import CLAIMS, Verdict, elementwise
from paramsym.laws.potentials import potential


def test_another_potential_is_no_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "potential", lambda _: potential("identity"))
    assert CLAIMS["eq-53"].check().verdict is Verdict.WRONG


def test_another_variance_has_another_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "fan_in", lambda m, h, n: (1.1 / h, 1 / n))
    assert CLAIMS["eq-52"].check().verdict is Verdict.WRONG


def test_glorot_is_what_torch_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    def lecun(W: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return W.normal_(std=W.shape[1] ** -0.5, generator=generator)

    monkeypatch.setattr(torch.nn.init, "xavier_normal_", lecun)
    assert CLAIMS["xavier"].check().verdict is Verdict.WRONG


def test_samples_not_orthonormal_break_the_law(rng: torch.Generator) -> None:
    generic = torch.randn(5, 5, generator=rng, dtype=torch.float64)
    value, bound = elementwise.rate_of_sum("tanh", generic, rng)
    assert value > 1e-4 > bound
    white = torch.linalg.qr(generic).Q
    value, bound = elementwise.rate_of_sum("tanh", white, rng)
    assert value <= bound


def test_distance_of_a_mean_is_in_standard_errors() -> None:
    values = torch.tensor([1.0, 3.0, 1.0, 3.0])
    distance, bound = elementwise.off_mean(values, 3.0)
    assert distance == pytest.approx(1 / (math.sqrt(4 / 3) / 2))
    assert bound == elementwise.ERRORS
