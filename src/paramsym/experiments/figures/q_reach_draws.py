"""Findings of q-reach on draws of initialisers, and on targets that were asked for."""

import math

import torch
from scipy import stats
from torch import Tensor

from paramsym.experiments.experiment import Finding
from paramsym.experiments.figures.q_reach_panels import Reach
from paramsym.experiments.measuring.initialisers import INITIALISERS
from paramsym.experiments.measuring.intervals import each_of, mean_interval, within
from paramsym.experiments.measuring.reached_q import FARTHEST, allowed, central, slope

REFERENCE = "ours, beyond the paper; its Section 6.1 and Appendix F"
LEVEL = each_of(len(INITIALISERS))
"""Of an interval that is one of those of all initialisers."""

# -- what initialisers reach -----------------------------------------------------------------------

PREDICTED = {
    "mean": "The mean of a neuron's Q",
    "spread": "The variance of a neuron's Q",
    "layer": "The variance of the mean of Q over a layer",
    "matrix": "The mean of tr(Q²)/h of a linear network",
}


def predicted(reach: Reach, what: str) -> Finding:
    """Is it what independent or orthonormal entries imply, for every initialiser and width?"""
    level = each_of(len(reach.draws), 0.99)
    worst, where, held = 0.0, "", True
    for (name, widths), found in reach.draws.items():
        expected = INITIALISERS[name].moments(*widths)
        mean, square = found["mean"].flatten(), found["square"].flatten()
        values, value = {
            "mean": (mean, expected.mean),
            "spread": (square, expected.variance),
            "layer": ((mean - expected.mean).square(), expected.of_mean),
            "matrix": (found["matrix"].flatten(), expected.matrix),
        }[what]
        scale = (expected.written + expected.read) ** (1 if what == "mean" else 2)
        inside, distance = agrees(values, value, level, 1e-12 * scale, squares=what == "layer")
        held &= inside
        if distance >= worst:
            worst, where = distance, f"{INITIALISERS[name].label}, (n, h, m) = {widths}"
    return Finding(
        f"{PREDICTED[what]} is what the initialiser's entries imply, at every width.",
        REFERENCE,
        f"Largest distance of {len(reach.draws)} averages over networks from their predictions: "
        f"{worst:.2f} standard errors ({where}).",
        held,
        f"all intervals hold the prediction, each at {100 * level:.2f} %, together at 99 %",
        worst,
        note="docs/derivations.md §31; orthogonal weights have a layer's mean without any spread."
        if what == "layer"
        else "docs/derivations.md §31.",
    )


def agrees(
    values: Tensor, expected: float, level: float, rounding: float, *, squares: bool
) -> tuple[bool, float]:
    """Whether the interval of a mean holds what is expected, and the distance in standard errors.

    Squares of normal numbers have the interval of a variance, which is not symmetric.
    """
    count, mean = len(values), float(values.mean())
    error = max(float(values.std()) / math.sqrt(count), rounding)
    distance = abs(mean - expected) / error
    if abs(mean - expected) <= rounding:
        return True, distance
    if squares:
        low, high = (
            float(stats.chi2.ppf(p, count)) / count for p in ((1 - level) / 2, (1 + level) / 2)
        )
        return expected * low <= mean <= expected * high, distance
    return distance <= float(stats.t.ppf((1 + level) / 2, count - 1)), distance


def narrows(reach: Reach) -> Finding:
    """Does the spread of Q shrink with the width, relative to its terms?"""
    own = {name: mean_interval(slopes(reach, name), LEVEL) for name in INITIALISERS}
    worst = max(own, key=lambda k: abs(own[k][0] + 0.5))
    verdicts = [within(interval, -0.55, -0.45) for _, interval in own.values()]
    each = "; ".join(f"{INITIALISERS[k].label} {v:.3f}" for k, (v, _) in own.items())
    return Finding(
        "The spread of a neuron's Q, relative to the size of its terms, falls with the width w "
        "like w^−½ for every initialiser: what they reach becomes thin.",
        REFERENCE,
        f"Slopes in logarithms over w = {', '.join(map(str, reach.widths))}: {each}.".replace(
            " -", " −"
        ),
        False if False in verdicts else (True if all(verdicts) else None),
        "all intervals of the slope are within 0.05 of −½",
        own[worst][0],
        own[worst][1],
        LEVEL,
    )


def slopes(reach: Reach, name: str) -> list[float]:
    """Slope of the relative spread over the width, one a seed."""
    spreads = [reach.relative_spread(name, w) for w in reach.widths]
    return [slope(reach.widths, [float(s[i]) for s in spreads]) for i in range(len(spreads[0]))]


def thin(reach: Reach) -> Finding:
    """How much of the orbit do neurons of a wide network lie on?"""
    width = max(w for w in reach.widths if w <= 256)
    parts = {name: central(reach.at(name, width)["imbalance"], 0.95) for name in INITIALISERS}
    widest = max(parts, key=lambda k: parts[k][1] - parts[k][0])
    low, high = parts[widest]
    chosen = reach.moved["imbalance"]
    span = float(chosen.max() - chosen.min())
    ratio = span / (high - low)
    return Finding(
        f"At width {width} neurons lie on a small part of their orbits, on which every Q is "
        "allowed.",
        REFERENCE,
        f"Central 95 % of s = ½ log(writers²/readers²) of any one initialiser: at most "
        f"{high - low:.2f} wide ({INITIALISERS[widest].label}); points that were asked for and "
        f"reached span {span:.1f}, {ratio:.0f} times as much; the orbit has all of ℝ.",
        ratio > 10,
        "they span more than ten times as much",
        ratio,
    )


# -- what the orbit allows -------------------------------------------------------------------------


def neurons_reached(reach: Reach) -> Finding:
    """Is every Q reached, at the same function?"""
    gap, drift = float(reach.moved["gap"].max()), float(reach.moved["drift"].max())
    return Finding(
        "Initialisation at a chosen Q reaches every value for every neuron, from every "
        "initialiser, and leaves the function as drawn.",
        REFERENCE,
        f"{reach.moved['imbalance'].numel()} random targets with |s| up to {FARTHEST:g}: largest "
        f"distance relative to the terms of Q {gap:.0e}, largest change of an output {drift:.0e}.",
        max(gap, drift) < 1e-12,
        "both are below 1e-12",
        max(gap, drift),
    )


def spaces_reached(reach: Reach) -> Finding:
    """Are exactly the inertias reached that ranks allow?"""
    found = reach.asked
    may = torch.tensor(
        [allowed(int(p), int(q), reach.ranks) for p, q in found["inertia"][0].tolist()]
    )
    right = bool(((found["reached"] > 0) == may).all())
    worst = float(torch.maximum(found["gap"], found["drift"]).max())
    n, h, m = reach.ranks
    return Finding(
        "A linear network reaches the symmetric Q of exactly those inertias that its ranks allow.",
        "docs/derivations.md §17",
        f"(n, h, m) = ({n}, {h}, {m}), {len(found['gap'])} seeds: of {len(may)} inertias on a grid "
        f"{int(may.sum())} are allowed; {int(found['reached'].sum())} of "
        f"{found['reached'].numel()} targets were reached, the others refused. Largest distance "
        f"or change of an output, relative: {worst:.0e}.",
        right and worst < 1e-12,
        "reached where allowed, refused elsewhere, to 1e-12",
        worst,
    )


def few_inertias(reach: Reach) -> Finding:
    """How many of the allowed inertias do initialisers show?"""
    seen = {
        name: {(int(p), int(q)) for p, q in reach.draws[name, reach.ranks]["inertia"].flatten(0, 1)}
        for name in INITIALISERS
    }
    n, h, m = reach.ranks
    total = sum(allowed(p, q, reach.ranks) for p in range(h + 1) for q in range(h + 1 - p))
    full = sum(allowed(p, h - p, reach.ranks) for p in range(h + 1))
    together = len(set[tuple[int, int]]().union(*seen.values()))
    most = max(len(v) for v in seen.values())
    each = "; ".join(f"{INITIALISERS[k].label} {len(v)}" for k, v in seen.items())
    networks = reach.draws["torch", reach.ranks]["inertia"].flatten(0, 1).shape[0]
    return Finding(
        "An initialiser shows few of the inertias of Q that the orbit of a linear network has.",
        REFERENCE,
        f"(n, h, m) = ({n}, {h}, {m}), {networks} networks each: {each}; together {together} of "
        f"{total}. A generic Q has full rank, which leaves {full}.",
        most < full / 4,
        "none shows a quarter of those of full rank",
        most / full,
    )
