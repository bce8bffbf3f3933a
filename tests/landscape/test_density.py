"""The spectral density against the whole spectrum."""

import math

import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from paramsym.landscape import hessian_spectrum, spectral_density
from paramsym.landscape.extremes import random_start
from tests.landscape.losses import (
    EPS,
    Params,
    at_zero_loss,
    factors,
    normal,
    quadratic,
    split,
    with_spectrum,
)

VALUES = torch.cat([torch.linspace(-1, 0, 20), torch.linspace(0.1, 2, 39), torch.tensor([9.0])])


def test_moments_are_exact(rng: torch.Generator) -> None:
    # Gauss quadrature with 4 nodes: ⟨v, Hᵖv⟩ for p up to 7, and no further.
    H = with_spectrum(rng, VALUES.double())
    found = spectral_density(quadratic(H), split(normal(rng, 60)), probes=3, steps=4)
    probes = random_start(3, 60, None)
    probes = probes / probes.norm(dim=1, keepdim=True)
    for power in range(9):
        exact = ((probes @ torch.linalg.matrix_power(H, power)) * probes).sum(1)
        quadrature = (found.weights * found.nodes**power).sum(1)
        error = float((quadrature - exact).abs().max()) / 9.0**power
        assert error < 64 * EPS if power < 8 else error > 1e3 * EPS


def test_all_nodes_are_all_eigenvalues(rng: torch.Generator) -> None:
    values = VALUES.double()
    H = with_spectrum(rng, values)
    found = spectral_density(quadratic(H), split(normal(rng, 60)), probes=2, steps=100)
    assert found.nodes.shape == (2, 60)
    for nodes in found.nodes:
        torch.testing.assert_close(nodes, values.sort().values, rtol=0, atol=1e-12)


def test_weights_are_a_distribution(rng: torch.Generator) -> None:
    _, params, loss = at_zero_loss(*factors(rng, 3, 8, 2))
    found = spectral_density(loss, params, steps=20)  # more than there are different eigenvalues
    assert (found.weights >= 0).all()
    torch.testing.assert_close(found.weights.sum(1), torch.ones(4).double(), rtol=0, atol=1e-12)
    grid = torch.linspace(-200, 300, 20001).double()
    assert float(torch.trapezoid(found(grid, 2.0), grid)) == pytest.approx(1, abs=1e-9)


def test_the_density_is_within_its_error(rng: torch.Generator) -> None:
    values = VALUES.double()
    H = with_spectrum(rng, values)
    found = spectral_density(quadratic(H), split(normal(rng, 60)), probes=400, steps=30)
    grid, width = torch.linspace(-2, 10, 25).double(), 0.5
    exact = torch.tensor(norm.pdf(grid[:, None], values, width).mean(1))
    each = torch.stack([found.weights[i] @ _bumps(found.nodes[i], grid, width) for i in range(400)])
    torch.testing.assert_close(found(grid, width), each.mean(0))
    # Student's t over 25 points: 5 standard errors, and the tail of a far point that is all zero.
    error = each.std(0) / 20
    assert bool(((found(grid, width) - exact).abs() <= 5 * error + 1e-12).all())


def _bumps(nodes: Tensor, grid: Tensor, width: float) -> Tensor:
    return torch.tensor(norm.pdf(grid, nodes[:, None], width))


def test_trace_and_counts(rng: torch.Generator) -> None:
    values = VALUES.double()
    H = with_spectrum(rng, values)
    found = spectral_density(quadratic(H), split(normal(rng, 60)), probes=400, steps=40)
    trace, error = found.trace()
    assert abs(trace - float(values.sum())) < 5 * error < 0.1 * float(values.sum())
    for threshold, count in ((5.0, 1), (0.05, 40), (-2.0, 60)):
        number, error = found.count_above(threshold)
        # Gauss quadrature misplaces at most the weight of two nodes, about d/steps each.
        assert abs(number - count) < 5 * error + 1e-9 + (2 * 60 / 40 if count == 40 else 0)


def test_low_rank(rng: torch.Generator) -> None:
    _, params, loss = at_zero_loss(*factors(rng, 3, 8, 2))
    values = hessian_spectrum(loss, params)
    found = spectral_density(loss, params, probes=300, steps=12)
    number, error = found.count_above(float(values[-6]) / 2)
    assert abs(number - 6) < 5 * error < 1.5


def test_seeds(rng: torch.Generator) -> None:
    loss, params = quadratic(with_spectrum(rng, VALUES.double())), split(normal(rng, 60))
    a, b, c = (
        spectral_density(loss, params, probes=2, steps=5, generator=g).nodes
        for g in (None, None, torch.Generator().manual_seed(1))
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_one_probe_knows_no_error(rng: torch.Generator) -> None:
    found = spectral_density(lambda p: (p["a"] ** 2).sum(), {"a": torch.ones(3)}, probes=1)
    trace, error = found.trace()
    assert trace == pytest.approx(6, rel=1e-14)
    assert error == math.inf


class TestBadInput:
    params = {"a": torch.ones(5)}  # noqa: RUF012

    @staticmethod
    def loss(params: Params) -> Tensor:
        return (params["a"] ** 4).sum()

    @pytest.mark.parametrize("name", ["probes", "steps"])
    @pytest.mark.parametrize("value", [0, -1, 2.5, True])
    def test_numbers(self, name: str, value: float) -> None:
        with pytest.raises(ValueError, match=f"`{name}` must be a positive whole number"):
            spectral_density(self.loss, self.params, **{name: value})  # pyright: ignore

    def test_width(self) -> None:
        found = spectral_density(self.loss, self.params)
        for width in (0.0, -1.0, math.nan):
            with pytest.raises(ValueError, match="`width` must be positive"):
                found(torch.zeros(1), width)
