"""Experiments on orbits from end to end on short runs, and their findings in both directions."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from paramsym.experiments.experiment import Experiment, Finished, Settings
from paramsym.experiments.figures import orbit_sharpness, quantising, teleporting
from paramsym.experiments.measuring import orbit_sharpness as measuring_sharpness
from paramsym.experiments.measuring import quantising as measuring_rounding
from paramsym.experiments.measuring.orbit_sharpness import Sharpnesses
from paramsym.experiments.measuring.quantising import METHODS, Rounding, rounded
from paramsym.experiments.measuring.teleporting import Teleported
from tests.data.cifar10_files import write

SHORT: Mapping[str, tuple[Experiment, dict[str, Any]]] = {
    "quantising": (quantising.QUANTISING, {"epochs": 1, "iterations": 1, "images": 20}),
    "teleporting": (
        teleporting.TELEPORTING,
        {"epochs": 4, "batch": 8, "train": 32, "lrs": [0.1], "ascents": 1},
    ),
    "orbit-sharpness": (
        orbit_sharpness.ORBIT_SHARPNESS,
        {"epochs": 1, "points": 1, "images": 10, "iterations": 1},
    ),
}


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("source", ["digits", "CIFAR-10"])
def test_an_experiment_from_end_to_end(
    name: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, short = SHORT[name]
    assert experiment.name == name
    monkeypatch.setattr(orbit_sharpness, "WAYS", orbit_sharpness.WAYS[:2])
    for module, names in (
        (measuring_sharpness, ("PROBES",)),
        (measuring_rounding, ("PROBES", "CALIBRATION")),
    ):
        for number in names:
            monkeypatch.setattr(module, number, 1)
    if source == "CIFAR-10":
        source = str(write(tmp_path / "images", [list(range(10)) * 4], list(range(10))))
    settings = Settings("quick", seeds=1, seed=7, data=source)
    finished = []
    for i, task in enumerate(experiment.tasks(settings)):
        (scratch := tmp_path / str(i)).mkdir()
        task = replace(task, settings={**task.settings, **short})
        finished.append(Finished(task, task.compute(task.settings, scratch)))
    summary = experiment.summarize(settings, finished)
    claims = [finding.claim for finding in summary.findings]
    assert len(set(claims)) == len(claims)
    for finding in summary.findings:
        assert finding.claim.endswith((".", ").")), finding.claim
        if finding.interval is not None and not math.isnan(finding.value):
            assert finding.interval[0] <= finding.value <= finding.interval[1]
    for table in summary.tables.values():
        assert len({len(column) for column in table.values()}) == 1
        assert len(next(iter(table.values()))) > 0
    for drawing in summary.drawings.values():
        drawing.figure.savefig(tmp_path / "figure.png")
    if name != "teleporting":
        assert summary.findings[0].holds


# -- quantising ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_rounding_is_to_the_nearest_of_equal_steps(
    bits: int, per: str, rng: torch.Generator
) -> None:
    weight = torch.randn(5, 3, 2, 2, generator=rng, dtype=torch.float64)
    weight[2] = 0
    found = rounded(weight, bits, per)
    for i in range(5):
        own = weight if per == "tensor" else weight[i]
        step = float(own.abs().max()) / (2 ** (bits - 1) - 1)
        assert float((found[i] - weight[i]).abs().max()) <= step / 2 * (1 + 1e-12)
        levels = found[i] / step if step else found[i]
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-9)
        assert float(levels.abs().max()) <= 2 ** (bits - 1) - 1 + 1e-9


def _rounding(factor: float, spread: float = 0.01) -> Rounding:
    """Networks whose error changes by a factor under the least predicted noise."""
    noise = 1 + spread * torch.linspace(-1, 1, 4, dtype=torch.float64)[:, None, None, None]
    error = torch.ones(4, len(METHODS), 2, 2, dtype=torch.float64) * noise
    error[:, list(METHODS).index("noise")] = factor
    same = torch.zeros(4, len(METHODS), dtype=torch.float64)
    return Rounding("cnn", (0, 1, 2, 3), error, error * 0 + 0.9, error[:, 0, 0, 0] * 0 + 0.9, same)


def test_quantising_judges_in_both_directions() -> None:
    assert quantising.lowers(_rounding(0.5), "noise", "It").holds
    assert quantising.lowers(_rounding(2.0), "noise", "It").holds is False
    assert quantising.lowers(_rounding(1.0, spread=0.5), "noise", "It").holds is None
    assert quantising.lowers(_rounding(0.5), "noise", "It", against="equalised").holds
    one = _rounding(0.5)
    assert quantising.unchanged([one]).holds
    assert not quantising.unchanged([replace(one, drift=one.drift + 1e-3)]).holds


# -- teleporting -----------------------------------------------------------------------------------


def _teleported(factor: float) -> Teleported:
    plain = torch.tensor([1e-3, 1.1e-3, 0.9e-3], dtype=torch.float64)
    loss = torch.stack([plain, factor * plain * torch.tensor([1, 1.05, 1]), plain], 1)[..., None]
    ones = torch.ones_like(loss)
    return Teleported("sgd", (0.1,), (0, 1, 2), loss, ones, ones, ones[:, 0], ones[:, 0])


def test_teleporting_judges_in_both_directions() -> None:
    for tuned in (True, False):
        assert teleporting.gains(_teleported(0.5), "teleported", tuned=tuned).holds
        assert teleporting.gains(_teleported(2.0), "teleported", tuned=tuned).holds is False
        lost = teleporting.gains(_teleported(math.inf), "teleported", tuned=tuned)
        assert lost.holds is False
        assert "3 of 3 runs diverged" in lost.measured


# -- sharpness -------------------------------------------------------------------------------------


def _sharpnesses(along: Tensor) -> Sharpnesses:
    """Three ways of training in three seeds, whose test loss rises, and sharpness as given."""
    shape = (3, 3, 3)
    test = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)[:, None].expand(shape)
    sharp = along.double().expand(shape) * (1 + 0.01 * torch.arange(3).double()[:, None, None])
    same = torch.zeros(shape, dtype=torch.float64)
    ways = ((16, 0.1), (16, 0.2), (32, 0.1))
    return Sharpnesses((0, 1, 2), ways, sharp, sharp, same + 0.9, test, same, same[..., 0])


def test_sharpness_judges_in_both_directions() -> None:
    rising = _sharpnesses(torch.tensor([[1.0, 1, 8], [2, 2, 16], [3, 3, 24]]))
    assert orbit_sharpness.same_function(rising).holds
    assert not orbit_sharpness.same_function(replace(rising, drift=rising.drift + 1)).holds
    for measure in orbit_sharpness.MEASURES:
        assert orbit_sharpness.varies(rising, measure).holds
        flat = _sharpnesses(torch.tensor([[1.0, 1, 1.1]] * 3))
        assert orbit_sharpness.varies(flat, measure).holds is False
        found = orbit_sharpness.correlates(rising, measure, 0)
        assert found.value == pytest.approx(1)
        assert found.holds
    mixed = replace(rising, trace=torch.stack([rising.trace[0], rising.trace[1].flip(0),
                                               rising.trace[2]]))  # fmt: skip
    assert orbit_sharpness.correlates(mixed, "trace", 0).holds is None
