"""Conserved quantities: the formulas of the paper, corrected, and their drift in real training.

The laws (tests/laws) hold Q against the loss; here Q is held against formulas written out by hand.
"""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from paramsym.dynamics.drift import gradient_descent_step
from tests.laws import networks
from tests.laws.measure import EPS
from tests.laws.subject import Params, Subject, flatten, normal
from tests.laws.subjects import subject


def only(quantities: dict[str, Tensor]) -> Tensor:
    (quantity,) = quantities.values()
    return quantity


def assert_near(a: Tensor, b: Tensor, size: float) -> None:
    assert (a - b).abs().max() <= 64 * EPS * size


@pytest.mark.parametrize(
    ("name", "degree"),
    [("relu", 1.0), ("relu_1.5", 1.5), ("square", 2.0), ("cube", 3.0)],
)
def test_scalings(name: str, degree: float) -> None:
    """Per neuron ‖V_i‖² + b_i² − α ‖U_{:i}‖², Example 5.2 and C.9.1."""
    network = subject(f"dense {name}")
    V, b, U = (network.params[k] for k in ("fc0.weight", "fc0.bias", "fc1.weight"))
    expected = V.square().sum(1) + b.square() - degree * U.square().sum(0)
    assert_near(only(network.symmetry.conserved(network.params)), expected, 100)


def test_linear_space() -> None:
    """VVᵀ + bbᵀ − UᵀU, Example 5.1."""
    network = subject("dense identity")
    V, b, U = (network.params[k] for k in ("fc0.weight", "fc0.bias", "fc1.weight"))
    expected = V @ V.T + torch.outer(b, b) - U.T @ U
    assert_near(only(network.symmetry.conserved(network.params)), expected, 100)


def test_affine_space_has_the_law_of_its_linear_part() -> None:
    network = subject("dense identity_affine")
    Q = only(network.symmetry.conserved(network.params))
    linear = only(subject("dense identity").symmetry.conserved(network.params))
    assert_near(Q[:5, :5], linear, 100)
    assert not Q[5].any()
    assert not Q[:, 5].any()


def test_deep() -> None:
    """The middle layer writes one space and reads another."""
    network = subject("deep leaky_relu")
    Q = network.symmetry.conserved(network.params)
    assert list(Q) == ["fc0 → fc1", "fc1 → fc2", "fc2 → fc3"]
    W, b, U = (network.params[k] for k in ("fc1.weight", "fc1.bias", "fc2.weight"))
    expected = W.square().sum(1) + b.square() - U.square().sum(0)
    assert_near(Q["fc1 → fc2"], expected, 100)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(groups: int) -> None:
    network = networks.convolution("relu", groups=groups)
    V, b, U = (network.params[k] for k in ("conv0.weight", "conv0.bias", "conv1.weight"))
    read = U.square().sum((2, 3)).unflatten(0, (groups, -1)).sum(1).flatten()
    expected = V.square().sum((1, 2, 3)) + b.square() - read
    assert_near(only(network.symmetry.conserved(network.params)), expected, 100)


def test_attention_heads() -> None:
    """W_Q W_Qᵀ + b bᵀ − W_K W_Kᵀ − b bᵀ for every head, from one fused parameter."""
    network = subject("attention")
    Q = network.symmetry.conserved(network.params)
    W = torch.cat([network.params["qkv.weight"], network.params["qkv.bias"][:, None]], 1)
    q, k, v = W.unflatten(0, (3, 2, 3))
    assert_near(Q["query → key"], q @ q.mT - k @ k.mT, 100)
    out = network.params["out.weight"].unflatten(1, (2, 3)).transpose(0, 1)
    assert_near(Q["value → out"], v @ v.mT - out.mT @ out, 100)
    assert_near(Q["key bias"], network.params["qkv.bias"][6:12], 100)
    assert "value bias → out bias" not in Q


def test_translation_is_linear() -> None:
    """A softmax head keeps 1ᵀW and 1ᵀb."""
    network = subject("softmax head")
    Q = network.symmetry.conserved(network.params)
    assert_near(Q["logits"], network.params["weight"].sum(0), 10)
    assert_near(Q["logit bias"], network.params["bias"].sum(0, keepdim=True), 10)


def test_radial_space_has_angular_momentum_alone(rng: torch.Generator) -> None:
    """½ of V̇Vᵀ + ḃbᵀ − UᵀU̇ less its transpose, eq. (13)."""
    network = subject("dense radial")
    assert network.symmetry.conserved(network.params) == {}
    velocity = {k: normal(tuple(p.shape), rng) for k, p in network.params.items()}
    V, b, U = (network.params[k] for k in ("fc0.weight", "fc0.bias", "fc1.weight"))
    dV, db, dU = (velocity[k] for k in ("fc0.weight", "fc0.bias", "fc1.weight"))
    P = dV @ V.T + torch.outer(db, b) - U.T @ dU
    expected = (P - P.T) / 2
    got = only(network.symmetry.angular_momentum(network.params, velocity))
    assert_near(got, expected, 100)
    assert expected.abs().max() > 0.1


def test_scalings_have_no_angular_momentum(rng: torch.Generator) -> None:
    network = subject("dense relu")
    assert network.symmetry.angular_momentum(network.params, network.params) == {}


# -- drift ------------------------------------------------------------------------------------


def training(
    network: Subject, lr: float, decay: float, steps: int
) -> Iterator[tuple[Params, Params]]:
    """Minibatch gradients and the parameters after them, of torch's own SGD."""
    params = {k: p.clone().requires_grad_() for k, p in network.params.items()}
    optimiser = torch.optim.SGD(list(params.values()), lr=lr, weight_decay=decay)
    for step in range(steps):
        batch = network.inputs.roll(step, 0)[: len(network.inputs) // 2 + 1]
        outputs = network.forward(params, batch)
        loss = (outputs - outputs.detach().cos()).square().mean()
        optimiser.zero_grad()
        loss.backward()
        grads = {k: p.grad for k, p in params.items() if p.grad is not None}
        optimiser.step()
        yield grads, {k: p.detach().clone() for k, p in params.items()}


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(
    "name", ["deep leaky_relu", "dense cube", "deep identity", "attention", "softmax head", "llama"]
)
def test_minibatch_training_follows_the_exact_law(name: str, decay: float) -> None:
    network, steps = subject(name), 20
    symmetry = network.symmetry
    told = symmetry.conserved(network.params)
    start = dict(told)
    now = network.params
    for grads, reached in training(network, 0.001, decay, steps):
        now = reached
        told = {
            k: gradient_descent_step(symmetry[k], Q, grads, 0.001, decay) for k, Q in told.items()
        }
    measured = symmetry.conserved(now)
    size = float(flatten(network.params, now).square().sum() + flatten(now, now).square().sum())
    for k, Q in measured.items():
        assert (Q - told[k]).abs().max() <= 8 * steps * EPS * size
    if decay or name != "softmax head":  # whose Q is linear and does not drift at all
        assert max(float((measured[k] - start[k]).abs().max()) for k in start) > 1e-7


def one_step(network: Subject, lr: float) -> float:
    gradient = network.gradient()
    stepped = {k: p - lr * gradient[k] for k, p in network.params.items()}
    before, after = (only(network.symmetry.conserved(p)) for p in (network.params, stepped))
    return float((after - before).norm())


@pytest.mark.parametrize("name", ["dense relu", "dense cube", "dense identity"])
def test_one_step_drifts_by_the_square_of_the_rate(name: str) -> None:
    coarse, fine = one_step(subject(name), 1e-2), one_step(subject(name), 5e-3)
    assert coarse / fine == pytest.approx(4.0, rel=1e-6)


@pytest.mark.parametrize("name", ["dense relu", "dense square"])
def test_training_drifts_by_the_rate(name: str) -> None:
    """Over a fixed time the drift is η ∫ ⟨∇L, M∇L⟩: halving η halves it."""

    def total(lr: float) -> float:
        network = subject(name)
        params: Params = network.params
        for _ in range(round(0.05 / lr)):
            gradient = torch.func.grad(network.loss)(params)
            params = {k: p - lr * gradient[k] for k, p in params.items()}
        start, end = (only(network.symmetry.conserved(p)) for p in (network.params, params))
        return float((end - start).norm())

    assert total(2.5e-4) / total(1.25e-4) == pytest.approx(2.0, rel=0.01)


def test_translation_decays_linearly() -> None:
    network = subject("softmax head")
    Q = network.symmetry.conserved(network.params)["logits"]
    step = gradient_descent_step(network.symmetry["logits"], Q, network.gradient(), 0.1, 0.5)
    assert torch.equal(step, 0.95 * Q)
