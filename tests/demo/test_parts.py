"""The demo's parts: the move reaches its distance, drift is measured, training follows the law."""

import pytest
import torch
from torch import Tensor

from paramsym.data import digits
from paramsym.demo.drift import OPTIMIZERS, Drift, count_steps, drift
from paramsym.demo.moving import DISTANCE, distance, move, norm
from paramsym.demo.training import stacked, train
from paramsym.discovery import discover
from paramsym.nets import DigitsCNN
from paramsym.symmetry import Symmetry

DATA = digits(0)


def _network(seed: int) -> tuple[DigitsCNN, Symmetry, torch.Generator]:
    rng = torch.Generator().manual_seed(seed)
    model = DigitsCNN(dtype=torch.float64, generator=rng)
    return model, discover(model, (DATA.train_images[:4],), verify=False), rng


@pytest.mark.parametrize("seed", range(4))
def test_a_move_goes_the_distance_and_keeps_the_function(seed: int) -> None:
    model, symmetry, rng = _network(seed)
    params = {k: p.detach().clone() for k, p in model.named_parameters()}
    images, labels = DATA.test_images[:64], DATA.test_labels[:64]
    result = move(model, symmetry, params, images, labels, generator=rng, points=3)
    assert result.distance == pytest.approx(DISTANCE, rel=1e-5)
    assert result.distance == pytest.approx(distance(result.after, params))
    assert result.change < 1e-13
    assert result.change_float32 < 1e-6
    assert result.rounding_float32 < 1e-6
    assert float(result.straight.change.min()) > 1e-2
    assert result.g.condition() < 100
    # The network itself stays.
    assert all(torch.equal(p, params[k]) for k, p in model.named_parameters())


def test_norms_run_over_all_parameters() -> None:
    params = {"a": torch.tensor([3.0]), "b": torch.tensor([[0.0, 4.0]])}
    assert norm(params) == pytest.approx(5)
    assert distance({"a": torch.tensor([6.0]), "b": params["b"]}, params) == pytest.approx(0.6)


def test_training_follows_the_law_and_learns() -> None:
    model, symmetry, rng = _network(0)
    epochs: list[int] = []
    result = train(
        model, symmetry, DATA, lr=0.1, epochs=2, generator=rng, advance=lambda: epochs.append(1)
    )
    steps = 2 * (len(DATA.train_images) // 64)
    assert len(epochs) == 2
    assert result.time.shape == (steps + 1,)
    assert result.loss.shape == (steps,)
    assert float(result.residual().max()) < 1e-12
    assert float(result.drift()[0]) == 0
    assert float(result.loss[-5:].mean()) < 0.8 * float(result.loss[:5].mean())
    for name, Q in symmetry.conserved(result.params).items():
        assert torch.equal(Q, result.measured[name][-1])


def test_the_law_explains_a_drift_that_is_there() -> None:
    model, symmetry, rng = _network(0)
    result = train(model, symmetry, DATA, lr=0.1, epochs=1, generator=rng)
    assert float(result.drift()[-1]) > 1e-3
    assert float(result.residual()[-1]) < 1e-9 * float(result.drift()[-1])
    # At no step is it true that nothing changes.
    Q = stacked(result.measured)
    assert float((Q[1:] - Q[:-1]).norm(dim=1).min()) > 1e-9


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_drift_is_measured_for_every_seed_and_rate(name: str) -> None:
    _, symmetry, _ = _network(0)
    ticks: list[int] = []
    result = drift(
        name,
        symmetry,
        DATA,
        (5, 6),
        (0.004, 0.002),
        0.02,
        batch=16,
        advance=lambda: ticks.append(1),
    )
    assert result.steps.tolist() == [5, 10] == count_steps((0.004, 0.002), 0.02)
    assert len(ticks) == 2 * 15
    assert result.drift.shape == result.loss.shape == (2, 2)
    assert bool((result.drift > 0).all())
    assert not torch.equal(result.drift[0], result.drift[1])
    assert float(result.loss_at_start.min()) > 1


def _power_law(exponent: float) -> Drift:
    rates: Tensor = torch.tensor([0.08, 0.04, 0.02, 0.01], dtype=torch.float64)
    law = torch.stack([3 * rates**exponent, 0.1 * rates**exponent])
    return Drift("", rates, torch.ones(4), law, law, torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("exponent", [-0.5, 0.0, 1.0, 2.0])
def test_slopes_are_exponents(exponent: float) -> None:
    law = _power_law(exponent)
    expected = torch.full((2,), exponent, dtype=torch.float64)
    assert torch.allclose(law.slopes, expected, atol=1e-12)
    assert torch.allclose(law.last_slopes, expected, atol=1e-12)
