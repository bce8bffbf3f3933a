"""Figure 6: does the conserved quantity at the start decide how fast gradient descent converges?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import final

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from paramsym.experiments.experiment import (
    Drawing,
    Experiment,
    Finding,
    Finished,
    Scale,
    Settings,
    Summary,
    Table,
    Task,
)
from paramsym.experiments.figures.curves import band, curve_table, joined, number, row_table
from paramsym.experiments.measuring.convergence import rank_correlation, steps_to
from paramsym.experiments.measuring.intervals import excludes_zero, mean_interval
from paramsym.experiments.measuring.two_layer_runs import LABELS, Plan, Run, descend
from paramsym.report.style import BLUE, FAINT, GREEN, INK, RED, WIDTH, figure_style

HOMOGENEOUS = ("identity", "relu")
"""Those whose Q can be changed without changing the function: U/c, cV."""

SHAPE = (5, 50, 10)
PAPER_STDS = (0.01, 0.1, 1.0)
STDS = (0.01, 0.0215, 0.0464, 0.1, 0.215, 0.464, 1.0)
FACTORS = (0.25, 0.5, 0.707, 1.414, 2.0, 4.0)
FACTOR_STD = 0.1
LRS: Mapping[Scale, float] = {"paper": 1e-3, "quick": 1e-2}
STEPS: Mapping[Scale, int] = {"paper": 400_000, "quick": 20_000}
LONGER = {"sigmoid": 2}

LEVEL = 0.01
"""Converged: ‖Y − Uσ(V)‖² is this share of ‖Y‖²."""

REFERENCE = "Appendix G.3, Figure 6"


def tasks(settings: Settings) -> list[Task]:
    """A task for each activation, and one more for each of those that can be rescaled."""
    spread = [plan(settings, name, STDS, (1.0,)) for name in LABELS]
    moved = [plan(settings, name, (FACTOR_STD,), FACTORS) for name in HOMOGENEOUS]
    return [
        Task(f"{plan.activation}, {what}", descend, plan.as_settings(), cost=plan.cost())
        for plans, what in ((spread, "standard deviations"), (moved, "same function"))
        for plan in plans
    ]


def plan(
    settings: Settings, activation: str, stds: Sequence[float], factors: Sequence[float]
) -> Plan:
    """All seeds and starting points of one activation."""
    m, _, n = SHAPE
    return Plan(
        activation,
        SHAPE,
        STEPS[settings.scale] * LONGER.get(activation, 1),
        scale=1 / (m * n),
        seeds=tuple(settings.repetitions),
        stds=tuple(stds),
        factors=tuple(factors),
        lrs=(LRS[settings.scale],),
        points=400,
    )


@final
@dataclass(frozen=True, eq=False)
class Curves:
    """Training curves of one task.

    Attributes:
        activation: Its name.
        runs: Where each run started, in order.
        seeds: Of the repetitions.
        moved: Whether the runs of a seed start at the same function.
        steps: Recorded steps, `[T]`.
        residual: ‖Y − Uσ(V)‖, `[T, runs]`.
        Q: ½‖U‖² − ΣΦ(V) at the start, `[runs]`.
        taken: Steps to a loss of `LEVEL` ‖Y‖², infinite where it is not reached, `[runs]`.
    """

    activation: str
    runs: list[Run]
    seeds: tuple[int, ...]
    moved: bool
    steps: Tensor
    residual: Tensor
    Q: Tensor
    taken: Tensor

    def correlations(self) -> Tensor:
        """Rank correlation of the steps taken with Q, `[seeds]`."""
        return self._by_seed(self.Q)

    def correlations_with_size(self) -> Tensor:
        """Rank correlation of the steps taken with |Q|, `[seeds]`."""
        return self._by_seed(self.Q.abs())

    def _by_seed(self, x: Tensor) -> Tensor:
        rows = (len(self.seeds), -1)
        pairs = zip(x.reshape(rows), self.taken.reshape(rows), strict=True)
        return torch.tensor([rank_correlation(q, t) for q, t in pairs], dtype=torch.float64)


def curves_of(finished: Finished) -> Curves:
    """Read a task's arrays."""
    plan = Plan.from_settings(finished.task.settings)
    m, _, n = plan.shape
    square = finished["loss"] * (m * n)
    return Curves(
        plan.activation,
        plan.runs(),
        tuple(plan.seeds),
        len(plan.factors) > 1,
        finished["steps"],
        square.sqrt(),
        finished["readers"][0] - finished["writers"][0],
        steps_to(LEVEL, finished["steps"], square / finished["target"]),
    )


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and table."""
    curves = [curves_of(finished) for finished in results]
    spread = [c for c in curves if not c.moved]
    moved = [c for c in curves if c.moved]
    return Summary(
        [
            *(correlated(c) for c in spread),
            *(correlated_at_one_function(c) for c in moved),
        ],
        {"figure": Drawing(draw(spread, moved), CAPTION)},
        tables(curves),
    )


# -- findings --------------------------------------------------------------------------------------


def correlated(curves: Curves) -> Finding:
    """Is the number of steps correlated with Q, when the standard deviation varies?"""
    value, interval = mean_interval(curves.correlations())
    size, size_interval = mean_interval(curves.correlations_with_size())
    name = LABELS[curves.activation]
    return Finding(
        f"The number of steps to near convergence is correlated with Q ({name}).",
        REFERENCE,
        f"Kendall's τ of steps with Q over {len(STDS)} standard deviations, mean over "
        f"{len(curves.seeds)} seeds; with |Q| it is {size:+.2f} "
        f"[{size_interval[0]:+.2f}, {size_interval[1]:+.2f}]. {unreached(curves)}",
        excludes_zero(interval),
        "the interval does not contain 0",
        value,
        interval,
        0.95,
        note="Q varies here with the size of the weights, so this alone shows no effect of Q.",
    )


def correlated_at_one_function(curves: Curves) -> Finding:
    """Is it, when Q varies along the orbit and the initial function is the same?"""
    value, interval = mean_interval(curves.correlations())
    size, size_interval = mean_interval(curves.correlations_with_size())
    name = LABELS[curves.activation]
    return Finding(
        f"Q itself affects the rate: with the same initial function, moved along its orbit, the "
        f"number of steps is correlated with |Q| ({name}).",
        "ours, after " + REFERENCE,
        f"Kendall's τ of steps with |Q| over {len(FACTORS)} rescalings U/c, cV at one function, "
        f"mean over {len(curves.seeds)} seeds; with Q it is {value:+.2f} "
        f"[{interval[0]:+.2f}, {interval[1]:+.2f}]. {unreached(curves)}",
        excludes_zero(size_interval),
        "the interval does not contain 0",
        size,
        size_interval,
        0.95,
    )


def unreached(curves: Curves) -> str:
    """How many runs do not get there."""
    count = int(curves.taken.isinf().sum())
    return f"{count} of {len(curves.runs)} runs do not get there." if count else ""


# -- figure and tables -----------------------------------------------------------------------------

CAPTION = (
    "Top: training curves of gradient descent from three standard deviations of the initial "
    "weights; lines are medians over seeds, bands their range. Bottom: steps until ‖Y − Uσ(V)‖² is "
    "1 % of ‖Y‖², against Q = ½‖U‖² − ΣΦ(V) at the start, a point for each run; filled: other "
    "standard deviations; open: one function at other points of its orbit, where there is one. "
    "Points above the dotted line do not get there."
)

TICKS = (-100, -1, 0, 1, 100)

_COLORS = dict(zip(PAPER_STDS, (BLUE, GREEN, RED), strict=True))


def draw(spread: Sequence[Curves], moved: Sequence[Curves]) -> Figure:
    """Curves above, steps against Q below; a column for each activation."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
        axes = figure.subplots(2, len(spread), sharey="row", squeeze=False)
        for column, curves in enumerate(spread):
            top, bottom = axes[:, column]
            top.set_title(LABELS[curves.activation])
            for std in PAPER_STDS:
                which = [i for i, run in enumerate(curves.runs) if run.std == std]
                median = float(curves.Q[which].median())
                values = curves.residual[:, which]
                band(top, curves.steps, values, _COLORS[std], f"Q ≈ {number(median)}")
            top.set(xscale="log", yscale="log", xlabel="step")
            top.legend(loc="lower left", handlelength=1.0)
            others = [c for c in moved if c.activation == curves.activation]
            for c in (curves, *others):
                _scatter(bottom, c)
            bottom.set_xscale("symlog", linthresh=0.1)
            bottom.margins(x=0.08)
            bottom.set_xticks(TICKS, [number(tick) for tick in TICKS])
            bottom.minorticks_off()
            bottom.set(yscale="log", xlabel="Q at the start")
        axes[0, 0].set_ylabel("‖Y − Uσ(V)‖")
        axes[1, 0].set_ylabel("steps to 1 %")
    return figure


def _scatter(axis: Axes, curves: Curves) -> None:
    end = float(curves.steps[-1])
    y = curves.taken.clamp(max=1.6 * end)
    inside, edge = ("none", INK) if curves.moved else (BLUE, BLUE)
    axis.scatter(curves.Q, y, s=9, linewidths=0.7, facecolors=inside, edgecolors=edge)
    axis.axhline(end, color=FAINT, lw=0.7, ls=":")


def tables(curves: Sequence[Curves]) -> dict[str, Table]:
    """A row for each recorded step of each run, and a row for each run."""

    def known(c: Curves, i: int) -> dict[str, object]:
        return {"activation": c.activation, **asdict(c.runs[i]), "Q": float(c.Q[i])}

    return {
        "data": joined(
            curve_table(
                c.steps,
                ((known(c, i), {"residual": c.residual[:, i]}) for i in range(len(c.runs))),
            )
            for c in curves
        ),
        "steps": row_table(
            {**known(c, i), "steps": float(c.taken[i])} for c in curves for i in range(len(c.runs))
        ),
    }


FIG6 = Experiment(
    "fig6",
    "Convergence of gradient descent from different conserved quantities",
    REFERENCE,
    tasks,
    summarize,
    setup={
        "loss": "mean of the squares of Y − Uσ(V), as the public code; X = I",
        "learning rate": "of that loss; of ‖Y − Uσ(V)‖² it is 50 times smaller",
        "initial": "U, V ~ N(0, std²), Y ~ N(0, 1)",
        "converged": "‖Y − Uσ(V)‖² ≤ 0.01 ‖Y‖²",
    },
)
