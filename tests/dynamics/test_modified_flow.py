"""The modified flow: its Q drifts by η⟨∇L, M·∇L⟩ exactly, and gradient descent follows it."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from paramsym.dynamics.modified_flow import drift_rate, modified_velocity
from tests.laws.flow import RELATIVE, unflatten
from tests.laws.measure import EPS
from tests.laws.subject import Params, Subject, flatten
from tests.laws.subjects import subject

NETWORKS = ("dense square", "dense identity", "deep identity", "attention")


def quantity(network: Subject, params: Params) -> Tensor:
    return torch.cat([q.flatten() for q in network.symmetry.conserved(params).values()])


def rate(network: Subject, params: Params, lr: float, momentum: float = 0.0) -> Tensor:
    gradient = torch.func.grad(network.loss)(params)
    names = network.symmetry.conserved(params)
    rates = [drift_rate(network.symmetry[k], gradient, lr, momentum).flatten() for k in names]
    return torch.cat(rates)


def descend(network: Subject, lr: float, steps: int, momentum: float = 0.0) -> Params:
    params: Params = network.params
    velocity = {k: torch.zeros_like(p) for k, p in params.items()}
    for _ in range(steps):
        gradient = torch.func.grad(network.loss)(params)
        velocity = {k: momentum * v - lr * gradient[k] for k, v in velocity.items()}
        params = {k: p + velocity[k] for k, p in params.items()}
    return params


def flow(network: Subject, lr: float, time: float) -> Params:
    """The end of the modified flow; with lr = 0 that of the gradient flow."""

    def velocity(_: float, theta: np.ndarray) -> np.ndarray:
        params = unflatten(torch.from_numpy(theta), network.params)
        return flatten(modified_velocity(network.loss, params, lr), params).numpy()

    start = flatten(network.params, network.params)
    found = solve_ivp(
        velocity, (0, time), start.numpy(), method="DOP853", rtol=RELATIVE, atol=RELATIVE
    )
    assert found.success, found.message
    return unflatten(torch.from_numpy(found.y[:, -1].copy()), network.params)


@pytest.mark.parametrize("name", [*NETWORKS, "softmax head"])
def test_rate(name: str) -> None:
    """Along θ̇ = −∇L − η/2 ∇²L∇L, dQ/dt is η⟨∇L, M·∇L⟩ to rounding: at any η, not to an order."""
    network, lr = subject(name), 0.3
    velocity = modified_velocity(network.loss, network.params, lr)
    change = torch.func.jvp(lambda p: quantity(network, p), (network.params,), (velocity,))[1]
    expected = rate(network, network.params, lr)
    theta, speed = (flatten(x, network.params) for x in (network.params, velocity))
    bound = 64 * EPS * network.depth * len(theta) ** 0.5 * float(theta.norm() * speed.norm())
    assert (change - expected).abs().max() <= bound
    if name == "softmax head":
        assert not expected.any()
    else:
        assert expected.abs().max() > 1e6 * bound


@pytest.mark.parametrize("name", ["dense square", "deep identity"])
def test_gradient_descent_follows_to_second_order(name: str) -> None:
    """Halving η quarters the distance in Q from the modified flow, and halves that from the plain.

    The ratios tend to 4 and 2 with a relative error of the order of η.
    """
    network, time = subject(name), 0.1
    near, far = [], []
    for lr in (1e-3, 5e-4):
        reached = quantity(network, descend(network, lr, round(time / lr)))
        near.append(float((reached - quantity(network, flow(network, lr, time))).norm()))
        far.append(float((reached - quantity(network, flow(network, 0.0, time))).norm()))
    assert near[0] / near[1] == pytest.approx(4, rel=0.05)
    assert far[0] / far[1] == pytest.approx(2, rel=0.05)
    assert near[1] < 0.1 * far[1]


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum_multiplies_the_drift(momentum: float) -> None:
    """At equal η/(1−β), by (1+β)/(1−β); the start at rest costs some steps of 1/(1−β)."""
    network, step, count = subject("dense identity"), 2e-4, 1500
    start = quantity(network, network.params)
    plain = quantity(network, descend(network, step, count)) - start
    lr = step * (1 - momentum)
    heavy = quantity(network, descend(network, lr, count, momentum)) - start
    factor = (1 + momentum) / (1 - momentum)
    assert (heavy - factor * plain).norm() <= 0.02 * heavy.norm()
    told = rate(network, network.params, lr, momentum) / rate(network, network.params, step)
    assert torch.allclose(told, torch.full_like(told, factor), rtol=1e-12)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, float("nan")])
def test_momentum_out_of_range(momentum: float) -> None:
    (family,) = subject("dense identity").symmetry
    with pytest.raises(ValueError, match="`momentum` must be at least 0 and below 1"):
        drift_rate(family, subject("dense identity").gradient(), 0.1, momentum)
