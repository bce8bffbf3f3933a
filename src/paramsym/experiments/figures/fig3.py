"""Figure 3: how far gradient descent moves what gradient flow conserves."""

import math
from collections.abc import Mapping, Sequence

import torch
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
from paramsym.experiments.figures.curves import band, curve_table, joined
from paramsym.experiments.measuring.drift import CONVERGED, LRS, Drift, drift_of
from paramsym.experiments.measuring.intervals import above_zero, mean_interval, within
from paramsym.experiments.measuring.two_layer_runs import LABELS, Plan, descend
from paramsym.report.style import BLUE, FAINT, GREEN, INK, RED, WIDTH, figure_style

SHAPE = (5, 50, 10)
STD = 0.1
DTYPES = ("float64", "float32")
STEPS: Mapping[Scale, int] = {"paper": 400_000, "quick": 20_000}
LONGER = {"sigmoid": 2}
"""The paper runs the sigmoid network for twice as many steps."""


REFERENCE = "Appendix E.2, Figure 3"


def tasks(settings: Settings) -> list[Task]:
    """One task for each activation and precision."""
    plans = [plan(settings, activation, dtype) for activation in LABELS for dtype in DTYPES]
    return [
        Task(f"{p.activation}, {p.dtype}", descend, p.as_settings(), cost=p.cost()) for p in plans
    ]


def plan(settings: Settings, activation: str, dtype: str) -> Plan:
    """All seeds and learning rates of one activation."""
    m, _, n = SHAPE
    steps = STEPS[settings.scale] * LONGER.get(activation, 1)
    return Plan(
        activation,
        SHAPE,
        steps,
        scale=1 / (m * n),
        seeds=tuple(settings.repetitions),
        stds=(STD,),
        lrs=LRS,
        dtype=dtype,
        # The steps at which all learning rates have trained for as long as the smallest has.
        also=tuple(round(steps * min(LRS) / lr) for lr in LRS),
    )


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and table."""
    drifts = [drift_of(finished) for finished in results]
    exact = [drift for drift in drifts if drift.dtype == "float64"]
    single = [drift for drift in drifts if drift.dtype == "float32"]
    return Summary(
        [small(exact), grows(exact), same_magnitude(exact, single), settles(exact), law(exact)],
        {"figure": Drawing(draw(exact, single), CAPTION)},
        {"data": table(drifts)},
    )


# -- findings --------------------------------------------------------------------------------------


def small(drifts: Sequence[Drift]) -> Finding:
    """Is the change small?"""
    found = {d.activation: mean_interval(d.change[-1, :, 0]) for d in drifts}
    worst = max(found, key=lambda name: found[name][1][1])
    value, interval = found[worst]
    each = ", ".join(f"{LABELS[name]} {mean:.1e}" for name, (mean, _) in found.items())
    return Finding(
        "The amount of change in Q is small relative to its magnitude.",
        REFERENCE,
        f"|ΔQ̃| at the end with the largest learning rate, {LRS[0]:g}, mean over seeds: {each}.",
        within(interval, high=0.01),
        "the interval of the largest is below 1 %",
        value,
        interval,
        0.95,
    )


def slopes(drift: Drift) -> Tensor:
    """Slope of log|ΔQ̃| against log η at equal training time, `[seeds]`."""
    change, _ = drift.at_equal_time()
    x = torch.tensor(LRS, dtype=torch.float64).log()
    y = change.log()
    x = x - x.mean()
    return (y * x).sum(1) / x.square().sum()


def grows(drifts: Sequence[Drift]) -> Finding:
    """Does it grow with the step size?"""
    found = {d.activation: mean_interval(slopes(d)) for d in drifts}
    least = min(found, key=lambda name: found[name][1][0])
    value, interval = found[least]
    each = ", ".join(f"{LABELS[name]} {mean:.2f}" for name, (mean, _) in found.items())
    return Finding(
        "The error in Q grows with the step size.",
        REFERENCE,
        f"Slope of log|ΔQ̃| against log η after the same training time: {each}.",
        above_zero(interval),
        "the interval of the smallest slope is above 0",
        value,
        interval,
        0.95,
        note="The exact law gives 1: η² a step, and 1/η steps.",
    )


def same_magnitude(exact: Sequence[Drift], single: Sequence[Drift]) -> Finding:
    """Is it of the same magnitude at all learning rates?"""

    def decades(drift: Drift) -> Tensor:
        change, _ = drift.at_equal_time()
        return (change[:, 0] / change[:, -1]).log10()

    values = torch.cat([decades(d) for d in exact])
    value, interval = mean_interval(values)
    linear = [d for d in (*exact, *single) if d.activation == "identity"]
    each = "; ".join(
        f"{d.dtype} " + " / ".join(f"{float(x):.1e}" for x in d.change[-1].mean(0)) for d in linear
    )
    return Finding(
        "The error has the same magnitude for the largest learning rate as for smaller ones.",
        REFERENCE,
        f"In float64 the error at η = {LRS[0]:g} is 10^{value:.2f} times that at η = {LRS[-1]:g}. "
        f"Linear net at the end, η = {' / '.join(f'{lr:g}' for lr in LRS)}: {each}.",
        None if (apart := within(interval, low=1)) is None else not apart,
        "the interval of log₁₀ of the ratio reaches below 1",
        value,
        interval,
        0.95,
        note="With float32, as in the public code, rounding hides the dependence at small steps.",
    )


def settles(drifts: Sequence[Drift]) -> Finding:
    """Does Q stay constant after the loss has converged?"""
    shares = torch.cat([d.after_convergence() for d in drifts])
    runs = sum(d.change[0].numel() for d in drifts)
    claim = "Q stays constant after the loss converges."
    bound = "the interval is below 10 %"
    if len(shares) < 2:
        measured = f"Fewer than two of {runs} runs converge in the first half of their steps."
        return Finding(claim, REFERENCE, measured, None, bound, math.nan)
    value, interval = mean_interval(shares)
    return Finding(
        claim,
        REFERENCE,
        f"Change of Q̃ after convergence, as a share of the change until then: {100 * value:.1f} % "
        f"over the {len(shares)} of {runs} runs that converge in the first half of their steps.",
        within(interval, high=0.1),
        bound,
        value,
        interval,
        0.95,
        note=f"Converged: {CONVERGED:g} of the loss that the run loses in all is left to lose.",
    )


def law(drifts: Sequence[Drift]) -> Finding:
    """Is it what the law says?"""
    pairs = [d.at_equal_time() for d in drifts]
    ratios = torch.cat([(change / predicted).flatten() for change, predicted in pairs])
    value, interval = mean_interval(ratios)
    worst = float((ratios - 1).abs().max())
    return Finding(
        "A step changes Q by η²/2 ⟨g, ∇²Q g⟩, which for linear nets is η²(‖g_U‖² − ‖g_V‖²)/2.",
        "eq. (44); docs/derivations.md §7",
        f"Measured change over predicted change, all activations and learning rates: "
        f"{value:.3f}; furthest from 1 by {worst:.3f}.",
        within(interval, 0.95, 1.05),
        "the interval is within 5 % of 1",
        value,
        interval,
        0.95,
        note="The law is summed over the recorded steps only.",
    )


# -- figure and table ------------------------------------------------------------------------------

CAPTION = (
    "Change of the normalised conserved quantity (top) and distance to the target (bottom) under "
    "gradient descent of the mean of the squares of Y − Uσ(V), with (m, h, n) = (5, 50, 10), for "
    "three learning rates; lines are medians over seeds, bands their range. Dashed: what the drift "
    "law predicts. Dotted: the same descent in float32, where rounding takes over at small steps."
)

_COLORS = dict(zip(LRS, (RED, BLUE, GREEN), strict=True))


def draw(exact: Sequence[Drift], single: Sequence[Drift]) -> Figure:
    """Drift above, loss below; a column for each activation."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 3.7), layout="constrained")
        axes = figure.subplots(2, len(exact), sharex="col", sharey="row", squeeze=False)
        for column, drift in enumerate(exact):
            top, bottom = axes[:, column]
            top.set_title(LABELS[drift.activation])
            for i, lr in enumerate(LRS):
                band(top, drift.steps, drift.change[..., i], _COLORS[lr], f"η = {lr:g}")
                law = drift.predicted[..., i].median(1).values
                top.plot(drift.steps[1:], law[1:], color=INK, lw=0.8, ls=(0, (4, 3)))
                band(bottom, drift.steps, drift.residual[..., i], _COLORS[lr], f"η = {lr:g}")
            for other in single:
                if other.activation == drift.activation:
                    for i, lr in enumerate(LRS):
                        middle = other.change[..., i].median(1).values
                        top.plot(other.steps[1:], middle[1:], color=_COLORS[lr], lw=0.9, ls=":")
            for axis in (top, bottom):
                axis.set_xscale("log")
                axis.set_yscale("log")
            bottom.set_xlabel("step")
        axes[0, 0].set_ylabel("|ΔQ̃|")
        axes[1, 0].set_ylabel("‖Y − Uσ(V)‖")
        axes[0, 0].set_ylim(bottom=1e-10)
        axes[1, 0].legend(loc="lower left", handlelength=1.2)
        lines = [("law", "--", INK), ("float32", ":", FAINT)]
        handles = [axes[0, 0].plot([], [], ls=ls, color=c, lw=1)[0] for _, ls, c in lines]
        axes[0, -1].legend(handles, [name for name, *_ in lines], loc="lower right")
    return figure


def table(drifts: Sequence[Drift]) -> Table:
    """A row for each recorded step of each run."""
    return joined(
        curve_table(
            d.steps,
            (
                (
                    {"activation": d.activation, "dtype": d.dtype, "seed": seed, "lr": lr},
                    {
                        "residual": d.residual[:, s, i],
                        "dQ": d.change[:, s, i],
                        "dQ_predicted": d.predicted[:, s, i],
                    },
                )
                for s, seed in enumerate(d.seeds)
                for i, lr in enumerate(LRS)
            ),
        )
        for d in drifts
    )


FIG3 = Experiment(
    "fig3",
    "Dynamics of conserved quantities in gradient descent",
    REFERENCE,
    tasks,
    summarize,
    setup={
        "loss": "mean of the squares of Y − Uσ(V), as the public code; X = I",
        "learning rates": "of that loss; of ‖Y − Uσ(V)‖² they are 50 times smaller",
        "initial": "U, V ~ N(0, 0.1²), Y ~ N(0, 1)",
        "precision": "float64, and float32 beside it; Q is measured in float64",
    },
)
