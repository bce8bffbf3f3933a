"""Figure 8: gradient flows with different Q end at different points of the minimum."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from paramsym.experiments.experiment import (
    Drawing,
    Experiment,
    Finding,
    Finished,
    Settings,
    Summary,
    Task,
)
from paramsym.experiments.figures.fig1 import CONSTANT, ends, paths
from paramsym.experiments.figures.valley_surface import color
from paramsym.experiments.measuring.intervals import mean_interval, within
from paramsym.experiments.measuring.valley import (
    PRECISION,
    RANDOM,
    SPREAD,
    Valley,
    drift,
    joined,
    missed,
    position,
    split,
    starts_on,
    tasks,
)
from paramsym.report.style import FAINT, INK, WIDTH, figure_style

REFERENCE = "Appendix H, Figure 8"
VALLEY = Valley(Y=2.0, X=1.0, a=0.5)
LEVELS = (-5.0, -3.0, -1.5, 0.0, 1.5, 3.0, 5.0)
"""Q of the flows that are drawn."""

PRODUCTS = (-1.5, 1e-3, 6.0)
"""UV where they start; the flow with Q = 0 has no start below 0."""

REACH = 3.2
"""Largest |U| and |V| of the phase portrait."""

Flows = Mapping[str, Tensor]


def plan(settings: Settings) -> list[Task]:
    """Flows on both branches of every level, and random ones."""
    return tasks(VALLEY, starts_on(VALLEY, LEVELS, PRODUCTS), settings)


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """The phase portrait, and where random flows end."""
    drawn, random = split(list(results))
    flows = joined(random)
    caption = (
        "Left: gradient flows of ½‖Y − UVX‖², Y = 2, X = 1, coloured by Q = U² − V², from the open "
        "ends of the lines to the dots on the minimum UV = 2 (thick); thin lines are levels of the "
        f"loss. Right: where {len(flows['Q'])} flows from random starts end on the minimum, "
        "against their Q at the start (dots), and ½ arsinh(Q/4) (line)."
    )
    return Summary(
        findings=[
            different(VALLEY, [r.arrays for r in random]),
            predicted(VALLEY, [r.arrays for r in random]),
            constant([r.arrays for r in random]),
        ],
        drawings={"figure": Drawing(draw(VALLEY, drawn.arrays, flows), caption)},
        tables={"data": paths(drawn), "ends": ends(VALLEY, joined([drawn, *random]))},
    )


# -- findings --------------------------------------------------------------------------------------


def slope(valley: Valley, flows: Flows) -> float:
    """Of the end's position against ½ arsinh(Q/(2Y/X)): 1 in theory, 0 if all end at one point."""
    x = torch.asinh(flows["Q"][:, 0] / (2 * valley.product)) / 2
    y = position(flows["U"][:, -1], flows["V"][:, -1])
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / x.square().sum())


def different(valley: Valley, seeds: Sequence[Flows]) -> Finding:
    """Do different Q lead to different points?"""
    value, interval = mean_interval([slope(valley, flows) for flows in seeds])
    closest = min(least_separation(flows) for flows in seeds)
    return Finding(
        "Trajectories corresponding to different values of Q intersect the minima at different "
        "points.",
        REFERENCE,
        f"Slope of the end's position ½log(U/V) against ½arsinh(Q/4) over {len(seeds)} seeds of "
        f"{len(seeds[0]['Q'])} random flows: {value:.10f}. Ends whose Q differ by δ are at least "
        f"{closest:.3f}·δ apart.",
        within(interval, low=0.5) if closest > 0 else False,
        "the interval is above ½, midway between all ends at one point (0) and each at that of its "
        "Q (1), and no two ends agree",
        value,
        interval,
        0.95,
        note="Flows with one Q end at one point of each branch: (U, V) or (−U, −V).",
    )


def least_separation(flows: Flows) -> float:
    """The smallest distance of two ends over the difference of their Q."""
    up, v, Q = flows["U"][:, -1], flows["V"][:, -1], flows["Q"][:, 0]
    i, j = torch.triu_indices(len(Q), len(Q), offset=1)
    apart = torch.hypot(up[i] - up[j], v[i] - v[j])
    return float((apart / (Q[i] - Q[j]).abs()).min())


def predicted(valley: Valley, seeds: Sequence[Flows]) -> Finding:
    """Does Q alone say where on a branch a flow ends?"""
    value, interval = mean_interval([float(missed(valley, flows).max()) for flows in seeds])
    return Finding(
        "The point where a trajectory meets the minimum is that with UV = Y/X and its own Q.",
        "Appendix H.1, Figure 8",
        "Distance of the end to that point, relative, the largest of each seed: mean "
        f"{value:.1e} over {len(seeds)} seeds.",
        within(interval, high=PRECISION),
        f"the interval lies below {PRECISION:.0e}, the precision of the flows",
        value,
        interval,
        0.95,
    )


def constant(seeds: Sequence[Flows]) -> Finding:
    """Is Q constant along the flows?"""
    value, interval = mean_interval([float(drift(flows).max()) for flows in seeds])
    return Finding(
        "Q = U² − V² is a conserved quantity.",
        "Appendix H.1",
        "Largest change of Q along the flows of a seed, relative to U² + V² at the start: mean "
        f"{value:.1e} over {len(seeds)} seeds.",
        within(interval, high=CONSTANT),
        f"the interval lies below {CONSTANT:.0e}",
        value,
        interval,
        0.95,
    )


# -- figure ----------------------------------------------------------------------------------------


def draw(valley: Valley, drawn: Flows, random: Flows) -> Figure:
    """Phase portrait, and position against Q."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        _portrait(left, valley, drawn)
        _positions(right, valley, drawn, random)
    return figure


def _portrait(axis: Axes, valley: Valley, drawn: Flows) -> None:
    grid = np.linspace(-REACH, REACH, 201)
    up, v = np.meshgrid(grid, grid)
    loss = valley.a * (valley.Y - up * v * valley.X) ** 2
    axis.contour(up, v, loss, levels=[0.1, 0.5, 2, 8, 24], colors=FAINT, linewidths=0.4)
    for sign in (1, -1):
        x = sign * np.linspace(valley.product / REACH, REACH, 200)
        axis.plot(x, valley.product / x, color=INK, lw=1.8, zorder=2)
    for path in range(len(drawn["U"])):
        x, y = drawn["U"][path].numpy(), drawn["V"][path].numpy()
        tint = color(float(drawn["Q"][path, 0]))
        axis.plot(x, y, color=tint, lw=1.2, zorder=3)
        _arrow(axis, x, y, tint)
        axis.plot(x[-1:], y[-1:], "o", color=tint, ms=4.5, mec="white", mew=0.5, zorder=5)
    axis.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xlabel="U", ylabel="V", aspect="equal")


def _arrow(axis: Axes, x: np.ndarray, y: np.ndarray, tint: str) -> None:
    """A head halfway along a path, by its length."""
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    middle = min(max(int(np.searchsorted(length, 0.5 * length[-1])), 1), len(x) - 1)
    axis.annotate(
        "",
        (float(x[middle]), float(y[middle])),
        (float(x[middle - 1]), float(y[middle - 1])),
        arrowprops={"arrowstyle": "-|>", "color": tint, "lw": 0, "mutation_scale": 8},
        zorder=4,
    )


def _positions(axis: Axes, valley: Valley, drawn: Flows, random: Flows) -> None:
    shown = 8.0
    Q = torch.linspace(-shown, shown, 301, dtype=torch.float64)
    axis.plot(Q, torch.asinh(Q / (2 * valley.product)) / 2, color=INK, lw=1)
    place = position(random["U"][:, -1], random["V"][:, -1])
    axis.plot(random["Q"][:, 0], place, "o", color=FAINT, ms=2.5, mew=0)
    tints = [color(float(q)) for q in drawn["Q"][:, 0]]
    place = position(drawn["U"][:, -1], drawn["V"][:, -1])
    axis.scatter(drawn["Q"][:, 0], place, s=22, c=tints, ec="white", lw=0.5, zorder=3)
    top = float(torch.asinh(torch.tensor(shown / (2 * valley.product)))) / 2
    axis.set(xlim=(-shown, shown), ylim=(-1.05 * top, 1.05 * top), xlabel="Q of the flow")
    axis.set_title("where it ends: ½ log(U/V)")


FIG8 = Experiment(
    "fig8",
    "Gradient flows with different Q end at different points of the minimum",
    REFERENCE,
    plan,
    summarize,
    setup={
        "loss": "½‖Y − UVX‖² of two numbers, Y = 2, X = 1",
        "flow": "gradient flow to rtol 1e-12, float64, both scales alike",
        "random starts": f"{RANDOM} a seed, U, V ~ N(0, {SPREAD:g}²)",
        "Q": "U² − V²",
    },
)
