"""Findings of q-reach on training from several points of one orbit."""

import math
from collections.abc import Sequence

import torch

from paramsym.experiments.experiment import Finding
from paramsym.experiments.figures.q_reach_draws import REFERENCE
from paramsym.experiments.measuring.convergence import rank_correlation
from paramsym.experiments.measuring.intervals import (
    Interval,
    excludes_zero,
    mean_interval,
    within,
)
from paramsym.experiments.measuring.training_from_q import STARTS, FromQ

OPTIMISERS = {"sgd": "SGD", "adam": "Adam"}

COMPARED = {
    0.0: "balanced",
    2.0: "with larger writers, s = 2,",
    -2.0: "with larger readers, s = −2,",
}


def one_function(trained: Sequence[FromQ]) -> Finding:
    """Do all runs of a seed start from one function?"""
    worst = max(float(own.drift.max()) for own in trained)
    return Finding(
        "Runs that differ in Q start from the same function.",
        REFERENCE,
        f"Largest difference of a logit, relative to the largest: {worst:.0e}.",
        worst < 1e-12,
        "it is below 1e-12",
        worst,
    )


def training_findings(own: FromQ) -> list[Finding]:
    """What Q at the start does to the training loss and to the test accuracy."""
    return [
        *(faster(own, s) for s in COMPARED),
        *(better(own, s) for s in COMPARED),
        ordered(own),
    ]


def faster(own: FromQ, s: float) -> Finding:
    """Is the training loss lower than as drawn, each at its best learning rate?"""
    best = own.best(own.loss).log10()
    value, interval = mean_interval(best[:, STARTS.index(s)] - best[:, -1])
    turned = own.best(own.turned).mean(0)
    return Finding(
        f"Started {COMPARED[s]} {OPTIMISERS[own.optimiser]} gets to a lower training loss than "
        "from the same function as drawn, each at its best learning rate.",
        REFERENCE,
        f"Loss after the same steps, over that as drawn: {10**value:.2f}"
        f"{_powers(interval)}. Writers turn by 1 − cos = "
        f"{float(turned[STARTS.index(s)]):.2f}; as drawn {float(turned[-1]):.2f}.",
        within(interval, high=0.0),
        "the interval of log₁₀ of the ratio is below 0",
        value,
        interval,
        0.95,
    )


def better(own: FromQ, s: float) -> Finding:
    """Is the test accuracy higher than as drawn?"""
    accuracy = 100 * own.best(own.accuracy)
    value, interval = mean_interval(accuracy[:, STARTS.index(s)] - accuracy[:, -1])
    return Finding(
        f"Started {COMPARED[s]} {OPTIMISERS[own.optimiser]} finds a network of higher test "
        "accuracy than from the same function as drawn.",
        REFERENCE,
        f"Difference in points: {value:+.2f} [{interval[0]:+.2f}, {interval[1]:+.2f}], from "
        f"{float(accuracy[:, -1].mean()):.1f} %; learning rates as best for the training loss.",
        within(interval, low=0.0),
        "the interval is above 0",
        value,
        interval,
        0.95,
    )


def ordered(own: FromQ) -> Finding:
    """At one learning rate, does the loss go with s?"""
    s = torch.tensor(STARTS)
    loss = own.at_common(own.loss)[:, :-1]
    value, interval = mean_interval([rank_correlation(s, row) for row in loss])
    return Finding(
        f"At one learning rate, that which is best as drawn, the loss that "
        f"{OPTIMISERS[own.optimiser]} gets to goes with s at the start.",
        REFERENCE,
        f"Kendall's τ over {len(STARTS)} values of s, mean of {len(loss)} seeds: {value:.2f} "
        f"[{interval[0]:.2f}, {interval[1]:.2f}].",
        excludes_zero(interval),
        "the interval of τ does not hold 0",
        value,
        interval,
        0.95,
    )


def _powers(interval: Interval) -> str:
    low, high = interval
    return f" [{10**low:.2f}, {10**high:.2f}]" if math.isfinite(high) else ""
