"""Noether's currents of training with inertia, and the angular momentum of steps."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

import paramsym as ps
from paramsym.dynamics.noether import (
    acceleration,
    current,
    current_along,
    source,
    step_angular_momentum,
)
from tests.dynamics.steps import training
from tests.laws.flow import RELATIVE, unflatten
from tests.laws.measure import EPS
from tests.laws.subject import Params, Subject, flatten, normal
from tests.laws.subjects import subject

TAU = 0.4

NETWORKS = ("dense radial", "dense identity", "dense square", "softmax head")


@cache
def path(name: str) -> tuple[Tensor, list[tuple[Params, Params]]]:
    """Times, parameters and velocities of θ̇ + (τ/2)θ̈ = −∇L from a random velocity."""
    network, times = subject(name), torch.linspace(0, 1, 401, dtype=torch.float64)
    theta = flatten(network.params, network.params)
    rng = torch.Generator().manual_seed(1)
    start = torch.cat([theta, normal((len(theta),), rng, 0.5)])

    def split(state: np.ndarray) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        both = torch.from_numpy(state.copy()).split(len(theta))
        return unflatten(both[0], network.params), unflatten(both[1], network.params)

    def velocity(_: float, state: np.ndarray) -> np.ndarray:
        params, speed = split(state)
        force = acceleration(torch.func.grad(network.loss)(params), speed, TAU)
        return torch.cat([flatten(speed, params), flatten(force, params)]).numpy()

    found = solve_ivp(
        velocity,
        (0, 1),
        start.numpy(),
        method="DOP853",
        t_eval=times.numpy(),
        rtol=RELATIVE,
        atol=RELATIVE,
    )
    assert found.success, found.message
    return times, [split(y) for y in found.y.T]


def families(name: str) -> list[ps.Family]:
    return list(subject(name).symmetry)


@pytest.mark.parametrize("name", NETWORKS)
def test_current(name: str) -> None:
    """J(t) = e^{−2t/τ}J(0) + ∫ e^{−2(t−s)/τ}⟨θ̇, M·θ̇⟩ ds; with the printed rate 1/τ it is not."""
    times, points = path(name)
    for family in families(name):
        measured = torch.stack([current(family, *point) for point in points])
        sources = torch.stack([source(family, speed) for _, speed in points])
        told = current_along(measured[0], times, sources, TAU)
        printed = current_along(measured[0], times, sources, 2 * TAU)
        size = measured.abs().max()
        coarse = current_along(measured[0], times[::2], sources[::2], TAU)
        # Of fourth order: half the samples have 16 times the error, and differ by 15 times.
        error = (told - measured).abs().max() / size
        assert error <= (coarse - told[::2]).abs().max() / size / 8 + 1e3 * RELATIVE
        assert error <= 1e-7
        wrong = (printed - measured).abs().max() / size
        assert wrong > 0.1
        assert wrong > 1e6 * error


def test_rotations_have_no_source(rng: torch.Generator) -> None:
    """For antisymmetric M the current decays freely, by e^{−2t/τ} and not by e^{−t/τ}."""
    times, points = path("dense radial")
    (family,) = families("dense radial")
    measured = torch.stack([current(family, *point) for point in points])
    free = torch.exp(-2 / TAU * times)[:, None, None] * measured[0]
    printed = torch.exp(-times / TAU)[:, None, None] * measured[0]
    size = measured.abs().max()
    assert (measured - free).abs().max() / size <= 1e3 * RELATIVE
    assert (measured - printed).abs().max() / size > 0.2
    # Antisymmetrisation leaves nothing of ⟨θ̇, M·θ̇⟩ but rounding.
    assert source(family, points[0][1]).abs().max() <= 64 * EPS


def test_current_is_half_the_rate_of_Q(rng: torch.Generator) -> None:
    network = subject("dense square")
    (family,) = network.symmetry
    speed = {k: normal(tuple(p.shape), rng) for k, p in network.params.items()}

    def quantity(p: Params) -> Tensor:
        return network.symmetry.conserved(p)[family.name]

    change = torch.func.jvp(quantity, (network.params,), (speed,))[1]
    assert torch.allclose(change, 2 * current(family, network.params, speed), rtol=1e-12)


def test_times_may_be_uneven() -> None:
    """J̇ = −(2/τ)J + cos t has a closed form."""
    times = torch.linspace(0, 1.5, 101, dtype=torch.float64).square()
    a = 2 / TAU
    J = torch.tensor(0.7, dtype=torch.float64)

    def forced(t: Tensor) -> Tensor:
        return (a * t.cos() + t.sin()) / (a * a + 1)

    expected = forced(times) + (J - forced(times[0])) * torch.exp(-a * times)
    told = current_along(J, times, times.cos(), TAU)
    assert (told - expected).abs().max() <= float(times.diff().max()) ** 4


# -- steps ------------------------------------------------------------------------------------

RADIAL = ("dense radial", "deep radial")

Options = dict[str, Any]


def turning(network: Subject, steps: int, rng: torch.Generator, **options: Any) -> float:
    """Largest angular momentum of a step relative to ‖θ_t‖‖θ_{t+1} − θ_t‖."""
    worst = 0.0
    for step in training(network, steps, rng, **options):
        found = step_angular_momentum(network.symmetry, step.before, step.after)
        change = {k: step.after[k] - p for k, p in step.before.items()}
        size = float(flatten(step.before, change).norm() * flatten(change, change).norm())
        worst = max(worst, *(float(x.abs().max()) / size for x in found.values()))
    return worst


ROUNDED = 1e-12
"""4·eps relative to ‖θ‖², which is up to 1e3 times ‖θ‖‖Δθ‖ in these runs."""


@pytest.mark.parametrize("name", RADIAL)
@pytest.mark.parametrize(
    "options",
    [{}, {"weight_decay": 0.1}, {"momentum": 0.9}, {"momentum": 0.9, "weight_decay": 0.1}],
    ids=str,
)
def test_exactly_symmetric(name: str, options: Options, rng: torch.Generator) -> None:
    """Gradient descent and heavy ball from rest, on minibatches, with coupled decay."""
    assert turning(subject(name), 60, rng, lr=0.02, **options) <= ROUNDED


@pytest.mark.parametrize("name", RADIAL)
@pytest.mark.parametrize(
    ("optimiser", "options", "least"),
    [
        (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}, 1e-3),
        (torch.optim.Adam, {"lr": 0.02}, 1e-2),
        (torch.optim.AdamW, {"lr": 0.02, "weight_decay": 0.1}, 1e-2),
    ],
    ids=["nesterov", "adam", "adamw"],
)
def test_not_symmetric(
    name: str,
    optimiser: type[torch.optim.Optimizer],
    options: Options,
    least: float,
    rng: torch.Generator,
) -> None:
    found = turning(subject(name), 60, rng, optimiser=optimiser, **options)
    assert found > least > 1e6 * ROUNDED


def test_a_heavy_ball_that_starts_with_a_velocity(rng: torch.Generator) -> None:
    """Its angular momentum is multiplied by β at each step."""
    network, beta, lr = subject("dense radial"), 0.9, 0.02
    params: Params = network.params
    speed = {k: normal(tuple(p.shape), rng, 0.1) for k, p in params.items()}
    momenta = []
    for _ in range(20):
        gradient = torch.func.grad(network.loss)(params)
        speed = {k: beta * v - lr * (gradient[k] + 0.1 * params[k]) for k, v in speed.items()}
        after = {k: p + speed[k] for k, p in params.items()}
        (found,) = step_angular_momentum(network.symmetry, params, after).values()
        momenta.append(found)
        params = after
    for k, found in enumerate(momenta):
        assert torch.allclose(found, beta**k * momenta[0], rtol=1e-10, atol=1e-13)
    assert momenta[0].abs().max() > 0.01


# -- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan")])
def test_time_constant(tau: float) -> None:
    network = subject("dense radial")
    with pytest.raises(ValueError, match="`tau` must be a positive time"):
        acceleration(network.params, network.params, tau)
    with pytest.raises(ValueError, match="`tau` must be a positive time"):
        current_along(torch.zeros(()), torch.tensor([0.0, 1.0]), torch.zeros(2), tau)


@pytest.mark.parametrize("times", [[0.0], [0.0, 1.0, 1.0], [1.0, 0.0]])
def test_times(times: list[float]) -> None:
    with pytest.raises(ValueError, match="`times` must be two or more increasing times"):
        current_along(torch.zeros(()), torch.tensor(times), torch.zeros(len(times)), TAU)


def test_shape_of_sources() -> None:
    with pytest.raises(ValueError, match=r"`sources` must have .* \(2, 3\); got \(2,\)"):
        current_along(torch.zeros(3), torch.tensor([0.0, 1.0]), torch.zeros(2), TAU)


def test_generators_that_depend_on_the_parameters() -> None:
    network = subject("attention")
    family = network.symmetry["value bias → out bias"]
    with pytest.raises(ValueError, match="has no Noether current of this form"):
        current(family, network.params, network.params)
