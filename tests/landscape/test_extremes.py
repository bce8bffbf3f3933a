"""The ends of the spectrum against the whole of it."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn
from torch.func import functional_call

from paramsym.landscape import extreme_eigenvalues, hessian, hessian_operator, hessian_spectrum
from paramsym.landscape.extremes import Which
from paramsym.landscape.lanczos import lanczos
from paramsym.nets import MLP, DigitsCNN
from tests.landscape.losses import (
    EPS,
    Params,
    at_zero_loss,
    detached,
    factors,
    normal,
    quadratic,
    regression,
    split,
    with_spectrum,
)


def test_the_operator_is_the_hessian(rng: torch.Generator) -> None:
    model = MLP((3, 5, 2), "tanh", dtype=torch.float64, generator=rng)
    loss = regression(model, normal(rng, 7, 3), normal(rng, 7, 2))
    H, operator = hessian(loss, detached(model)).numpy(), hessian_operator(loss, detached(model))
    assert operator.shape == H.shape
    assert operator.dtype == np.float64
    block = normal(rng, len(H), 4).numpy()
    atol = 256 * EPS * np.linalg.norm(H)
    np.testing.assert_allclose(operator @ block, H @ block, rtol=0, atol=atol)
    np.testing.assert_allclose(operator.T @ block[:, 0], H @ block[:, 0], rtol=0, atol=atol)
    np.testing.assert_allclose(eigsh(operator, 1)[0], eigsh(H, 1)[0])


SPECTRA = {
    "indefinite": torch.linspace(-3, 5, 40).double(),
    "semidefinite": torch.cat([torch.zeros(30), torch.linspace(1, 5, 10)]).double(),
    "negative": torch.cat([torch.linspace(-5, -1, 10), torch.zeros(30)]).double(),
    "repeated": torch.cat([-torch.ones(20), 2 * torch.ones(20)]).double(),
    "wide": torch.logspace(-2, 3, 40).double(),
    "tiny": 1e-200 * torch.linspace(-1, 1, 40).double(),
}


@pytest.mark.parametrize("which", ["largest", "smallest", "magnitude"])
@pytest.mark.parametrize("k", [1, 6, 39])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_known_spectra(rng: torch.Generator, which: Which, k: int, spectrum: str) -> None:
    values = SPECTRA[spectrum].sort().values
    matrix = with_spectrum(rng, values)
    norm = float(values.abs().max())
    found = extreme_eigenvalues(quadratic(matrix), split(normal(rng, 40)), k, which=which)
    if which == "magnitude":
        chosen = values[values.abs().argsort(descending=True)[:k]].abs().sort().values
        torch.testing.assert_close(
            found.values.abs().sort().values, chosen, rtol=0, atol=1e-8 * norm
        )
    else:
        chosen = values[-k:] if which == "largest" else values[:k]
        torch.testing.assert_close(found.values, chosen, rtol=0, atol=1e-8 * norm)
    assert float(found.residuals.max()) <= 1e-8 * norm
    products = found.vectors @ matrix
    residuals = (products - found.values[:, None] * found.vectors).norm(dim=1)
    torch.testing.assert_close(found.residuals, residuals, rtol=0, atol=64 * EPS * norm)


def test_clusters_finer_than_the_tolerance(rng: torch.Generator) -> None:
    # Some members of a cluster may be missed, but what is found is certified.
    values = torch.logspace(-14, 3, 40).double()
    loss, params = quadratic(with_spectrum(rng, values)), split(normal(rng, 40))
    found = extreme_eigenvalues(loss, params, 6, which="smallest")
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert float((values - value).abs().min()) <= float(residual) + 64 * EPS * 1e3
    assert abs(float(found.values[0])) < 1e-8 * 1e3


def test_more_than_the_rank(rng: torch.Generator) -> None:
    _, params, loss = at_zero_loss(*factors(rng, 2, 6, 2))
    found = extreme_eigenvalues(loss, params, 8)
    expected = hessian_spectrum(loss, params)[-8:]
    norm = float(expected[-1])
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-8 * norm)
    assert int((found.values > 1e-6 * norm).sum()) == 4


def test_no_curvature_at_all() -> None:
    found = extreme_eigenvalues(lambda p: p["a"].sum(), {"a": torch.ones(5)}, 2)
    assert not found.values.any()
    assert not found.residuals.any()


def test_vectors_as_parameters(rng: torch.Generator) -> None:
    model = MLP((3, 5, 2), "tanh", generator=rng)
    params = detached(model)
    loss = regression(model, torch.ones(2, 3), torch.zeros(2, 2))
    found = extreme_eigenvalues(loss, params)
    direction = found.coordinates.unflatten(found.vectors[0])
    assert {k: v.shape for k, v in direction.items()} == {k: p.shape for k, p in params.items()}


def test_a_generator_changes_the_start_and_not_the_answer(rng: torch.Generator) -> None:
    loss = quadratic(with_spectrum(rng, SPECTRA["indefinite"]))
    params = split(normal(rng, 40))
    a, b, c = (
        extreme_eigenvalues(loss, params, 2, generator=g).values
        for g in (None, None, torch.Generator().manual_seed(5))
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    torch.testing.assert_close(a, c, rtol=0, atol=2e-8 * 5)


@pytest.mark.slow
def test_a_convolutional_network_of_80_thousand_parameters(rng: torch.Generator) -> None:
    model = DigitsCNN(channels=(32, 64), hidden=230, generator=rng)
    x, labels = torch.randn(64, 1, 8, 8, generator=rng), torch.arange(64) % 10

    def loss(params: Params) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, params, (x,)), labels)

    params = detached(model)
    assert sum(p.numel() for p in params.values()) == 79864
    top, low = (extreme_eigenvalues(loss, params, 3, which=w) for w in ("largest", "smallest"))
    norm = max(float(top.values[-1]), -float(low.values[0]))
    assert float(torch.cat([top.residuals, low.residuals]).max()) <= 1e-8 * norm
    assert float(low.values[0]) < 0 < float(top.values[-1])


def test_lanczos_reproduces_the_matrix(rng: torch.Generator) -> None:
    values = torch.linspace(-1, 3, 12).double()
    H = with_spectrum(rng, values)
    diagonal, beside = lanczos(lambda v: H @ v, normal(rng, 12), 12)
    T = torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1)
    torch.testing.assert_close(torch.linalg.eigvalsh(T), values, rtol=0, atol=1e-13)


def test_lanczos_stops_in_an_invariant_space(rng: torch.Generator) -> None:
    H = with_spectrum(rng, torch.tensor([0.0] * 9 + [2.0] * 3).double())
    diagonal, beside = lanczos(lambda v: H @ v, normal(rng, 12), 6)
    assert not diagonal[2:].any()
    assert not beside[1:].any()
    T = torch.diag(diagonal[:2]) + torch.diag(beside[:1], 1) + torch.diag(beside[:1], -1)
    expected = torch.tensor([0.0, 2.0]).double()
    torch.testing.assert_close(torch.linalg.eigvalsh(T), expected, rtol=0, atol=1e-13)


class TestBadInput:
    params = {"a": torch.ones(5)}  # noqa: RUF012

    @staticmethod
    def loss(params: Params) -> Tensor:
        return (params["a"] ** 4).sum()

    @pytest.mark.parametrize("k", [0, 5, 6, -1, 1.0, True])
    def test_k(self, k: int) -> None:
        with pytest.raises(ValueError, match=r"`k` must be .* from 1 to d − 1 = 4.*_spectrum"):
            extreme_eigenvalues(self.loss, self.params, k)

    def test_which(self) -> None:
        with pytest.raises(
            ValueError, match="`which` must be one of largest, smallest, magnitude; got"
        ):
            extreme_eigenvalues(self.loss, self.params, which="LA")  # pyright: ignore

    @pytest.mark.parametrize("tolerance", [0.0, 1.0, -1e-3, float("nan")])
    def test_tolerance(self, tolerance: float) -> None:
        with pytest.raises(ValueError, match="`tolerance` must be between 0 and 1"):
            extreme_eigenvalues(self.loss, self.params, tolerance=tolerance)

    def test_tolerances_that_cannot_be_met(self, rng: torch.Generator) -> None:
        loss, params = quadratic(with_spectrum(rng, SPECTRA["indefinite"])), split(normal(rng, 40))
        with pytest.raises(ValueError, match="raise `tolerance`"):
            extreme_eigenvalues(loss, params, 3, tolerance=1e-18)

    def test_restarts_run_out(self, rng: torch.Generator) -> None:
        values = torch.linspace(0, 1, 400).double()
        loss, params = quadratic(with_spectrum(rng, values)), split(normal(rng, 400))
        with pytest.raises(ValueError, match=r"of 5 eigenvalues converged.*Raise `tolerance`"):
            extreme_eigenvalues(loss, params, 5, max_restarts=1)

    def test_not_finite(self) -> None:
        with pytest.raises(ValueError, match="the Hessian of `loss` must be finite"):
            extreme_eigenvalues(lambda p: (p["a"] - 1).abs().pow(1.5).sum(), self.params)
