"""Sharpness along an orbit: one function, one accuracy, and any sharpness."""

import math
from collections.abc import Mapping, Sequence

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
from paramsym.experiments.figures.curves import row_table
from paramsym.experiments.measuring.convergence import rank_correlation
from paramsym.experiments.measuring.image_models import digest
from paramsym.experiments.measuring.intervals import excludes_zero, mean_interval, within
from paramsym.experiments.measuring.orbit_sharpness import Sharpnesses, Walk, sharpnesses_of, walk
from paramsym.report.style import BLUE, FAINT, RED, WIDTH, figure_style, plain_numbers

WAYS = ((16, 1e-3), (16, 3e-3), (64, 3e-3), (256, 3e-3), (256, 1e-2))
EPOCHS: Mapping[Scale, int] = {"quick": 20, "paper": 60}
COLOUR_EPOCHS: Mapping[Scale, int] = {"quick": 6, "paper": 60}
"""Of CIFAR-10, of which 5,000 images then take about as many steps as the digits do."""
POINTS: Mapping[Scale, int] = {"quick": 2, "paper": 16}
IMAGES: Mapping[Scale, int] = {"quick": 64, "paper": 600}
ITERATIONS: Mapping[Scale, int] = {"quick": 6, "paper": 40}
SPREAD = 0.5
FACTOR = 2.0
"""A sharpness that changes by less is hardly changed."""
REFERENCE = "ours, after Section 6 and Dinh et al., Sharp minima can generalize, 2017"


def tasks(settings: Settings) -> list[Task]:
    """One task a seed and way of training."""
    data = settings.source
    scale = settings.scale
    epochs = (EPOCHS if data == "digits" else COLOUR_EPOCHS)[scale]
    return [
        Task(
            f"batch {batch}, lr {lr:g}, seed {seed}",
            walk,
            Walk(
                data, digest(data), seed, lr, batch, epochs, POINTS[scale], SPREAD,
                IMAGES[scale], ITERATIONS[scale],
            ).as_settings(),
            revision=2,
            cost=25 if scale == "quick" else 300,
        )
        for seed in settings.repetitions
        for batch, lr in WAYS
    ]  # fmt: skip


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and table."""
    found = sharpnesses_of(results)
    return Summary(
        [
            same_function(found),
            varies(found, "trace"),
            varies(found, "largest"),
            *(correlates(found, measure, at) for measure in MEASURES for at in (0, 1)),
        ],
        {"figure": Drawing(draw(found), CAPTION)},
        {"data": table(found)},
    )


# -- findings --------------------------------------------------------------------------------------

MEASURES = {"trace": "trace of the Hessian", "largest": "largest eigenvalue of the Hessian"}


def _values(found: Sharpnesses, measure: str) -> Tensor:
    return found.trace if measure == "trace" else found.largest


def same_function(found: Sharpnesses) -> Finding:
    """Is it one function, with one accuracy?"""
    worst = float(found.drift.max())
    spread = float((found.accuracy - found.accuracy[..., :1]).abs().max())
    return Finding(
        "All points of an orbit have the same outputs, and so the same accuracy.",
        REFERENCE,
        f"Largest change of a test output, relative to the largest: {worst:.0e}. Largest change of "
        f"the test accuracy: {100 * spread:g} points.",
        worst < 1e-9 and spread == 0,
        "outputs change by less than 1e-9, and no accuracy does",
        worst,
    )


def varies(found: Sharpnesses, measure: str) -> Finding:
    """By what factor does the sharpness vary over an orbit?"""
    values = _values(found, measure)
    ratio = (values.amax(-1) / values.amin(-1).clamp_min(1e-30)).log2().mean(1)
    trained = (values[..., 0] / values[..., 1]).mean(1)
    value, interval = mean_interval(ratio)
    return Finding(
        f"Along an orbit the {MEASURES[measure]} varies by more than a factor of {FACTOR:g}, at "
        "one accuracy.",
        REFERENCE,
        f"Largest over smallest value at {values.shape[-1]} points of an orbit, geometric mean: "
        f"{2**value:.3g}. As trained it is {float(trained.mean()):.2f} times that of the point "
        "with the least eigenvalue that was found.",
        within(interval, low=math.log2(FACTOR)),
        f"the interval of log₂ of the ratio is above {math.log2(FACTOR):g}",
        value,
        interval,
        0.95,
        note="Sharpness at one point says nothing of generalisation by itself: the orbit has the "
        "same generalisation and any of these values.",
    )


def correlates(found: Sharpnesses, measure: str, at: int) -> Finding:
    """Does sharpness rank networks by test loss, as trained or at the flattest point?"""
    values = _values(found, measure)[..., at]
    own = [
        rank_correlation(sharp, test)
        for sharp, test in zip(values, found.test_loss[..., at], strict=True)
    ]
    usable = [tau for tau in own if math.isfinite(tau)]
    value, interval = mean_interval(usable) if usable else (math.nan, (-math.inf, math.inf))
    where = "as trained" if at == 0 else "at the flattest point found of the orbit"
    return Finding(
        f"Over networks trained in different ways, the {MEASURES[measure]} {where} is correlated "
        "with the test loss.",
        REFERENCE,
        f"Kendall's τ over {len(found.ways)} ways of training, mean of {len(usable)} seeds: "
        f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}].",
        excludes_zero(interval),
        "the interval of τ does not hold 0",
        value,
        interval,
        0.95,
        note="The training losses differ as well; cross-entropy is flat where it is small.",
    )


# -- figure and table ------------------------------------------------------------------------------

CAPTION = (
    "Test loss against the trace (left) and the largest eigenvalue (right) of the training loss's "
    "Hessian. Each horizontal line is one orbit: a network as trained (blue), at the flattest "
    "point found (red), and at random points (grey)."
)


def draw(found: Sharpnesses) -> Figure:
    """A panel for each measure."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        for axis, (measure, label) in zip(figure.subplots(1, 2), MEASURES.items(), strict=True):
            values = _values(found, measure).flatten(0, 1)
            level = found.test_loss[..., 0].flatten()
            axis.hlines(level, values.amin(1), values.amax(1), color=FAINT, lw=0.4)
            for points, color, name in (
                (slice(2, None), FAINT, "random points"),
                (slice(0, 1), BLUE, "as trained"),
                (slice(1, 2), RED, "flattest found"),
            ):
                at = values[:, points]
                axis.plot(at.flatten(), level[:, None].expand_as(at).flatten(), ".", color=color,
                          ms=4, label=name)  # fmt: skip
            axis.set(xscale="log", xlabel=label, ylabel="test loss")
            plain_numbers(axis.xaxis)
        marks = figure.axes[0].get_legend_handles_labels()
        figure.legend(*marks, loc="outside upper center", ncols=3)
    return figure


def table(found: Sharpnesses) -> Table:
    """A row for every point."""
    return row_table(
        {
            "seed": seed,
            "batch": batch,
            "lr": lr,
            "point": ("trained", "flattest")[p] if p < 2 else f"random {p - 1}",
            "trace": float(found.trace[s, w, p]),
            "largest": float(found.largest[s, w, p]),
            "accuracy": float(found.accuracy[s, w, p]),
            "test_loss": float(found.test_loss[s, w, p]),
            "train_loss": float(found.train_loss[s, w]),
            "drift": float(found.drift[s, w, p]),
        }
        for s, seed in enumerate(found.seeds)
        for w, (batch, lr) in enumerate(found.ways)
        for p in range(found.trace.shape[-1])
    )


ORBIT_SHARPNESS = Experiment(
    "orbit-sharpness",
    "Sharpness along an orbit, at one accuracy",
    REFERENCE,
    tasks,
    summarize,
    seeds={"quick": 3, "paper": 5},
    setup={
        "network": "two convolutions, ReLU layer, two linear layers; Adam, five ways; float64",
        "points": "as trained, least eigenvalue found from there, exp(0.5 M) of the balanced point",
        "trace": "Hutchinson, 32 sign vectors",
    },
    images=True,
)
