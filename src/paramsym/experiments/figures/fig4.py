"""Figure 4: the distribution of Q of linear networks at initialisation."""

import re
from collections.abc import Sequence

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
)
from paramsym.experiments.measuring.chi_squares import ChiSquareDifference
from paramsym.experiments.measuring.initialisation import DRAWS, SHAPES, WIDTH, joined, tasks
from paramsym.experiments.measuring.intervals import Interval, each_of, mean_interval
from paramsym.report.style import BLUE, FAINT, INK, RED, figure_style
from paramsym.report.style import WIDTH as PAGE

REFERENCE = "Appendix F, Figure 4"
FORMULA = "Appendix F, eq. (52), Figure 4"
LEVEL = each_of(len(SHAPES), 0.99)
"""Of each shape's interval, so that all three hold together at 99 %."""

UNEQUAL = [i for i, (m, h, _) in enumerate(SHAPES) if m != h]
"""Shapes whose predicted centre is not 0: the others cannot tell a factor in it."""


def layers(index: int, width: int = WIDTH) -> tuple[int, int, int]:
    """(m, h, n) of one of the networks."""
    m, h, n = SHAPES[index]
    return m * width, h * width, n * width


def law(m: int, h: int, n: int) -> ChiSquareDifference:
    """The law of Tr[UᵀU − VVᵀ] under eq. (51): χ²_{mh}/h − χ²_{hn}/n."""
    return ChiSquareDifference(1 / h, m * h, 1 / n, h * n)


def glorot_mean(m: int, h: int, n: int) -> float:
    """The mean of Tr[UᵀU − VVᵀ] with variances 2/(fan_in + fan_out)."""
    return 2 * m * h / (m + h) - 2 * h * n / (h + n)


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Centres, shapes, and what Glorot's own initialisation gives."""
    found = joined(results)
    fan_in, glorot = found["fan_in"], found["glorot"]
    caption = (
        f"Tr[UᵀU − VVᵀ] of {len(fan_in)} linear networks each, with entries of variance 1/fan_in: "
        "histograms, and the exact density (line), that of a difference of scaled χ² variables. "
        "Dashed: m − h."
    )
    return Summary(
        findings=[
            *(centre(fan_in[:, i], *layers(i)) for i in range(len(SHAPES))),
            *(printed(fan_in[:, i], *layers(i)) for i in UNEQUAL),
            *(distribution(fan_in[:, i], *layers(i)) for i in range(len(SHAPES))),
            *(xavier(glorot[:, i], *layers(i)) for i in UNEQUAL),
        ],
        drawings={"figure": Drawing(draw(fan_in), caption)},
        tables={"data": table(found)},
    )


# -- findings --------------------------------------------------------------------------------------


def centre(values: Tensor, m: int, h: int, n: int) -> Finding:
    """Is the centre of what the figure plots at m − h?"""
    value, interval = mean_interval(values, LEVEL)
    return Finding(
        f"The centre of the distribution for (m, h, n) = ({m}, {h}, {n}) is m − h = {m - h}.",
        FORMULA,
        f"Mean of Tr[UᵀU − VVᵀ] over {len(values)} draws: {value:.3f}, which is "
        f"{standard_errors(values, m - h):.2f} standard errors from {m - h}.",
        inside(m - h, interval),
        f"the interval over draws holds {m - h}",
        value,
        interval,
        LEVEL,
        note="For the quantity that the figure plots, which is eq. (50) without its ½.",
    )


def printed(values: Tensor, m: int, h: int, n: int) -> Finding:
    """Is m − h the mean of eq. (50), with its ½, as eq. (52) says?"""
    value, interval = mean_interval(values / 2, LEVEL)
    return Finding(
        f"E[½Tr(UᵀU − VVᵀ)] = m − h, for (m, h, n) = ({m}, {h}, {n}).",
        "Appendix F, eq. (50), (52)",
        f"Mean over {len(values)} draws: {value:.3f}; m − h = {m - h}, (m − h)/2 = {(m - h) / 2}.",
        inside(m - h, interval),
        f"the interval over draws holds {m - h}",
        value,
        interval,
        LEVEL,
        note="The mean of eq. (50) is (m − h)/2: the printed eq. (52) leaves the ½ out, and has a "
        "plus sign where a minus belongs.",
    )


def distribution(values: Tensor, m: int, h: int, n: int) -> Finding:
    """Do the draws follow the law that independent normal entries imply?"""
    expected = law(m, h, n)
    test = stats.kstest(values.numpy(), expected.cdf)
    p, spread = float(test.pvalue), float(values.std())
    return Finding(
        f"For independent normal entries Q is χ²_mh/h − χ²_hn/n; (m, h, n) = ({m}, {h}, {n}).",
        "Appendix F, eq. (51), Figure 4",
        f"Kolmogorov–Smirnov distance {float(test.statistic):.4f}, p = {p:.2f}; standard deviation "
        f"{spread:.3f}, of the law √(2(m/h + h/n)) = {expected.std:.3f}.",
        p >= 1 - LEVEL,
        f"p is at least {1 - LEVEL:.4f}, 1 % over the three shapes",
        p,
        note="The paper shows the histograms and gives no law for them.",
    )


def xavier(values: Tensor, m: int, h: int, n: int) -> Finding:
    """Is the centre m − h under the initialisation that the paper names?"""
    value, interval = mean_interval(values, LEVEL)
    return Finding(
        "Under the initialisation of Glorot and Bengio (2010) the centre is m − h, for "
        f"(m, h, n) = ({m}, {h}, {n}).",
        "Appendix F, eq. (51), (52)",
        f"Mean over {len(values)} draws with variances 2/(fan_in + fan_out): {value:.3f}; "
        f"m − h = {m - h}, 2mh/(m + h) − 2hn/(h + n) = {glorot_mean(m, h, n):.3f}.",
        inside(m - h, interval),
        f"the interval over draws holds {m - h}",
        value,
        interval,
        LEVEL,
        note="Eq. (51), variance 1/fan_in, is LeCun's initialisation; the paper calls it Xavier.",
    )


def inside(x: float, interval: Interval) -> bool:
    return interval[0] <= x <= interval[1]


def standard_errors(values: Tensor, expected: float) -> float:
    """Distance of the mean from what was expected, in standard errors."""
    return float((values.mean() - expected).abs() / (values.std() / len(values) ** 0.5))


# -- figure and table ------------------------------------------------------------------------------


def draw(values: Tensor) -> Figure:
    """A histogram and its law for each shape, on scales of the same width."""
    with figure_style():
        figure = Figure(figsize=(PAGE, 2.3), layout="constrained")
        axes = figure.subplots(1, len(SHAPES), sharey=True)
        reach = 4 * max(law(*layers(i)).std for i in range(len(SHAPES)))
        for i, axis in enumerate(axes):
            m, h, n = layers(i)
            expected = law(m, h, n)
            q = np.linspace(expected.mean - reach, expected.mean + reach, 400)
            bins = np.linspace(q[0], q[-1], 49)
            histogram(axis, values[:, i], bins)
            axis.plot(q, expected.pdf(q), color=INK, lw=1.1)
            axis.axvline(m - h, color=RED, lw=0.9, ls=(0, (4, 3)), zorder=0.5)
            axis.set(title=f"(m, h, n) = ({m}, {h}, {n})", xlim=(q[0], q[-1]), ylim=(0, None))
            axis.set_xlabel("Tr[UᵀU − VVᵀ]")
            write(axis, 0.03, 0.92, f"mean {float(values[:, i].mean()):.2f}", BLUE)
            write(axis, 0.03, 0.82, f"std {float(values[:, i].std()):.2f}", BLUE)
            write(axis, 0.97, 0.92, f"m − h = {m - h}", RED, "right")
        axes[0].set_ylabel("density")
    return figure


def histogram(axis: Axes, values: Tensor, bins: np.ndarray) -> None:
    """A density in blocks with thin white gaps, which stay apart in print."""
    axis.hist(values.numpy(), bins=list(bins), density=True, color=BLUE, alpha=0.45, lw=0)
    axis.tick_params(axis="y", colors=FAINT, labelcolor=INK)


def write(axis: Axes, x: float, y: float, text: str, color: str, side: str = "left") -> None:
    """A label at a fraction of the axes, with a true minus sign."""
    text = re.sub(r"-(?=\d)", "−", text)
    axis.text(x, y, text, color=color, fontsize=7.5, ha=side, va="center", transform=axis.transAxes)


def table(found: dict[str, Tensor]) -> Table:
    """A row for each draw, shape and initialisation."""
    columns: dict[str, list[object]] = {k: [] for k in ("initialisation", "m", "h", "n", "draw")}
    columns["trace"] = []
    for name, label in (("fan_in", "1/fan_in"), ("glorot", "2/(fan_in + fan_out)")):
        for i in range(len(SHAPES)):
            values = found[name][:, i].tolist()
            columns["initialisation"] += [label] * len(values)
            for column, size in zip(("m", "h", "n"), layers(i), strict=True):
                columns[column] += [size] * len(values)
            columns["draw"] += range(len(values))
            columns["trace"] += values
    return columns


FIG4 = Experiment(
    "fig4",
    "Distribution of Q at initialisation, linear networks",
    REFERENCE,
    tasks,
    summarize,
    # A seed is 1000 independent draws already, which intervals are taken over.
    seeds={"quick": 1, "paper": 1},
    setup={
        "plotted": "Tr[UᵀU − VVᵀ], eq. (50) without its ½",
        "draws": f"{DRAWS} a seed; both scales are the paper's own",
        "initial": "normal, variance 1/fan_in (eq. (51)); Glorot's 2/(fan_in + fan_out) beside it",
        "precision": "float32 normal numbers, float64 sums over blocks",
        "shared numbers": "networks of different shapes are built from the same numbers",
    },
)
