"""Q along torch's own SGD is what `momentum_step` says from the first Q and the gradients."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym.dynamics.drift import (
    MomentumState,
    at_rest,
    gradient_descent_step,
    momentum_step,
    moving,
)
from tests.dynamics.steps import Step, training
from tests.laws.subject import Subject
from tests.laws.subjects import subject

EXACT = 1e-13
"""Relative distance of prediction and measurement after all steps."""

NETWORKS = (
    "dense relu",
    "dense cube",
    "deep leaky_relu",
    "deep identity",
    "deep identity_affine",
    "attention",
    "softmax head",
    "convolution identity",
    "llama",
)

KINDS: dict[str, dict[str, Any]] = {
    "gradient descent": {},
    "decay": {"weight_decay": 0.1},
    "heavy ball": {"momentum": 0.9},
    "heavy ball, decay": {"momentum": 0.9, "weight_decay": 0.1},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "nesterov, decay": {"momentum": 0.8, "weight_decay": 0.1, "nesterov": True},
}


def lawful(network: Subject) -> list[ps.Family]:
    names = network.symmetry.conserved(network.params)
    return [network.symmetry[k] for k in names]


def distance(told: Mapping[str, Tensor], measured: Mapping[str, Tensor]) -> float:
    """Relative distance of all quantities together."""
    assert told.keys() == measured.keys()
    gap = torch.cat([(told[k] - measured[k]).flatten() for k in told])
    return float(gap.norm() / torch.cat([q.flatten() for q in measured.values()]).norm())


def follow(network: Subject, steps: list[Step], lr: float, **options: Any) -> MomentumState:
    families = lawful(network)
    state = at_rest(network.symmetry.conserved(network.params))
    for step in steps:
        state = momentum_step(families, state, step.grads, lr, **options)
    return state


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NETWORKS)
def test_minibatch_training(name: str, kind: str, seed: int) -> None:
    network, options = subject(name), KINDS[kind]
    lr = 5e-5 if name == "dense cube" else 2e-3
    rng = torch.Generator().manual_seed(seed)
    steps = list(training(network, 40, rng, lr=lr, **options))
    state = follow(network, steps, lr, **options)
    measured = network.symmetry.conserved(steps[-1].after)
    assert distance(state.Q, measured) <= EXACT
    if name != "softmax head" or "weight_decay" in options:  # whose Q drifts by decay alone
        assert distance(network.symmetry.conserved(network.params), measured) > 1e6 * EXACT


@pytest.mark.parametrize("kind", ["heavy ball, decay", "nesterov, decay"])
def test_every_part_matters(kind: str, rng: torch.Generator) -> None:
    """Without the coupling of decay and momentum, or with the other kind's step, it is off."""
    network, options = subject("deep identity"), KINDS[kind]
    steps = list(training(network, 40, rng, lr=2e-3, **options))
    measured = network.symmetry.conserved(steps[-1].after)
    others = (
        {**options, "nesterov": not options.get("nesterov", False)},
        {**options, "weight_decay": 0.0},
        {**options, "momentum": 0.0},
    )
    for other in others:
        assert distance(follow(network, steps, 2e-3, **other).Q, measured) > 1e6 * EXACT


@pytest.mark.parametrize("kind", ["heavy ball, decay", "nesterov, decay"])
def test_a_schedule(kind: str, rng: torch.Generator) -> None:
    """The learning rate may change at every step."""
    network, options, rates = subject("deep leaky_relu"), KINDS[kind], (3e-3, 1e-3, 5e-4)
    state, families = at_rest(network.symmetry.conserved(network.params)), lawful(network)
    reached = network.params
    for k, step in enumerate(training(network, 30, rng, lr=1.0, rates=rates, **options)):
        state = momentum_step(families, state, step.grads, rates[k % 3], **options)
        reached = step.after
    assert distance(state.Q, network.symmetry.conserved(reached)) <= EXACT


@pytest.mark.parametrize("name", ["deep identity", "softmax head"])
@pytest.mark.parametrize("kind", ["heavy ball, decay", "nesterov, decay"])
def test_resumed(name: str, kind: str, rng: torch.Generator) -> None:
    """From parameters and torch's buffer in the middle; and the pairing ⟨θ, M·b⟩ on the way."""
    network, options = subject(name), KINDS[kind]
    steps = list(training(network, 40, rng, lr=2e-3, **options))
    half, families = steps[19], lawful(network)
    state = moving(families, network.symmetry.conserved(half.after), half.after, half.buffer)
    from_start = follow(network, steps[:20], 2e-3, **options)
    for key, pairing in network.symmetry.moment(half.after, half.buffer).items():
        if key in from_start.Q:
            expected = network.symmetry[key].group.symmetric(pairing)
            size = 1 + float(expected.abs().max())
            assert (from_start.pairing()[key] - expected).abs().max() <= 1e3 * EXACT * size
            assert (state.pairing()[key] - expected).abs().max() <= EXACT * size
    for step in steps[20:]:
        state = momentum_step(families, state, step.grads, 2e-3, **options)
    assert distance(state.Q, network.symmetry.conserved(steps[-1].after)) <= EXACT


def test_without_momentum_it_is_gradient_descent(rng: torch.Generator) -> None:
    network = subject("deep identity")
    (step,) = training(network, 1, rng, lr=0.1)
    Q = network.symmetry.conserved(network.params)
    state = momentum_step(lawful(network), at_rest(Q), step.grads, 0.1, weight_decay=0.3)
    for key, told in state.Q.items():
        expected = gradient_descent_step(network.symmetry[key], Q[key], step.grads, 0.1, 0.3)
        assert torch.allclose(told, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("optimiser", [torch.optim.Adam, torch.optim.AdamW])
def test_adam_has_no_such_law(optimiser: type[torch.optim.Optimizer], rng: torch.Generator) -> None:
    network = subject("deep identity")
    steps = list(training(network, 40, rng, optimiser=optimiser, lr=2e-3))
    told = follow(network, steps, 2e-3).Q
    assert distance(told, network.symmetry.conserved(steps[-1].after)) > 1e-2


def test_bad_input(rng: torch.Generator) -> None:
    network = subject("deep identity")
    families, gradient = lawful(network), network.gradient()
    state = at_rest(network.symmetry.conserved(network.params))
    with pytest.raises(ValueError, match="`families` must be those of the state"):
        momentum_step(families[:1], state, gradient, 0.1)
    missing = {k: g for k, g in gradient.items() if k != "fc1.weight"}
    with pytest.raises(ValueError, match=r"`grads` must have .* missing: \['fc1.weight'\]"):
        momentum_step(families, state, missing, 0.1)
    with pytest.raises(ValueError, match="`lr` and `weight_decay` must not erase the parameters"):
        momentum_step(families, state, gradient, 0.5, weight_decay=2.0)
