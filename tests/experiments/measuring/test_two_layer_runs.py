"""Runs of the paper's networks: where they start, what they record, against a plain loop."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from paramsym.experiments.measuring.two_layer_runs import (
    Plan,
    descend,
    drift_rate,
    even_steps,
    start,
)
from paramsym.laws.elementwise import elementwise
from paramsym.laws.potentials import potential
from tests.laws.measure import EPS

PLAN = Plan(
    "tanh",
    (3, 6, 4),
    steps=40,
    scale=1 / 12,
    seeds=(3, 5),
    stds=(0.1, 0.5),
    lrs=(0.1, 0.05),
    points=8,
    also=(17,),
    keep=True,
)
ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid")


def test_runs_of_a_seed_share_their_draws() -> None:
    plan = replace(PLAN, activation="relu", factors=(1.0, 2.0), lrs=(0.1,))
    runs = plan.runs()
    assert len(runs) == 8
    objective, params = start(plan)
    for i, a in enumerate(runs):
        for j, b in enumerate(runs):
            same = torch.equal(objective.Y[i], objective.Y[j])
            assert same == (a.seed == b.seed)
            if (a.seed, a.std) == (b.seed, b.std):
                outputs = [params["U"][k] @ params["V"][k].relu() for k in (i, j)]
                torch.testing.assert_close(*outputs, rtol=1e-14, atol=0)
    wide = [i for i, run in enumerate(runs) if run.factor == 2]
    assert not torch.allclose(params["V"][wide[0]], params["V"][wide[0] - 1])


def test_recorded_steps() -> None:
    assert even_steps(1, 5) == [0, 1]
    assert even_steps(1000, 4) == [0, 1, 10, 100, 1000]
    recorded = PLAN.recorded()
    assert recorded == sorted(set(recorded))
    assert {0, 17, 40} <= set(recorded)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_descent_is_that_of_a_plain_loop(activation: str, tmp_path: Path) -> None:
    plan = replace(PLAN, activation=activation)
    arrays = descend(json.loads(json.dumps(plan.as_settings())), tmp_path)
    objective, params = start(plan)
    sigma = torch.nn.Identity() if activation == "identity" else getattr(torch, activation)
    steps = arrays["steps"].tolist()
    for i, run in enumerate(plan.runs()):
        U, V = (params[k][i].clone().requires_grad_() for k in ("U", "V"))
        optimizer = torch.optim.SGD([U, V], run.lr)
        for step in range(plan.steps + 1):
            loss = plan.scale * (objective.Y[i] - U @ sigma(V)).square().sum()
            if step in steps:
                row = steps.index(step)
                Q = -0.5 * elementwise(
                    V.detach(), U.detach(), torch.eye(4).double(), potential(activation)
                )
                found = arrays["readers"][row, i] - arrays["writers"][row, i]
                size = arrays["readers"][row, i] + arrays["writers"][row, i].abs()
                assert float((found - Q.sum()).abs()) < 200 * EPS * float(size)
                assert float(arrays["loss"][row, i]) == pytest.approx(loss.item(), rel=1e-12)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.testing.assert_close(arrays["U"][i], _last(U, optimizer))


def _last(U: torch.Tensor, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """U before the last step: the loop makes one step more than the descent."""
    assert U.grad is not None
    return (U + optimizer.param_groups[0]["lr"] * U.grad).detach()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_drift_rate_is_the_leading_change_of_q(activation: str) -> None:
    plan = replace(PLAN, activation=activation, stds=(0.5,), lrs=(1.0,))
    objective, params = start(plan)
    into = {name: torch.empty_like(p) for name, p in params.items()}
    objective.gradient(params, into)()

    def Q(params: dict[str, torch.Tensor]) -> torch.Tensor:
        value = potential(activation)(params["V"]).sum((1, 2))
        return params["U"].square().sum((1, 2)) / 2 - value

    errors = []
    for lr in (1e-2, 5e-3):
        rate = drift_rate(
            objective, params, torch.full((len(plan.seeds),), lr, dtype=torch.float64)
        )
        moved = {name: p - lr * into[name] for name, p in params.items()}
        errors.append((Q(moved) - Q(params) - rate).abs())
        # The rest is of third order: small beside the rate.
        assert bool((errors[-1] < 0.2 * rate.abs() + 1e-13).all())
    if activation in ("identity", "relu"):
        assert bool((errors[0] < 1e-13).all())
    else:
        ratio = errors[0] / errors[1]
        assert bool(((ratio > 7) & (ratio < 9)).all())


def _scratch(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_float32_is_float32(tmp_path: Path) -> None:
    exact = descend(PLAN.as_settings(), _scratch(tmp_path / "a"))
    single = descend(replace(PLAN, dtype="float32").as_settings(), _scratch(tmp_path / "b"))
    assert single["U"].dtype == torch.float64
    difference = float((exact["U"] - single["U"]).abs().max())
    assert 1e-9 < difference < 1e-5


def test_a_descent_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    whole = descend(PLAN.as_settings(), tmp_path)
    assert list(tmp_path.iterdir())
    again = descend(PLAN.as_settings(), tmp_path)
    for name, tensor in whole.items():
        assert torch.equal(tensor, again[name])
