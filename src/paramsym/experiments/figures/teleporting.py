"""Symmetry teleportation against plain gradient descent, at equal compute."""

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
from paramsym.experiments.measuring.image_models import digest
from paramsym.experiments.measuring.intervals import mean_interval, within
from paramsym.experiments.measuring.teleporting import (
    KINDS,
    METHODS,
    Run,
    Teleported,
    teleport,
    teleported_of,
)
from paramsym.report.style import BLUE, FAINT, RED, WIDTH, figure_style, plain_numbers

EPOCHS: Mapping[str, Mapping[Scale, int]] = {
    "full": {"quick": 160, "paper": 1000},
    "sgd": {"quick": 30, "paper": 100},
}
LRS = {"full": (0.05, 0.1, 0.2, 0.4), "sgd": (0.025, 0.05, 0.1, 0.2)}
TRAIN: Mapping[Scale, int] = {"quick": 500, "paper": 5000}
LABELS = {"full": "full batches", "sgd": "SGD"}
REFERENCE = "ours, after Zhao et al., Symmetry teleportation, 2022"


def tasks(settings: Settings) -> list[Task]:
    """One task a kind of descent and seed."""
    data = settings.source
    return [
        Task(
            f"{LABELS[kind]}, seed {seed}",
            teleport,
            Run(
                kind,
                data,
                digest(data),
                seed,
                EPOCHS[kind][settings.scale],
                batch=32,
                train=TRAIN[settings.scale],
                lrs=LRS[kind],
                when=0.05,
                ascents=3,
                condition=3.0,
            ).as_settings(),
            revision=2,
            cost=0.15 * EPOCHS[kind][settings.scale] * len(LRS[kind]),
        )
        for kind in KINDS
        for seed in settings.repetitions
    ]


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and table."""
    found = [teleported_of(results, kind) for kind in KINDS]
    findings = [
        finding
        for own in found
        for finding in (
            gains(own, "teleported", tuned=True),
            gains(own, "teleported", tuned=False),
            gains(own, "balanced", tuned=True),
        )
    ]
    return Summary(findings, {"figure": Drawing(draw(found), CAPTION)}, {"data": table(found)})


def gains(own: Teleported, method: str, *, tuned: bool) -> Finding:
    """Is the training loss lower for the same compute?"""
    i = list(METHODS).index(method)
    change = own.best(method) - own.best("plain") if tuned else own.at_equal_lr(method)
    # What diverged is as bad as can be, and has no mean.
    diverged = int((~change.isfinite()).sum())
    value, interval = (math.nan, None) if diverged else _mean(change)
    level = 0.95
    ratio = "" if diverged else f": {10**value:.2f} of that of plain descent"
    spread = "" if interval is None else f" [{10 ** interval[0]:.2f}, {10 ** interval[1]:.2f}]"
    time = float((own.seconds[:, i] / own.seconds[:, 0]).mean())
    rates = "each at its best learning rate" if tuned else "at the learning rate best for plain"
    verb = "Teleporting once" if method == "teleported" else "Balancing at the start"
    growth = (
        f" It multiplied ‖∇L‖² by {float(own.growth.median()):.1f} and took "
        f"{100 * float(own.share.median()):.0f} % of the compute (medians)."
        if method == "teleported"
        else ""
    )
    lost = f" {diverged} of {len(change)} runs diverged." if diverged else ""
    return Finding(
        f"{verb} gives a lower training loss than {LABELS[own.kind]} alone, for the same compute "
        f"({rates}).",
        REFERENCE if method == "teleported" else "ours, beyond the paper",
        f"Training loss at the end, geometric mean over seeds{ratio}{spread}.{lost}{growth} "
        f"Seconds: {time:.2f} times those of plain descent.",
        False if diverged else within(interval, high=0.0) if interval is not None else None,
        "the interval of log₁₀ of the ratio is below 0",
        value,
        interval,
        level,
        note="Compute is counted in gradients of one image; an evaluation of ‖∇L‖² with its "
        "gradient counts as three.",
    )


def _mean(change: Tensor) -> tuple[float, tuple[float, float] | None]:
    value, interval = mean_interval(change)
    return value, interval if math.isfinite(interval[1]) else None


CAPTION = (
    "Training loss when the compute is spent, against the learning rate; a line a seed. Gradient "
    "descent alone, the same with one move along the orbit towards a larger gradient after a "
    "twentieth of the compute, and the same from the balanced point of the orbit."
)
_COLORS = dict(zip(METHODS, (FAINT, RED, BLUE), strict=True))


def draw(found: Sequence[Teleported]) -> Figure:
    """A panel for each kind of descent."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
        for axis, own in zip(figure.subplots(1, len(found)), found, strict=True):
            for i, (method, label) in enumerate(METHODS.items()):
                for s in range(len(own.seeds)):
                    axis.plot(
                        own.lrs, own.loss[s, i], "o-", ms=2.5, lw=0.8, color=_COLORS[method],
                        label=label if s == 0 else None,
                    )  # fmt: skip
            axis.set(xscale="log", yscale="log", xlabel="learning rate", title=LABELS[own.kind])
            axis.set_ylabel("training loss at the end")
            for each in (axis.xaxis, axis.yaxis):
                plain_numbers(each)
        marks = figure.axes[0].get_legend_handles_labels()
        figure.legend(*marks, loc="outside upper center", ncols=len(METHODS))
    return figure


def table(found: Sequence[Teleported]) -> Table:
    """A row for every run."""
    return row_table(
        {
            "kind": own.kind,
            "seed": seed,
            "method": method,
            "lr": lr,
            "loss": float(own.loss[s, i, j]),
            "test_accuracy": float(own.accuracy[s, i, j]),
            "seconds": float(own.seconds[s, i, j]),
            "growth": float(own.growth[s, j]) if method == "teleported" else 1.0,
        }
        for own in found
        for s, seed in enumerate(own.seeds)
        for i, method in enumerate(METHODS)
        for j, lr in enumerate(own.lrs)
    )


TELEPORTING = Experiment(
    "teleporting",
    "Symmetry teleportation against plain gradient descent",
    REFERENCE,
    tasks,
    summarize,
    seeds={"quick": 5, "paper": 10},
    setup={
        "network": "two convolutions, ReLU layer, two linear layers; cross-entropy; float32",
        "teleportation": "once, after a twentieth of the compute: at most three steps of L-BFGS to "
        "a larger ‖∇L‖², to a condition number of 3",
    },
    images=True,
)
