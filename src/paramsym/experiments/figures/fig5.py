"""Figure 5: the distribution of Q of elementwise networks at initialisation."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats
from torch import Tensor

from paramsym.experiments.experiment import (
    Drawing,
    Experiment,
    Finding,
    Finished,
    Settings,
    Summary,
    Table,
    Task,
)
from paramsym.experiments.figures.fig4 import histogram, write
from paramsym.experiments.measuring.initialisation import ACTIVATIONS, DRAWS, WIDTH, joined
from paramsym.experiments.measuring.initialisation import tasks as draws
from paramsym.experiments.measuring.intervals import bootstrap_interval, each_of
from paramsym.experiments.measuring.rescaling import rescale
from paramsym.report.style import BLUE, FAINT, GREEN, INK, figure_style
from paramsym.report.style import WIDTH as PAGE

REFERENCE = "Appendix F, Figure 5"
LABELS = {"relu": "ReLU", "tanh": "tanh", "sigmoid": "sigmoid"}
LEVEL = each_of(len(ACTIVATIONS), 0.99)
"""Of each activation's test, so that all three hold together at 99 %."""

SMALL = 0.1
"""A range is small that is no more than this part of the two terms whose difference Q is."""

ROUNDING = 1e-12
"""Outputs are the same that agree to this, relative: 100·eps, times a condition number of 10²."""


def tasks(settings: Settings) -> list[Task]:
    """The draws that Figure 4 has too, and one move of one network an activation."""
    return draws(settings) + [
        Task(
            f"scalings, {LABELS[name]}",
            rescale,
            {"activation": name, "width": WIDTH, "seed": settings.seed},
        )
        for name in ACTIVATIONS
    ]


def moments(name: str, width: int = WIDTH) -> tuple[float, float]:
    """Mean and standard deviation of eq. (53) for m = h = n = width, with variance s² = 1/width.

    By the moments of Φ(v), v ~ N(0, s²): of v₊²/2, (cosh 2v − 1)/4 and v + eᵛ − 1.
    """
    s2, count = 1 / width, width * width
    mean, variance = {
        "relu": (s2 / 4, 5 * s2**2 / 16),
        "tanh": (
            math.expm1(2 * s2) / 4,
            ((1 + math.exp(8 * s2)) / 2 - math.exp(4 * s2)) / 16,
        ),
        "sigmoid": (
            math.expm1(s2 / 2),
            s2 + math.exp(s2) * math.expm1(s2) + 2 * s2 * math.exp(s2 / 2),
        ),
    }[name]
    return width / 2 - count * mean, math.sqrt(count * (s2**2 / 2 + variance))


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Shapes, ranges, and how far Q moves at the same loss."""
    found = joined(results)
    Q = {name: found["upper"] - found["lower"][:, i] for i, name in enumerate(ACTIVATIONS)}
    moves = {r.task.settings["activation"]: r for r in results if r.task.compute is rescale}
    caption = (
        f"Top: Q of eq. (53) for {len(found['upper'])} networks with m = h = n = {WIDTH} and "
        "variance 1/fan_in, and the normal density with the exact mean and deviation (line). "
        "Bottom: Q of one network whose hidden layer is scaled, V ↦ cV, with U so that the outputs "
        "at the samples stay; the band is the central 95 % of the draws above. Peaks of tanh are "
        "where σ(cV) is nearly singular."
    )
    return Summary(
        findings=[
            *(shape(name, Q[name], found["linear"]) for name in ACTIVATIONS),
            *(
                concentrated(name, found["upper"], found["lower"][:, i])
                for i, name in enumerate(ACTIVATIONS)
            ),
            *(small_part(name, Q[name], moves[name]) for name in ACTIVATIONS),
        ],
        drawings={"figure": Drawing(draw(Q, moves), caption)},
        tables={"data": table(found, Q), "scalings": scalings(moves)},
    )


# -- findings --------------------------------------------------------------------------------------


def shape(name: str, values: Tensor, linear: Tensor) -> Finding:
    """Is the distribution that of the linear network, up to place and width?"""
    distance = largest_gap(standardised(values), standardised(linear))
    bound = critical_distance(len(values), len(linear), LEVEL)
    skews = [bootstrap_interval(x, stats.skew, LEVEL) for x in (values, linear)]
    (skew, (low, high)), (other, _) = skews
    tails = float(stats.kurtosis(values.numpy()))
    widths = float(values.std() / linear.std())
    return Finding(
        f"The shape of the distribution for {LABELS[name]} is similar to that of linear networks.",
        REFERENCE,
        "Kolmogorov–Smirnov distance to as many linear networks, both standardised: "
        f"{distance:.3f}; skewness {skew:.2f} ({low:.2f} to {high:.2f}), linear {other:.2f}; "
        f"excess kurtosis {tails:.2f}. It is {widths:.2f} times as wide.",
        distance <= bound,
        f"the distance is at most {bound:.3f}, as for {100 * LEVEL:.1f} % of pairs of normal "
        "samples",
        distance,
        note="Of the shape alone: the centre and the width are not those of the linear network.",
    )


def standardised(values: Tensor | np.ndarray) -> np.ndarray:
    """Less the mean, over the standard deviation."""
    x = np.asarray(values)
    return (x - x.mean()) / x.std(ddof=1)


def largest_gap(x: np.ndarray, y: np.ndarray) -> float:
    """The Kolmogorov–Smirnov distance of two samples."""
    grid = np.concatenate([x, y])
    below = [np.searchsorted(np.sort(z), grid, side="right") / len(z) for z in (x, y)]
    return float(np.abs(below[0] - below[1]).max())


@cache
def critical_distance(first: int, second: int, level: float, repetitions: int = 2000) -> float:
    """Quantile of the distance of two standardised normal samples, by simulation.

    It is smaller than that of the test of Kolmogorov and Smirnov, because of the standardisation.
    """
    rng = np.random.default_rng(0)
    distances = [
        largest_gap(*(standardised(rng.standard_normal(n)) for n in (first, second)))
        for _ in range(repetitions)
    ]
    return float(np.quantile(distances, level))


def concentrated(name: str, upper: Tensor, lower: Tensor) -> Finding:
    """Is the range of Q small beside the terms that it is the difference of?"""
    size = float(upper.mean().abs() + lower.mean().abs())
    ratio, interval = bootstrap_interval((upper - lower) / size, central_range, LEVEL)
    low, high = central(upper - lower)
    return Finding(
        f"Q is concentrated around a small range of values, for {LABELS[name]}.",
        REFERENCE,
        f"The central 95 % of the draws lie between {low:.2f} and {high:.2f}, a range of "
        f"{100 * ratio:.1f} % of |½Tr[UᵀU]| + |ΣΦ| = {size:.1f}, by which eq. (47) divides.",
        interval[1] <= SMALL,
        f"the interval over draws lies below {100 * SMALL:.0f} %",
        ratio,
        interval,
        LEVEL,
        note="The potential of sigmoid, v + eᵛ − 1 ≈ 2v, is linear in V near 0, those of the "
        "others are quadratic: its sum varies by 2√h, about 2√h times as much."
        if name == "sigmoid"
        else "",
    )


def central_range(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Width of the central 95 %."""
    low, high = np.quantile(values, (0.025, 0.975), axis=axis)
    return high - low


def central(values: Tensor) -> tuple[float, float]:
    """Ends of the central 95 %."""
    low, high = np.quantile(values.numpy(), (0.025, 0.975))
    return float(low), float(high)


def small_part(name: str, values: Tensor, move: Finished) -> Finding:
    """Does Q leave the range of the draws, on both sides, while the outputs stay?"""
    low, high = central(values)
    Q, change, elsewhere = move["Q"], float(move["change"].max()), float(move["elsewhere"].max())
    ratio = float((Q.max() - Q.min()) / (high - low))
    kept = change <= ROUNDING
    symmetric = int(move["symmetries"]) > 0
    how = "by its scaling symmetry" if symmetric else "by the data-dependent action"
    c = move["scales"]
    note = (
        "The symmetry keeps the whole function. Q has no bound: it is ½‖U‖²/c² − c²ΣΦ."
        if symmetric
        else f"The linear symmetries of {LABELS[name]} have dimension 0, so that the argument by a "
        "symmetry of the weights is not available. The data-dependent action keeps the loss at the "
        f"samples; at fresh inputs outputs change by up to {elsewhere:.1%}."
    )
    return Finding(
        "The range of Q is unbounded, and the initialisation limits the model to a small part of "
        f"the global minimum, for {LABELS[name]}.",
        REFERENCE,
        f"Scaled {how} with c from {float(c[0]):.2f} to {float(c[-1]):.2f}, Q goes from "
        f"{float(Q.max()):.0f} to {float(Q.min()):.0f}, {ratio:.0f} times the central 95 % of the "
        f"draws; the outputs at the samples change by {change:.0e}, relative.",
        bool(Q.min() < low and Q.max() > high) if kept else None,
        "Q leaves the central 95 % on both sides while outputs at the samples agree to "
        f"{ROUNDING:.0e}",
        ratio,
        note=note,
    )


# -- figure and tables -----------------------------------------------------------------------------


def draw(Q: Mapping[str, Tensor], moves: Mapping[str, Finished]) -> Figure:
    """Histograms above, Q along scalings below."""
    with figure_style():
        figure = Figure(figsize=(PAGE, 3.9), layout="constrained")
        axes = figure.subplots(2, len(Q))
        for column, (name, values) in enumerate(Q.items()):
            top, bottom = axes[:, column]
            mean, std = moments(name)
            q = np.linspace(mean - 4 * std, mean + 4 * std, 400)
            histogram(top, values, np.linspace(q[0], q[-1], 33))
            top.plot(q, stats.norm.pdf(q, mean, std), color=INK, lw=1.1)
            top.set(title=LABELS[name], xlabel="Q", xlim=(q[0], q[-1]))
            top.set_ylim(0, 1.3 * float(stats.norm.pdf(0, 0, std)))
            write(top, 0.03, 0.93, f"mean {float(values.mean()):.2f}", BLUE)
            write(top, 0.03, 0.83, f"std {float(values.std()):.2f}", BLUE)
            _scaling(bottom, values, moves[name])
        axes[0, 0].set_ylabel("density")
        axes[1, 0].set_ylabel("Q at the same outputs")
    return figure


def _scaling(axis: Axes, values: Tensor, move: Finished) -> None:
    low, high = central(values)
    axis.axhspan(low, high, color=BLUE, alpha=0.45, lw=0.8)
    axis.plot(move["scales"], move["Q"], color=GREEN)
    axis.set(xscale="log", xlabel="c, in V ↦ cV")
    ticks = [0.5, 1, 2]
    axis.set_xticks(ticks, [f"{c:g}" for c in ticks])
    axis.minorticks_off()
    axis.tick_params(axis="y", colors=FAINT, labelcolor=INK)
    linear = int(move["symmetries"]) > 0
    write(axis, 0.97, 0.93, "symmetry" if linear else "data-dependent action", GREEN, "right")
    write(axis, 0.97, 0.83, "95 % of the draws", BLUE, "right")


def table(found: Mapping[str, Tensor], Q: Mapping[str, Tensor]) -> Table:
    """A row for each draw and activation; the linear networks are those that are compared with."""
    columns: dict[str, list[object]] = {k: [] for k in ("activation", "draw", "Q")}
    for name, values in {"identity": found["linear"], **Q}.items():
        columns["activation"] += [name] * len(values)
        columns["draw"] += range(len(values))
        columns["Q"] += values.tolist()
    return columns


def scalings(moves: Mapping[str, Finished]) -> Table:
    """A row for each scaling of each activation's network."""
    names: Mapping[str, Callable[[Finished], Sequence[object]]] = {
        "activation": lambda r: [r.task.settings["activation"]] * len(r["scales"]),
        "c": lambda r: r["scales"].tolist(),
        "Q": lambda r: r["Q"].tolist(),
        "change_at_samples": lambda r: r["change"].tolist(),
        "change_at_fresh_inputs": lambda r: r["elsewhere"].tolist(),
    }
    return {name: [x for r in moves.values() for x in of(r)] for name, of in names.items()}


FIG5 = Experiment(
    "fig5",
    "Distribution of Q at initialisation, elementwise activations",
    REFERENCE,
    tasks,
    summarize,
    # A seed is 1000 independent draws already, which intervals are taken over.
    seeds={"quick": 1, "paper": 1},
    setup={
        "plotted": "Q = ½Tr[UᵀU] − ΣΦ(V), Φ' = σ/σ', Φ(0) = 0, X = I (eq. (53))",
        "shape": f"m = h = n = {WIDTH}",
        "draws": f"{DRAWS} a seed; both scales are the paper's own",
        "initial": "normal, variance 1/fan_in (eq. (51))",
        "precision": "float32 normal numbers, float64 sums over blocks; scalings in float64",
        "shared numbers": "the three activations have the same U, V; the linear network others",
    },
)
