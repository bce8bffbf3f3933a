"""Section 5 and Appendices B and C: the claims can fail, and their nets are what they say."""

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.claims import (
    CLAIMS,
    Verdict,
    angular_momentum,
    conservation,
    conserved_on_orbits,
    second_order,
    trajectories,
)
from paramsym.claims.deep import LINEAR, RADIAL, RELU, Activation, Deep, power
from paramsym.claims.flow import (
    drift,
    flatten,
    gradient,
    gradient_flow,
    inner,
    integrate,
    slope_along,
    split,
    worst,
)
from paramsym.claims.sampling import normal
from paramsym.nets import MLP
from tests.claims.laws import claims_of

PLANTED = {
    "prop-3.4": (conservation, "RADIAL", Activation(RADIAL.sigma, 1, lambda M: M)),
    "prop-c.1": (conservation, "RADIAL", Activation(torch.tanh, 1, RADIAL.project)),
    "prop-5.1": (conservation, "LINEAR", Activation(torch.tanh, 1, LINEAR.project)),
    "ex-5.3": (
        conservation,
        "power",
        lambda degree: Activation(power(degree).sigma, 1, power(degree).project),
    ),
    "c.9.3": (conservation, "RELU", Activation(torch.nn.functional.silu, 1, RELU.project)),
    "thm-5.2": (angular_momentum, "LINEAR", Activation(torch.tanh, 1, LINEAR.project)),
    "eq-17": (second_order, "RADIAL", Activation(torch.tanh, 1, RADIAL.project)),
    "sec-5-count": (conserved_on_orbits, "triangle", lambda k: k * k),
    "sec-5-rates": (trajectories, "LINEAR", Activation(torch.tanh, 1, LINEAR.project)),
}
"""A name to replace in a module, by what is not what it should be."""


@pytest.mark.parametrize("id", PLANTED)
def test_a_planted_fault_is_found(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CLAIMS[id].check().as_documented
    module, name, fault = PLANTED[id]
    assert id in claims_of(module)
    monkeypatch.setattr(module, name, fault)
    assert CLAIMS[id].check().verdict is Verdict.WRONG


def test_degree_one_instead_of_alpha_is_far_off(rng: torch.Generator) -> None:
    net = Deep.sample(power(2), rng)
    mistaken = Deep(Activation(net.activation.sigma, 1, net.activation.project), *at(net))
    path = gradient_flow(net.loss, net.theta, 0.3)
    assert drift(net.laws, path) <= path.error
    assert drift(mistaken.laws, path) > 1e-3


def at(net: Deep) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
    return net.theta, net.X, net.Y


@pytest.mark.parametrize("activation", [LINEAR, RELU, RADIAL, power(2)])
def test_tangents_are_velocities(activation: Activation, rng: torch.Generator) -> None:
    net = Deep.sample(activation, rng)
    M = net.algebra(rng)

    def moved(t: Tensor) -> Tensor:
        return flatten(net.moved([t * x for x in M]))

    zero = torch.zeros((), dtype=torch.float64)
    velocity = torch.autograd.functional.jacobian(moved, zero)
    torch.testing.assert_close(velocity, flatten(net.tangent(M)), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("name", "activation"), [("identity", LINEAR), ("relu", RELU)])
def test_laws_are_those_of_discovery(
    name: str, activation: Activation, rng: torch.Generator
) -> None:
    model = MLP((3, 4, 2), name, dtype=torch.float64, generator=rng)
    params = dict(model.named_parameters())
    symmetry = ps.discover(model, (normal(rng, 6, 3),))
    (found,) = symmetry.conserved(params).values()
    theta = tuple(p.detach() for p in params.values())
    net = Deep(activation, theta, normal(rng, 3, 6), normal(rng, 2, 6))
    torch.testing.assert_close(net.laws(*theta), found.detach().reshape(-1))


def test_the_integrator_is_as_accurate_as_its_bound() -> None:
    start = (torch.tensor([1.0, -2.0], dtype=torch.float64), torch.ones((), dtype=torch.float64))
    path = integrate(lambda t, theta: (-theta[0] * (1 + t), 2 * theta[1]), start, 1.0)
    first, second = path.thetas[-1]
    size = float(torch.e**2)
    assert float((first - start[0] * torch.e**-1.5).abs().max()) <= path.error * size
    assert abs(float(second) - size) <= path.error * size
    assert path.times[0] == 0
    assert path.times[-1] == 1


def test_an_integrator_that_gives_up_says_so() -> None:
    start = (torch.ones((), dtype=torch.float64),)
    with pytest.raises(ArithmeticError, match="gradient flow could not be integrated"):
        integrate(lambda _, theta: (theta[0].square(),), start, 2.0)


def test_drift_sees_what_moves(rng: torch.Generator) -> None:
    net = Deep.sample(LINEAR, rng)
    path = gradient_flow(net.loss, net.theta, 0.1)
    assert drift(lambda *theta: theta[0].square().sum(), path) > 1e-6


def test_gradients_and_derivatives_agree(rng: torch.Generator) -> None:
    net = Deep.sample(RADIAL, rng)
    velocity = tuple(normal(rng, *p.shape) for p in net.theta)
    expected = inner(gradient(net.loss, net.theta), velocity)
    assert float(slope_along(net.loss, net.theta, velocity)) == pytest.approx(expected, rel=1e-12)
    again = split(flatten(velocity), velocity)
    assert all(torch.equal(a, b) for a, b in zip(again, velocity, strict=True))


def test_the_worst_draw_is_the_one_nearest_to_its_bound() -> None:
    residual = worst([(3.0, 10.0), (2.0, 4.0), (-1.0, 1.0)], "three draws")
    assert (residual.value, residual.bound) == (2.0, 4.0)
    assert not worst([(0.0, 1.0), (float("nan"), 1.0)], "a NaN").holds
