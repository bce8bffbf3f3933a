"""Q-reach from end to end on few networks, and its findings in both directions."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from paramsym.experiments import EXPERIMENTS
from paramsym.experiments.experiment import Finished, Settings, Summary
from paramsym.experiments.figures import q_reach
from paramsym.experiments.figures.q_reach_draws import (
    PREDICTED,
    agrees,
    few_inertias,
    narrows,
    neurons_reached,
    predicted,
    spaces_reached,
    thin,
)
from paramsym.experiments.figures.q_reach_panels import Reach
from paramsym.experiments.figures.q_reach_training import one_function, training_findings
from paramsym.experiments.measuring.reached_q import allowed
from paramsym.experiments.measuring.training_from_q import STARTS, FromQ

pytest.importorskip("sklearn")


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Finished]:
    """Few networks, and one epoch of training."""
    monkeypatch.setattr(q_reach, "NETWORKS", {"quick": {8: 12, 32: 12, 64: 12}})
    monkeypatch.setattr(q_reach, "RANKS", (9, 6, 4))
    monkeypatch.setattr(q_reach, "MOVED", (6, 12, 3))
    monkeypatch.setattr(q_reach, "STEP", {"quick": 2})
    monkeypatch.setattr(q_reach, "EPOCHS", {"quick": 1})
    monkeypatch.setattr(q_reach, "LRS", {"sgd": (0.1,), "adam": (1e-2,)})
    assert EXPERIMENTS["q-reach"] is q_reach.Q_REACH
    tasks = q_reach.Q_REACH.tasks(Settings("quick", seeds=2))
    assert len({task.key for task in tasks}) == len(tasks)
    return [Finished(task, task.compute(task.settings, tmp_path)) for task in tasks]


def test_from_end_to_end_and_in_both_directions(finished: list[Finished], tmp_path: Path) -> None:
    summary: Summary = q_reach.Q_REACH.summarize(Settings("quick", seeds=2), finished)
    claims = [finding.claim for finding in summary.findings]
    assert len(set(claims)) == len(claims)
    for table in summary.tables.values():
        assert len({len(column) for column in table.values()}) == 1
    summary.drawings["figure"].figure.savefig(tmp_path / "figure.png")
    reach = q_reach.reach_of(finished)
    for what in PREDICTED:
        assert predicted(reach, what).holds
    assert neurons_reached(reach).holds
    assert spaces_reached(reach).holds
    _faults(reach)


def _faults(reach: Reach) -> None:
    """What would make the findings fail."""
    key = ("kaiming", (8, 16, 4))
    for name in ("mean", "square", "matrix"):
        wrong = {**reach.draws[key], name: 3 * reach.draws[key][name]}
        other = replace(reach, draws={**reach.draws, key: wrong})
        what = {"mean": "mean", "square": "spread", "matrix": "matrix"}[name]
        assert not predicted(other, what).holds
    far = {**reach.moved, "drift": reach.moved["drift"] + 1e-6}
    assert not neurons_reached(replace(reach, moved=far)).holds
    all_reached = {**reach.asked, "reached": torch.ones_like(reach.asked["reached"])}
    assert not spaces_reached(replace(reach, asked=all_reached)).holds
    near = {**reach.moved, "imbalance": 0.01 * reach.moved["imbalance"]}
    assert not thin(replace(reach, moved=near)).holds
    same = {
        k: {**v, "square": v["square"] * k[1][0]} if k[1] != reach.ranks else v
        for k, v in reach.draws.items()
    }
    assert narrows(replace(reach, draws=same)).holds is False
    h = reach.ranks[1]
    spots = torch.tensor([(p, h - p) for p in range(h + 1) if allowed(p, h - p, reach.ranks)])
    everywhere = {
        k: {**v, "inertia": spots.double()[None]} if k[1] == reach.ranks else v
        for k, v in reach.draws.items()
    }
    assert not few_inertias(replace(reach, draws=everywhere)).holds


def test_agreement_has_the_level_that_it_says(rng: torch.Generator) -> None:
    """Of 400 samples of normal numbers about 1 in 20 is outside its 95 % interval."""
    for squares in (False, True):
        outside = 0
        for _ in range(400):
            z = torch.randn(20, generator=rng, dtype=torch.float64)
            values, expected = (z.square(), 1.0) if squares else (z, 0.0)
            outside += not agrees(values, expected, 0.95, 0.0, squares=squares)[0]
        assert 6 <= outside <= 38


def _trained(factor: float, better: float = 0.0) -> FromQ:
    """Losses that fall by a factor at s ≠ 0 and rise by it at 0; accuracies that differ."""
    spread = 1 + 0.01 * torch.arange(4, dtype=torch.float64)[:, None]
    loss = torch.full((4, len(STARTS) + 1), 0.1, dtype=torch.float64) * spread
    loss[:, :-1] = loss[:, :-1] * factor ** torch.tensor(STARTS, dtype=torch.float64).sign()
    accuracy = torch.full_like(loss, 0.9) + 1e-3 * spread
    accuracy[:, :-1] += better
    ones = torch.ones_like(loss)
    return FromQ(
        "sgd", (0, 1, 2, 3), (0.1,), loss[..., None], accuracy[..., None], ones[..., None], 0 * loss
    )


def test_training_is_judged_in_both_directions() -> None:
    found = {f.claim: f.holds for f in training_findings(_trained(0.5, 0.01))}
    by = {
        k: next(v for claim, v in found.items() if k in claim and "training loss" in claim)
        for k in ("s = 2", "s = −2")
    }
    assert by == {"s = 2": True, "s = −2": False}
    assert all(v for claim, v in found.items() if "accuracy" in claim)
    worse = {f.claim: f.holds for f in training_findings(_trained(1.0, -0.01))}
    assert all(v is False for claim, v in worse.items() if "accuracy" in claim)
    assert training_findings(_trained(0.5))[-1].holds
    own = _trained(0.5)
    assert one_function([own]).holds
    assert not one_function([replace(own, drift=own.drift + 1e-3)]).holds
