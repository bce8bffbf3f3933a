"""Figure 2: the overview, from the runs of Figures 6, 9, 10 and 11."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paramsym.experiments.experiment import (
    Drawing,
    Experiment,
    Finished,
    Settings,
    Summary,
    Task,
)
from paramsym.experiments.figures import fig6, fig9, fig10, fig11
from paramsym.experiments.figures.curves import band, number
from paramsym.experiments.measuring import attacking, ensemble_comparison
from paramsym.experiments.measuring.attacking import Attacked, attack_all, attacked_of
from paramsym.experiments.measuring.ensemble_comparison import Comparison, compare, comparison_of
from paramsym.experiments.measuring.small_minima import null_spaces
from paramsym.experiments.measuring.spectra import PAPER_NEAR_ZERO, Spectra, spectra, spectra_of
from paramsym.experiments.measuring.two_layer_runs import descend
from paramsym.report.style import BLUE, FAINT, GREEN, PURPLE, RED, WIDTH, figure_style

REFERENCE = "Section 6, Figure 2"

ACTIVATION = "identity"
"""Panels (a) and (b) show the linear net."""


def tasks(settings: Settings) -> list[Task]:
    """Those of the other figures, which are computed once for all; of 6 and 9 the linear net."""
    linear = [
        task
        for task in (*fig6.tasks(settings), *fig9.tasks(settings))
        if task.settings["activation"] == ACTIVATION and task.compute is not null_spaces
    ]
    return [*linear, *fig10.tasks(settings), *fig11.tasks(settings)]


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and tables."""

    def of(compute: object) -> list[Finished]:
        return [result for result in results if result.task.compute is compute]

    curves = [fig6.curves_of(result) for result in of(descend)]
    (eigenvalues,) = (spectra_of(result) for result in of(spectra))
    ensembles = comparison_of(of(compare))
    attacked = attacked_of(of(attack_all))
    spread = [c for c in curves if not c.moved]
    return Summary(
        [
            *(fig6.correlated(c) for c in spread),
            *(fig6.correlated_at_one_function(c) for c in curves if c.moved),
            fig9.center(eigenvalues),
            fig10.loss_unchanged(ensembles),
            fig11.improves(attacked, adaptive=False),
        ],
        {"figure": Drawing(draw(spread[0], eigenvalues, ensembles, attacked), CAPTION)},
        {
            "convergence": fig6.tables(spread)["data"],
            "eigenvalues": fig9.eigenvalue_table([eigenvalues]),
            "ensembles": fig10.member_table(ensembles),
            "attacks": fig11.table(attacked),
        },
    )


CAPTION = (
    "(a) Training curves of the linear two-layer net from different values of Q; lines are medians "
    "over seeds, bands their range. (b) The eigenvalues of the Hessian at the minimum that are not "
    "near zero, from different values of Q, all seeds together. (c) Loss on test images of the "
    "median member of ensembles made by the group action, over that of the model, a line for each "
    "seed. (d) Test accuracy under FGSM, of the model and of the ensemble; examples are made on "
    "the model."
)

_COLORS = (BLUE, GREEN, RED, PURPLE)


def draw(
    curves: fig6.Curves,
    spectra: Spectra,
    ensembles: Comparison,
    attacked: Attacked,
) -> Figure:
    """Convergence, sharpness, ensembles, attacks."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        axes = figure.subplots(2, 2)
        _convergence(axes[0, 0], curves)
        _sharpness(axes[0, 1], spectra)
        _loss(axes[1, 0], ensembles)
        _attack(axes[1, 1], attacked)
    return figure


def _convergence(axis: Axes, curves: fig6.Curves) -> None:
    for std, color in zip(fig6.PAPER_STDS, _COLORS, strict=False):
        which = [i for i, run in enumerate(curves.runs) if run.std == std]
        label = f"Q ≈ {number(float(curves.Q[which].median()))}"
        band(axis, curves.steps, curves.residual[:, which], color, label)
    axis.set(xscale="log", yscale="log", xlabel="step", ylabel="‖Y − UV‖")
    axis.set_title("(a) convergence")
    axis.legend(loc="lower left")


def _sharpness(axis: Axes, spectra: Spectra) -> None:
    kept = spectra.eigenvalues[spectra.eigenvalues > PAPER_NEAR_ZERO]
    bins = np.geomspace(float(kept.min()), float(kept.max()), 40).tolist()
    for i, color in enumerate(_COLORS):
        values = spectra.eigenvalues[:, i].flatten()
        label = f"Q ≈ {number(float(spectra.Q[:, i].median()))}"
        values = values[values > PAPER_NEAR_ZERO]
        axis.hist(values, bins=bins, color=color, alpha=0.55, label=label)
    axis.set(xscale="log", xlabel="eigenvalue", ylabel="number")
    axis.set_title("(b) sharpness")
    axis.legend(loc="upper left")


def _loss(axis: Axes, ensembles: Comparison) -> None:
    i = ensembles.kinds.index(ensemble_comparison.GROUP)
    for ratios in ensembles.loss[:, i, :, 0]:
        axis.plot(ensembles.scales, ratios, color=BLUE, marker="o", ms=2.5, lw=1)
    axis.axhline(1, color=FAINT, lw=0.7, ls=":")
    axis.set(xscale="log", yscale="log", xlabel="ε", ylabel="loss / loss of the model")
    axis.set_title("(c) ensembles")


def _attack(axis: Axes, attacked: Attacked) -> None:
    strengths = attacked.strengths["fgsm"]
    own = [float(attacked.single("fgsm", s).double().mean()) for s in strengths]
    group = [
        float(attacked.ensemble(attacking.GROUP, "fgsm", s, adaptive=False).double().mean())
        for s in strengths
    ]
    axis.plot(strengths, own, color="black", marker="o", ms=2.5, label=attacking.SINGLE)
    axis.plot(strengths, group, color=BLUE, marker="o", ms=2.5, label=attacking.GROUP)
    axis.set(xlabel="ε of the attack", ylabel="accuracy", ylim=(0, 1.02))
    axis.set_title("(d) attacks")
    axis.legend(loc="lower left")


FIG2 = Experiment(
    "fig2",
    "Overview: convergence, sharpness, ensembles and attacks",
    REFERENCE,
    tasks,
    summarize,
    seeds={"quick": 5, "paper": 5},
    setup={"runs": "those of Figures 6, 9, 10 and 11, whose settings hold"},
    images=True,
)
