"""Closed forms of sharpness against the Hessian."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import paramsym as ps
from paramsym.landscape import (
    hessian_spectrum,
    least_sharpness,
    linear_net_spectrum,
    scalar_sharpness,
    sharpness,
)
from tests.landscape.losses import (
    EPS,
    at_zero_loss,
    factors,
    normal,
    quadratic,
    split,
    with_spectrum,
)

SHAPES = [(3, 4, 2), (2, 2, 3), (4, 2, 5), (1, 3, 1), (3, 1, 3), (5, 3, 2)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("scale", [1.0, 0.5, 1 / 6])
@pytest.mark.parametrize(("m", "h", "n"), SHAPES)
def test_spectrum_of_a_linear_net(
    rng: torch.Generator, m: int, h: int, n: int, scale: float
) -> None:
    U, V = factors(rng, m, h, n, spread=0.5)
    _, params, loss = at_zero_loss(U, V, scale=scale)
    found = linear_net_spectrum(U, V, scale=scale)
    values = hessian_spectrum(loss, params)
    assert len(found) == n * m
    # Both are the same numbers, beside different numbers of zeros.
    length = max(len(found), len(values))
    a, b = (torch.cat([x.new_zeros(length - len(x)), x]).sort().values for x in (found, values))
    torch.testing.assert_close(a, b, rtol=0, atol=64 * len(values) * EPS * float(found[-1]))
    zeros = max(0, n - h) * max(0, m - h)
    assert int((found > 1e-10 * found[-1]).sum()) == n * m - zeros
    trace = 2 * scale * float(m * V.square().sum() + n * U.square().sum())
    assert float(found.sum()) == pytest.approx(trace, rel=1e-13)


def test_white_inputs(rng: torch.Generator) -> None:
    # ‖Y − UVX‖² with orthonormal rows of X, k > n samples.
    U, V = factors(rng, 3, 4, 2)
    X = torch.linalg.qr(normal(rng, 7, 2))[0].mT
    found = hessian_spectrum(
        lambda p: (p["U"] @ p["V"] @ X - U @ V @ X).square().sum(), {"U": U, "V": V}
    )
    torch.testing.assert_close(found[-6:], linear_net_spectrum(U, V), rtol=1e-12, atol=0)


@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.floats(0, 3))
def test_the_lower_bound(seed: int, shape: tuple[int, int, int], spread: float) -> None:
    U, V = factors(seeded(seed), *shape, spread=spread)
    found = float(linear_net_spectrum(U, V)[-1])
    Q = V @ V.mT - U.mT @ U
    assert least_sharpness(U @ V) <= least_sharpness(U @ V, Q) <= found * (1 + 64 * EPS)


@pytest.mark.parametrize(("m", "h", "n"), SHAPES)
def test_the_balanced_minimum_attains_it(rng: torch.Generator, m: int, h: int, n: int) -> None:
    U, V = factors(rng, m, h, n)
    left, s, right = torch.linalg.svd(U @ V, full_matrices=False)
    r = min(h, len(s))
    U, V = torch.zeros(m, h).double(), torch.zeros(h, n).double()
    U[:, :r], V[:r] = left[:, :r] * s[:r].sqrt(), s[:r, None].sqrt() * right[:r]
    assert float((V @ V.mT - U.mT @ U).norm()) < 1e-13 * float(s[0])
    _, params, loss = at_zero_loss(U, V, scale=0.5)
    bound = least_sharpness(U @ V, scale=0.5)
    assert sharpness(loss, params) == pytest.approx(bound, rel=1e-12)
    assert bound == pytest.approx(2 * float(s[0]), rel=1e-14)


@pytest.mark.parametrize("scale", [0.5, 1.0])
@given(st.floats(-50, 50), st.floats(0.2, 4), st.floats(0.1, 5))
def test_scalars(scale: float, Q: float, X: float, Y: float) -> None:
    s = Y / X
    root = math.hypot(Q, 2 * s)
    # V² − U² = Q and UV = s, the larger factor first.
    large = math.sqrt((abs(Q) + root) / 2)
    U, V = (s / large, large) if Q >= 0 else (large, s / large)
    theta = {"U": torch.tensor(U, dtype=torch.float64), "V": torch.tensor(V, dtype=torch.float64)}
    low, high = hessian_spectrum(lambda p: scale * (Y - p["U"] * p["V"] * X) ** 2, theta).tolist()
    expected = scalar_sharpness(Q, X, Y, scale=scale)
    assert high == pytest.approx(expected, rel=1e-12)
    assert abs(low) < 64 * EPS * high


def test_it_changes_along_an_orbit(rng: torch.Generator) -> None:
    model, params, loss = at_zero_loss(*factors(rng, 3, 4, 2))
    symmetry = ps.discover(model, (torch.eye(2, dtype=torch.float64),))
    (family,) = symmetry.families
    found: list[float] = []
    for c in (0.25, 0.5, 1.0, 2.0, 4.0):
        moved = symmetry.act({family.name: c * torch.eye(4, dtype=torch.float64)}, params)
        assert float(loss(moved)) < 1e-24
        found.append(sharpness(loss, moved))
        U, V = moved["layers.1.weight"], moved["layers.0.weight"]
        assert found[-1] == pytest.approx(float(linear_net_spectrum(U, V)[-1]), rel=1e-12)
        Q = symmetry.conserved(moved)[family.name]
        assert found[-1] >= least_sharpness(U @ V, Q)
    assert max(found) > 5 * min(found)


def test_large_and_small_ways_agree(rng: torch.Generator) -> None:
    values = torch.linspace(-9, 7, 300).double()  # larger than what is computed densely
    loss, params = quadratic(with_spectrum(rng, values)), split(normal(rng, 300))
    assert sharpness(loss, params) == pytest.approx(7, abs=9e-8)
    few = torch.linspace(-9, 7, 30).double()
    loss, params = quadratic(with_spectrum(rng, few)), split(normal(rng, 30))
    assert sharpness(loss, params) == pytest.approx(7, abs=1e-12)


def test_the_printed_formula_is_twice_that() -> None:
    def loss(p: dict[str, Tensor]) -> Tensor:
        return (1 - p["U"] * p["V"]) ** 2 / 2

    large = math.sqrt((7 + math.sqrt(53)) / 2)
    theta = {k: torch.tensor(x, dtype=torch.float64) for k, x in (("U", 1 / large), ("V", large))}
    assert sharpness(loss, theta) == pytest.approx(scalar_sharpness(7), rel=1e-14)
    assert scalar_sharpness(7) == pytest.approx(7.280109889, rel=1e-9)


class TestBadInput:
    eye = torch.eye(2)

    @pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
    def test_scale(self, scale: float) -> None:
        with pytest.raises(ValueError, match="`scale` must be a positive number"):
            linear_net_spectrum(self.eye, self.eye, scale=scale)
        with pytest.raises(ValueError, match="`scale` must be a positive number"):
            least_sharpness(self.eye, scale=scale)
        with pytest.raises(ValueError, match="`scale` must be a positive number"):
            scalar_sharpness(1.0, scale=scale)

    def test_shapes(self) -> None:
        with pytest.raises(ValueError, match=r"shapes \[m, h\] and \[h, n\]; got \(2, 2\)"):
            linear_net_spectrum(self.eye, torch.eye(3))
        with pytest.raises(ValueError, match=r"`W` must be a matrix \[m, n\]; got shape \(2,\)"):
            least_sharpness(torch.ones(2))
        for Q in (torch.ones(2), torch.ones(2, 3)):
            with pytest.raises(ValueError, match="`Q` must be a symmetric matrix"):
                least_sharpness(self.eye, Q)
        with pytest.raises(ValueError, match="which is not symmetric"):
            least_sharpness(self.eye, torch.ones(2, 2).triu())
        with pytest.raises(ValueError, match="`X` must not be 0"):
            scalar_sharpness(1.0, 0.0)
