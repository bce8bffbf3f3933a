"""Rounding to few bits at several points of an orbit: does it pay to choose the point?"""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

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
from paramsym.experiments.measuring.image_models import digest
from paramsym.experiments.measuring.intervals import each_of, mean_interval, within
from paramsym.experiments.measuring.quantising import (
    BITS,
    GROUPS,
    METHODS,
    NETS,
    Choice,
    Rounding,
    quantise,
    rounding_of,
)
from paramsym.report.style import (
    BLUE,
    CYAN,
    FAINT,
    GREEN,
    PURPLE,
    RED,
    WIDTH,
    figure_style,
    plain_numbers,
)

EPOCHS: Mapping[Scale, int] = {"quick": 15, "paper": 40}
ITERATIONS: Mapping[Scale, int] = {"quick": 30, "paper": 100}
IMAGES = 1000
LABELS = {"cnn": "CNN", "transformer": "transformer"}
REFERENCE = "ours, beyond the paper"


def tasks(settings: Settings) -> list[Task]:
    """One task a network and seed."""
    data = settings.source
    return [
        Task(
            f"{net}, seed {seed}",
            quantise,
            Choice(
                net, data, digest(data), seed, EPOCHS[settings.scale], ITERATIONS[settings.scale],
                IMAGES,
            ).as_settings(),
            revision=2,
            cost=30 if settings.scale == "quick" else 120,
        )
        for net in NETS
        for seed in settings.repetitions
    ]  # fmt: skip


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and table."""
    found = [rounding_of(results, net) for net in NETS]
    findings = [unchanged(found)]
    for own in found:
        findings += [
            lowers(own, "balanced", "Balancing (least weight norm)"),
            lowers(own, "range", "The least smooth range, by scalings,"),
            lowers(own, "rotated", "A random rotation in GL and O families"),
            lowers(own, "noise", "The least predicted noise"),
            lowers(own, "noise", "The least predicted noise", against="equalised"),
        ]
    return Summary(findings, {"figure": Drawing(draw(found), CAPTION)}, {"data": table(found)})


# -- findings --------------------------------------------------------------------------------------


def unchanged(found: Sequence[Rounding]) -> Finding:
    """Do the moves keep the function?"""
    ours = [i for i, method in enumerate(METHODS) if method != "equalised"]
    worst = max(float(own.drift[:, ours].max()) for own in found)
    theirs = max(float(own.drift[:, list(METHODS).index("equalised")].max()) for own in found)
    return Finding(
        "Before rounding, all points of the orbit compute the same function.",
        REFERENCE,
        f"Largest change of an output, relative to the largest: {worst:.0e}; by torch's equaliser "
        f"{theirs:.0e}.",
        worst < 1e-9,
        "it is below 1e-9",
        worst,
    )


def lowers(own: Rounding, method: str, what: str, against: str = "trained") -> Finding:
    """Is the error of rounding to 4 bits lower after the move?"""
    level = each_of(len(GROUPS))
    at = {per: mean_interval(own.gain(method, 4, per, against), level) for per in GROUPS}
    worst = max(at, key=lambda per: at[per][1][1])
    each = "; ".join(
        f"{bits} bits a {per} {_ratio(own, method, bits, per, against, level)}"
        for bits in BITS
        for per in GROUPS
    )
    i = list(METHODS).index(method)
    points = [
        f"{100 * float((own.accuracy[:, i, 0, g] - own.exact).mean()):+.1f} a {per}"
        for g, per in enumerate(GROUPS)
    ]
    value, interval = at[worst]
    verdicts = [within(interval, high=0.0) for _, interval in at.values()]
    holds = True if all(verdicts) else (False if False in verdicts else None)
    other = "" if against == "trained" else f" more than {METHODS[against]}"
    return Finding(
        f"{what} lowers the error of rounding a {LABELS[own.net]} to 4 bits{other}.",
        REFERENCE,
        f"Squared error of the outputs over that of {METHODS[against]}, geometric mean: {each}. "
        f"Accuracy after 4 bits against unrounded, in points: {', '.join(points)}.",
        holds,
        "at 4 bits the intervals of log₂ of the ratio are below 0 for both groupings",
        value,
        interval,
        level,
    )


def _ratio(own: Rounding, method: str, bits: int, per: str, against: str, level: float) -> str:
    value, (low, high) = mean_interval(own.gain(method, bits, per, against), level)
    spread = f" [{2**low:.2f}, {2**high:.2f}]" if math.isfinite(high) else ""
    return f"{2**value:.2f}{spread}"


# -- figure and table ------------------------------------------------------------------------------

CAPTION = (
    "Squared change of the outputs when all weights are rounded to the nearest of 2^b − 1 steps, "
    "relative to the outputs, on test images; a point a seed. The same function at six points of "
    "its orbit; steps are shared by a whole tensor or by an output channel."
)
_COLORS = dict(zip(METHODS, (FAINT, BLUE, CYAN, PURPLE, RED, GREEN), strict=True))


def draw(found: Sequence[Rounding]) -> Figure:
    """A row for every network, a column for every number of bits and grouping."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
        axes = figure.subplots(len(found), len(BITS) * len(GROUPS), sharex=True)
        for row, own in zip(axes, found, strict=True):
            columns = [(b, g) for b in range(len(BITS)) for g in range(len(GROUPS))]
            for axis, (b, g) in zip(row, columns, strict=True):
                for i, method in enumerate(METHODS):
                    values = own.error[:, i, b, g]
                    axis.plot([i] * len(values), values, "o", ms=3, color=_COLORS[method])
                axis.set(yscale="log", title=f"{BITS[b]} bits a {GROUPS[g]}")
                plain_numbers(axis.yaxis)
                axis.set_xticks(range(len(METHODS)), list(METHODS), rotation=60, ha="right")
        for row, own in zip(axes, found, strict=True):
            row[0].set_ylabel(f"error, {LABELS[own.net]}")
    return figure


def table(found: Sequence[Rounding]) -> Table:
    """A row for every network, seed, method, number of bits and grouping."""
    return row_table(
        {
            "net": own.net,
            "seed": seed,
            "method": method,
            "bits": bits,
            "group": per,
            "error": float(own.error[s, i, b, g]),
            "accuracy": float(own.accuracy[s, i, b, g]),
            "accuracy_unrounded": float(own.exact[s]),
            "drift": float(own.drift[s, i]),
        }
        for own in found
        for s, seed in enumerate(own.seeds)
        for i, method in enumerate(METHODS)
        for b, bits in enumerate(BITS)
        for g, per in enumerate(GROUPS)
    )


QUANTISING = Experiment(
    "quantising",
    "Rounding to few bits, at chosen points of the orbit",
    REFERENCE,
    tasks,
    summarize,
    seeds={"quick": 5, "paper": 10},
    setup={
        "networks": "digits: two convolutions, ReLU layer, two linear layers; transformer of two "
        "blocks, width 32, four heads, ReLU, LayerNorm; both trained by Adam",
        "rounding": "symmetric, to the nearest, weights of two axes or more; biases exact",
        "moves": "L-BFGS in the Lie algebra; scalings, GL and O families that are exact",
    },
    images=True,
)
