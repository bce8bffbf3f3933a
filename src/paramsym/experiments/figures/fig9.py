"""Figure 9: the Hessian's spectrum at the minimum, against the conserved quantity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

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
    Table,
    Task,
)
from paramsym.experiments.figures.curves import number, row_table
from paramsym.experiments.measuring.intervals import above_zero, excludes_zero, mean_interval
from paramsym.experiments.measuring.small_minima import null_spaces
from paramsym.experiments.measuring.spectra import (
    NEAR_ZERO,
    PAPER_NEAR_ZERO,
    Spectra,
    spectra,
    spectra_of,
)
from paramsym.experiments.measuring.two_layer_runs import LABELS, Plan
from paramsym.report.style import BLUE, FAINT, GREEN, PURPLE, RED, WIDTH, figure_style

SHAPE = (10, 50, 5)
STDS = (0.001, 0.3, 0.6, 0.9)
LR = 0.1
STEPS = 4000
HESSIAN_SECONDS = 0.1
LONGER = {"sigmoid": 2}
"""The paper runs the sigmoid network for twice as many steps."""


SMALL = (
    ("white data", (10, 3, 5), 0),
    ("40 samples", (10, 3, 5), 40),
    ("40 samples, m < h < n", (2, 3, 5), 40),
)
"""Cases that tell symmetries apart: what they are called, (m, h, n), and the number of samples."""

REFERENCE = "Appendix H.2, Figure 9"


def tasks(settings: Settings) -> list[Task]:
    """A task for each activation, and one for each activation in each small case."""
    plans = [plan(settings, activation) for activation in LABELS]
    spectral = [
        Task(
            p.activation, spectra, p.as_settings(), cost=p.cost() + HESSIAN_SECONDS * len(p.runs())
        )
        for p in plans
    ]
    small = [
        Task(
            f"{name}, {case}",
            null_spaces,
            {
                "activation": name,
                "shape": list(shape),
                "samples": samples,
                "seeds": list(settings.repetitions),
            },
        )
        for case, shape, samples in SMALL
        for name in LABELS
    ]
    return spectral + small


def plan(settings: Settings, activation: str) -> Plan:
    """All seeds and standard deviations of one activation; the same at both scales."""
    m, _, n = SHAPE
    return Plan(
        activation,
        SHAPE,
        STEPS * LONGER.get(activation, 1),
        scale=1 / (m * n),
        seeds=tuple(settings.repetitions),
        stds=STDS,
        lrs=(LR,),
        points=30,
        keep=True,
    )


@final
@dataclass(frozen=True, eq=False)
class Small:
    """Null spaces of one activation in one small case, `[seeds]` each."""

    case: str
    activation: str
    orbit: Tensor
    rest: Tensor
    undecided: Tensor


def small_of(finished: Finished) -> Small:
    """Read the arrays of a small case."""
    settings = finished.task.settings
    (case,) = (
        name
        for name, shape, samples in SMALL
        if (list(shape), samples) == (list(settings["shape"]), settings["samples"])
    )
    columns = (finished[name] for name in ("orbit", "rest", "undecided"))
    return Small(case, settings["activation"], *columns)


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and tables."""
    large = [spectra_of(f) for f in results if f.task.compute is spectra]
    small = [small_of(f) for f in results if f.task.compute is null_spaces]
    return Summary(
        [
            seven_hundred(large),
            verifies(large),
            *(discriminates(small, case) for case, _, _ in SMALL),
            *(center(s) for s in large),
        ],
        {"figure": Drawing(draw(large, small), CAPTION)},
        {"data": eigenvalue_table(large), "null_spaces": small_table(small)},
    )


# -- findings --------------------------------------------------------------------------------------


def seven_hundred(large: Sequence[Spectra]) -> Finding:
    """Are 700 eigenvalues of the linear net near zero?"""
    counts = _only(large, "identity").near_zero().double()
    return Finding(
        "700 of the 750 eigenvalues of the linear net are around 0.",
        REFERENCE,
        f"Eigenvalues of at most {NEAR_ZERO:g} of the largest: {_range(counts)} in "
        f"{counts.numel()} runs.",
        bool((counts == 700).all()),
        "every run has 700",
        float(counts.mean()),
    )


def verifies(large: Sequence[Spectra]) -> Finding:
    """Does the count say anything about the symmetry?"""
    each = "; ".join(f"{LABELS[s.activation]} {_range(s.near_zero())}" for s in large)
    tanh = _only(large, "tanh").near_zero().double()
    return Finding(
        "The count verifies the dimension of the minima in Proposition C.3.",
        REFERENCE,
        f"Eigenvalues of at most {NEAR_ZERO:g} of the largest, over all runs: {each}.",
        bool((tanh < 700).any()),
        "a net without the symmetry, the tanh net, has fewer than 700",
        float(tanh.mean()),
        note="700 is the dimension of the orbit of GL(50), but also 750 − mn, the count of any "
        "net that fits Y exactly. The small nets below tell symmetries apart.",
    )


def _only(large: Sequence[Spectra], activation: str) -> Spectra:
    (found,) = (s for s in large if s.activation == activation)
    return found


def discriminates(small: Sequence[Small], case: str) -> Finding:
    """Is the null space of the Hessian the orbit of the linear symmetry, in a small case?"""
    found = [s for s in small if s.case == case]
    each = "; ".join(f"{LABELS[s.activation]} {_range(s.orbit)} + {_range(s.rest)}" for s in found)
    exceed = torch.cat([s.rest for s in found])
    undecided = int(sum(s.undecided.sum() for s in found))
    ((shape, samples),) = ((shape, k) for name, shape, k in SMALL if name == case)
    return Finding(
        "The flat directions at a minimum are those of the linear symmetry: "
        f"GL(h), T₊(h), and none for tanh and sigmoid ({case}).",
        "Section 3.2, Proposition C.3; ours, after " + REFERENCE,
        f"Null directions of the Hessian, on the orbit + off it, (m, h, n) = {shape}, "
        f"X {'= I' if not samples else f'of {samples} samples'}: {each}.",
        None if undecided else bool((exceed == 0).all()),
        "no null direction is off the orbit in any run",
        float(exceed.mean()),
        note=NOTES[case] + (f" {undecided} eigenvalues are undecided." if undecided else ""),
    )


NOTES = {
    "white data": "With as many samples as inputs σ(V) is as free as V, and the data-dependent "
    "action of GL(3) (Section 4) gives tanh and sigmoid the 9 directions of the linear net; in the "
    "ReLU net negative entries are flat too.",
    "40 samples": "",
    "40 samples, m < h < n": "Where m < h < n the fibre of the linear net is larger than its orbit "
    "by (h − m)(n − h) = 2 (docs/corrections.md).",
}


def _range(values: Tensor) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def center(large: Spectra) -> Finding:
    """Does the center of the spectrum grow with Q?"""
    value, interval = mean_interval(large.correlations())
    linear = large.activation == "identity"
    name = LABELS[large.activation]
    claim = (
        "Without the small eigenvalues, the center of the distribution correlates positively with "
        "Q (linear)."
        if linear
        else f"Q is related to the distribution of the eigenvalues ({name})."
    )
    return Finding(
        claim,
        REFERENCE,
        f"Kendall's τ of the mean of the eigenvalues above {PAPER_NEAR_ZERO:g} with Q, over "
        f"{len(STDS)} standard deviations, mean over {len(large.seeds)} seeds.",
        above_zero(interval) if linear else excludes_zero(interval),
        "the interval is above 0" if linear else "the interval does not contain 0",
        value,
        interval,
        0.95,
        note="At a zero of the loss the center is 2(‖U‖²/m + ‖V‖²/n): it grows with |Q|, for Q of "
        "either sign."
        if linear
        else "Q varies with the size of the weights.",
    )


# -- figure and tables -----------------------------------------------------------------------------

CAPTION = (
    "Top: the eigenvalues of the Hessian of ‖Y − Uσ(V)‖² at the end of training that are not near "
    "zero, from four sizes of the initial weights; each curve is the share of eigenvalues up to a "
    "value, one curve for each seed. Bottom: null directions at minima of small nets, on the orbit "
    "of the linear symmetry (filled) and off it (open), mean over seeds."
)

_COLORS = dict(zip(STDS, (BLUE, GREEN, RED, PURPLE), strict=True))


def draw(large: Sequence[Spectra], small: Sequence[Small]) -> Figure:
    """Distributions above, small cases below."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.15, 1), squeeze=False)[:, 0]
        axes = top.subplots(1, len(large), sharey=True, squeeze=False)[0]
        for axis, s in zip(axes, large, strict=True):
            _distributions(axis, s)
        axes[0].set_ylabel("share of eigenvalues")
        cases = bottom.subplots(1, len(SMALL), sharey=True, squeeze=False)[0]
        for axis, (case, shape, _) in zip(cases, SMALL, strict=True):
            _bars(axis, [s for s in small if s.case == case])
            axis.set_title(f"(m, h, n) = {shape}, {case.partition(',')[0]}")
        cases[0].set_ylabel("null directions")
        cases[-1].legend(loc="upper right")
    return figure


def _distributions(axis: Axes, s: Spectra) -> None:
    axis.set_title(LABELS[s.activation])
    for i, std in enumerate(STDS):
        for k, values in enumerate(s.eigenvalues[:, i]):
            kept = values[values.abs() > PAPER_NEAR_ZERO].clamp(min=PAPER_NEAR_ZERO)
            share = np.arange(1, len(kept) + 1) / len(kept)
            label = f"Q ≈ {number(float(s.Q[:, i].median()))}" if k == 0 else None
            axis.step(kept, share, where="post", color=_COLORS[std], lw=0.9, label=label)
    axis.set(xscale="log", xlabel="eigenvalue", ylim=(0, 1.02))
    left, right = axis.get_xlim()
    # Room for the legend.
    axis.set_xlim(left * (left / right) ** 0.6, right)
    axis.legend(loc="upper left", handlelength=1.0, fontsize=6.5)


def _bars(axis: Axes, small: Sequence[Small]) -> None:
    places = np.arange(len(small))
    orbit = np.array([float(s.orbit.mean()) for s in small])
    rest = np.array([float(s.rest.mean()) for s in small])
    axis.bar(places, orbit, 0.6, color=BLUE, label="on the orbit")
    axis.bar(places, rest, 0.6, bottom=orbit, color="none", edgecolor=FAINT, label="off the orbit")
    for x, on, off in zip(places, orbit, rest, strict=True):
        text = f"{on:g}" + (f" + {off:.2g}" if off else "")
        axis.annotate(text, (x, on + off), (0, 2), textcoords="offset points", ha="center", size=7)
    axis.set_xticks(places, [LABELS[s.activation] for s in small])
    axis.margins(y=0.2)


def eigenvalue_table(large: Sequence[Spectra]) -> Table:
    """A row for each eigenvalue of each run."""
    return row_table(
        {
            "activation": s.activation,
            "seed": seed,
            "std": std,
            "Q": float(s.Q[k, i]),
            "loss": float(s.loss[k, i]),
            "index": index,
            "eigenvalue": value,
        }
        for s in large
        for k, seed in enumerate(s.seeds)
        for i, std in enumerate(STDS)
        for index, value in enumerate(s.eigenvalues[k, i].tolist())
    )


def small_table(small: Sequence[Small]) -> Table:
    """A row for each small net."""
    return row_table(
        {
            "case": s.case,
            "activation": s.activation,
            "on_the_orbit": int(orbit),
            "off_the_orbit": int(rest),
            "undecided": int(undecided),
        }
        for s in small
        for orbit, rest, undecided in zip(s.orbit, s.rest, s.undecided, strict=True)
    )


FIG9 = Experiment(
    "fig9",
    "Eigenvalues of the Hessian at the minimum, from different conserved quantities",
    REFERENCE,
    tasks,
    summarize,
    setup={
        "training loss": "mean of the squares of Y − Uσ(V), as the public code; X = I",
        "learning rate": "0.1 of that loss; of ‖Y − Uσ(V)‖² it is 50 times smaller",
        "Hessian": "of the sum of squares ‖Y − Uσ(V)‖²",
        "small nets": "minima of loss 0 near a net that made the targets",
    },
)
