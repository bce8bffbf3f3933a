"""Figure 2, panels (a) and (b): the overview, from the runs of Figures 6 and 9."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from paramsym.experiments import fig6, fig9
from paramsym.experiments.curves import band, number
from paramsym.experiments.experiment import (
    Drawing,
    Experiment,
    Finished,
    Settings,
    Summary,
    Task,
)
from paramsym.experiments.small_minima import null_spaces
from paramsym.report.style import BLUE, GREEN, PURPLE, RED, WIDTH, figure_style

REFERENCE = "Section 6, Figure 2"

ACTIVATION = "identity"
"""Both panels show the linear net."""


def tasks(settings: Settings) -> list[Task]:
    """Those of Figures 6 and 9 with the linear net: they are computed once for all."""
    return [
        task
        for task in (*fig6.tasks(settings), *fig9.tasks(settings))
        if task.settings["activation"] == ACTIVATION and task.compute is not null_spaces
    ]


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and tables."""
    curves = [fig6.curves_of(f) for f in results if f.task.compute is fig6.descend]
    (spectra,) = (fig9.spectra_of(f) for f in results if f.task.compute is fig9.spectra)
    spread = [c for c in curves if not c.moved]
    return Summary(
        [
            *(fig6.correlated(c) for c in spread),
            *(fig6.correlated_at_one_function(c) for c in curves if c.moved),
            fig9.center(spectra),
        ],
        {"figure": Drawing(draw(spread[0], spectra), CAPTION)},
        {
            "data": fig6.tables(spread)["data"],
            "eigenvalues": fig9.eigenvalue_table([spectra]),
        },
    )


CAPTION = (
    "(a) Training curves of the linear two-layer net from different values of Q; lines are medians "
    "over seeds, bands their range. (b) The eigenvalues of the Hessian at the minimum that are not "
    "near zero, from different values of Q, all seeds together. Panels (c) and (d) of the paper's "
    "figure are about ensembles."
)

_COLORS = (BLUE, GREEN, RED, PURPLE)


def draw(curves: fig6.Curves, spectra: fig9.Spectra) -> Figure:
    """Convergence on the left, sharpness on the right."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        for std, color in zip(fig6.PAPER_STDS, _COLORS, strict=False):
            which = [i for i, run in enumerate(curves.runs) if run.std == std]
            label = f"Q ≈ {number(float(curves.Q[which].median()))}"
            band(left, curves.steps, curves.residual[:, which], color, label)
        left.set(xscale="log", yscale="log", xlabel="step", ylabel="‖Y − UV‖")
        left.set_title("(a) convergence")
        left.legend(loc="lower left")
        kept = spectra.eigenvalues[spectra.eigenvalues > fig9.PAPER_NEAR_ZERO]
        bins = np.geomspace(float(kept.min()), float(kept.max()), 40)
        for i, color in enumerate(_COLORS):
            values = spectra.eigenvalues[:, i].flatten()
            label = f"Q ≈ {number(float(spectra.Q[:, i].median()))}"
            values = values[values > fig9.PAPER_NEAR_ZERO]
            right.hist(values, bins=bins, color=color, alpha=0.55, label=label)
        right.set(xscale="log", xlabel="eigenvalue", ylabel="number")
        right.set_title("(b) sharpness")
        right.legend(loc="upper left")
    return figure


FIG2 = Experiment(
    "fig2",
    "Overview: (a) convergence and (b) sharpness against the conserved quantity",
    REFERENCE,
    tasks,
    summarize,
    setup={"runs": "the linear net of Figures 6 and 9, whose settings hold"},
)
