"""Figures 2, 3, 6, 7 and 9 from end to end on short runs, and their findings in both directions."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from paramsym.experiments.experiment import Experiment, Finished, Settings, Summary
from paramsym.experiments.figures import fig2, fig3, fig6, fig7, fig9, fig10, fig11
from paramsym.experiments.measuring.drift import LRS, Drift, summed
from paramsym.experiments.measuring.spectra import Spectra

TINY = Settings("quick", seeds=2, seed=7)


pytestmark = pytest.mark.usefixtures("short_experiments")


def _run(experiment: Experiment, tmp_path: Path) -> tuple[list[Finished], Summary]:
    finished = []
    for i, task in enumerate(experiment.tasks(TINY)):
        scratch = tmp_path / str(i)
        scratch.mkdir(parents=True)
        assert task.cost > 0
        finished.append(Finished(task, task.compute(task.settings, scratch)))
    return finished, experiment.summarize(TINY, finished)


EXPERIMENTS = (fig2.FIG2, fig3.FIG3, fig6.FIG6, fig7.FIG7, fig9.FIG9)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_a_figure_from_end_to_end(experiment: Experiment, tmp_path: Path) -> None:
    finished, summary = _run(experiment, tmp_path)
    for what in ([result.task.name for result in finished], [f.claim for f in summary.findings]):
        assert len(set(what)) == len(what)
    for finding in summary.findings:
        assert finding.claim.endswith((".", ").")), finding.claim
        if finding.interval is not None and not math.isnan(finding.value):
            assert finding.interval[0] <= finding.value <= finding.interval[1]
    for table in summary.tables.values():
        assert len({len(column) for column in table.values()}) == 1
        assert len(next(iter(table.values()))) > 0
    for drawing in summary.drawings.values():
        drawing.figure.savefig(tmp_path / "figure.png")
        assert len(drawing.caption) > 80


def test_figure_2_needs_no_runs_of_its_own() -> None:
    others = {task.key for figure in (fig6, fig9, fig10, fig11) for task in figure.tasks(TINY)}
    assert {task.key for task in fig2.tasks(TINY)} <= others


# -- Figure 3 --------------------------------------------------------------------------------------


def test_a_rate_is_summed_over_all_steps() -> None:
    steps = torch.arange(5000)
    rate = (1e-3 * torch.exp(-steps.double() / 300))[:, None] * torch.tensor([1.0, -2.0])
    exact = torch.cat([torch.zeros(1, 2), rate.cumsum(0)[:-1]])
    torch.testing.assert_close(summed(rate, steps), exact)
    kept = sorted({0, 4999, *(round(1.06**k) for k in range(146))})
    found = summed(rate[kept], steps[kept])
    torch.testing.assert_close(found, exact[kept], rtol=1e-3, atol=1e-9)


def _drift(change: float, power: float, after: float = 0.0, law: float = 1.0) -> Drift:
    """Runs whose ΔQ̃ is `change` (η/0.1)^power, with that much more after convergence."""
    steps = torch.tensor([0, 1, 10, 100, 1000, 10000])
    lr = torch.tensor(LRS, dtype=torch.float64)
    size = change * (lr / 0.1) ** power * torch.tensor([[1.0], [1.1]])
    share = torch.tensor([0, 0.5, 1, 1, 1, 1 + after], dtype=torch.float64)
    Q = share[:, None, None] * size
    residual = torch.tensor([1.0, 0.5, 1e-3, 1e-3, 1e-3, 1e-3]).double()[:, None, None]
    return Drift("tanh", "float64", (0, 1), steps, residual.expand_as(Q), Q, Q / law)


def test_figure_3_judges_in_both_directions() -> None:
    assert fig3.small([_drift(1e-3, 1)]).holds
    assert not fig3.small([_drift(0.05, 1)]).holds
    late = dataclasses.replace(_drift(1e-3, 1), steps=torch.tensor([0, 1, 100, 1000, 5000, 10000]))
    assert fig3.grows([late]).holds
    flat = dataclasses.replace(_drift(1e-3, 0), steps=late.steps)
    assert not fig3.grows([flat]).holds
    assert not fig3.same_magnitude([late], [late]).holds
    assert fig3.same_magnitude([flat], [flat]).holds
    assert fig3.settles([_drift(1e-3, 1)]).holds
    assert not fig3.settles([_drift(1e-3, 1, after=0.5)]).holds
    assert fig3.law([late]).holds
    off = dataclasses.replace(_drift(1e-3, 1, law=1.2), steps=late.steps)
    assert not fig3.law([off]).holds


def test_figure_3_does_not_judge_what_no_run_shows() -> None:
    drift = _drift(1e-3, 1)
    slow = dataclasses.replace(
        drift, residual=torch.linspace(1, 0.5, 6)[:, None, None] + 0 * drift.change
    )
    finding = fig3.settles([slow])
    assert finding.holds is None
    assert math.isnan(finding.value)


# -- Figure 6 --------------------------------------------------------------------------------------


def _curves(Q: Sequence[float], taken: Sequence[float], **more: Any) -> fig6.Curves:
    x, t = torch.tensor(Q).double(), torch.tensor(taken).double()
    what: dict[str, Any] = {
        "activation": "relu",
        "runs": [],
        "seeds": (0, 1),
        "moved": False,
        "steps": torch.tensor([0, 1]),
        "residual": torch.ones(2, len(Q)),
    }
    return fig6.Curves(**{**what, **more}, Q=x, taken=t)


def test_figure_6_judges_in_both_directions() -> None:
    rising = _curves([1, 2, 3, 1, 2, 3], [5, 6, 7, 5, 6, 7])
    assert fig6.correlated(rising).holds
    either = _curves([1, 2, 3, 1, 2, 3], [5, 6, 7, 7, 6, 5])
    assert not fig6.correlated(either).holds
    # Not with Q, whose sign is chance, but with its size.
    sizes = _curves([-3, -2, 1, 1, 2, 3], [1, 2, 3, 3, 2, 1])
    assert fig6.correlated_at_one_function(sizes).holds
    assert not fig6.correlated_at_one_function(either).holds


def test_the_two_kinds_of_runs_of_figure_6() -> None:
    spread, moved = (
        [t for t in fig6.tasks(TINY) if t.name.endswith(end)] for end in ("deviations", "function")
    )
    assert {t.settings["activation"] for t in spread} == set(fig6.LABELS)
    assert {t.settings["activation"] for t in moved} == set(fig6.HOMOGENEOUS)


# -- Figure 7 --------------------------------------------------------------------------------------


def test_the_spectral_start_of_figure_7() -> None:
    Y, U, V, Phi, Psi = fig7.spectral_start(0, 0.3)
    output = U @ (V / V.square().sum(-1, keepdim=True))
    inside = Phi.mT @ output @ Psi.mT
    torch.testing.assert_close(inside, inside.diagonal().diag(), rtol=0, atol=1e-13)
    torch.testing.assert_close(Phi @ torch.linalg.svdvals(Y).diag() @ Psi, Y)


def _bound(factor: float) -> tuple[int, int]:
    """Of a component that approaches its target at `factor` times the slowest allowed rate."""
    t = torch.linspace(0, 3, 50, dtype=torch.float64)
    lr, size, target = 1e-3, 2.0, 1.5
    values = target - torch.exp(-factor * t / size)
    finished = Finished(
        fig7.tasks(TINY)[0],
        {
            "values": values[:, None, None],
            "targets": torch.tensor([[target]]).double(),
            "sizes": torch.tensor([[size]]).double(),
            "steps": t / lr,
        },
    )
    return fig7.broken_bounds(finished, lr)


def test_the_bound_of_figure_7_in_both_directions() -> None:
    assert _bound(1.0) == (0, 1)
    assert _bound(2.0) == (0, 1)
    assert _bound(0.7) == (1, 1)


def _radial(taken: Tensor, drift: float = 1e-5, violated: tuple[int, int] = (0, 9)) -> fig7.Curves:
    Q = torch.tensor([[1.0, 2, 3, 4], [2, 3, 4, 5]]).double()
    steps = torch.tensor([0, 1])
    return fig7.Curves(
        (0, 1), steps, torch.ones(2, 2, 4), Q, torch.full((2, 4), drift), taken, violated
    )


def test_figure_7_judges_in_both_directions() -> None:
    rising = torch.tensor([[1.0, 2, 3, math.inf]] * 2).double()
    assert fig7.faster(_radial(rising)).holds
    assert not fig7.faster(_radial(rising.flip(1))).holds
    assert fig7.kept(_radial(rising)).holds
    assert not fig7.kept(_radial(rising, drift=0.5)).holds
    assert not fig7.kept(_radial(rising, drift=math.nan)).holds
    assert fig7.bounded(_radial(rising)).holds
    assert not fig7.bounded(_radial(rising, violated=(1, 9))).holds
    assert fig7.bounded(_radial(rising, violated=(0, 0))).holds is None


# -- Figure 9 --------------------------------------------------------------------------------------


def _spectra(activation: str, zeros: int, centers: Sequence[float]) -> Spectra:
    """Two seeds and three values of Q, whose spectra have zeros and eigenvalues of one size."""
    values = torch.zeros(2, len(centers), 750).double()
    values[..., zeros:] = torch.tensor(centers)[:, None]
    Q = torch.arange(len(centers)).double().expand(2, -1)
    return Spectra(activation, (0, 1), values, Q, torch.zeros_like(Q))


def test_figure_9_judges_in_both_directions() -> None:
    linear, tanh = _spectra("identity", 700, [1, 2, 3]), _spectra("tanh", 700, [3, 2, 1])
    fewer = _spectra("tanh", 690, [3, 2, 1])
    assert fig9.seven_hundred([linear, tanh]).holds
    assert not fig9.seven_hundred([_spectra("identity", 699, [1, 2, 3])]).holds
    assert not fig9.verifies([linear, tanh]).holds
    assert fig9.verifies([linear, fewer]).holds
    assert fig9.center(linear).holds
    assert not fig9.center(_spectra("identity", 700, [3, 2, 1])).holds
    assert fig9.center(tanh).holds
    assert not fig9.center(_spectra("tanh", 700, [1, 1, 1])).holds


def _small(rest: Sequence[int], undecided: int = 0) -> list[fig9.Small]:
    off = torch.tensor(rest).double()
    return [fig9.Small("40 samples", "relu", torch.full_like(off, 3), off, off * 0 + undecided)]


def test_the_small_nets_of_figure_9_judge_in_both_directions() -> None:
    assert fig9.discriminates(_small([0, 0]), "40 samples").holds
    assert not fig9.discriminates(_small([0, 1]), "40 samples").holds
    finding = fig9.discriminates(_small([0, 0], undecided=1), "40 samples")
    assert finding.holds is None
