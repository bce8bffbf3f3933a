"""Figure 7: convergence of a radial network against its conserved quantity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from matplotlib.figure import Figure
from torch import Tensor

import paramsym as ps
from paramsym.dynamics.two_layer import TwoLayer
from paramsym.experiments.experiment import (
    Arrays,
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
from paramsym.experiments.figures.curves import band, curve_table, number, row_table
from paramsym.experiments.measuring.convergence import rank_correlation, steps_to
from paramsym.experiments.measuring.intervals import above_zero, mean_interval
from paramsym.experiments.measuring.two_layer_runs import CHECKPOINT, even_steps
from paramsym.report.style import BLUE, FAINT, GREEN, PURPLE, RED, WIDTH, figure_style

STDS = (0.01, 0.1, 1.0, 10.0)
SHAPE = (5, 5, 10)
LR = 1e-5
STEPS: Mapping[Scale, int] = {"paper": 1_000_000, "quick": 100_000}

LEVEL = 0.1
"""Converged: ‖Y − Ug(V)‖² is this share of ‖Y‖²."""

STABLE = 0.1
"""A step follows the flow where its length times the rate of eq. (84) is below this."""

REFERENCE = "Appendix G.3, Figure 7"


def tasks(settings: Settings) -> list[Task]:
    """One task: all seeds and standard deviations."""
    what = {
        "seeds": list(settings.repetitions),
        "stds": list(STDS),
        "lr": LR,
        "steps": STEPS[settings.scale],
        "points": 300,
    }
    runs = settings.seeds * len(STDS)
    return [Task("radial", descend, what, cost=STEPS[settings.scale] * (30e-6 + runs * 2e-6))]


def spectral_start(seed: int, std: float) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Y = ΦΣΨᵀ with entries N(0, 1), and U = Φ diag(u), V = diag(v) Ψᵀ (Proposition G.1).

    The entries of u and v are N(std, std²).

    Returns:
        Y, U, V, Φ and Ψᵀ.
    """
    m, h, n = SHAPE
    rng = torch.Generator().manual_seed(seed)
    Y = torch.randn(m, n, generator=rng, dtype=torch.float64)
    u, v = std * (1 + torch.randn(2, h, generator=rng, dtype=torch.float64))
    Phi, _, Psi = torch.linalg.svd(Y, full_matrices=False)
    return Y, Phi * u, v[:, None] * Psi, Phi, Psi


def descend(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Run all seeds and standard deviations on ½‖Y − Ug(V)‖² (eq. (66)).

    Returns:
        `steps` `[T]`; `residual` `[T, runs]`, ‖Y − Ug(V)‖/‖Y‖; `Q` `[T, runs]`, ‖U‖² + ‖V‖²;
        `values` `[T, runs, h]`, the components of Ug(V) along the singular vectors of Y; `targets`
        `[runs, h]`, the singular values of Y; `sizes` `[runs, h]`, λ_i = u_i² + v_i² at the start;
        `diverged_at` `[runs]`.
    """
    drawn = [spectral_start(seed, std) for seed in settings["seeds"] for std in settings["stds"]]
    Y, U, V, Phi, Psi = (torch.stack(part) for part in zip(*drawn, strict=True))
    steps = settings["steps"]
    found = ps.gradient_descent(
        TwoLayer("radial", Y, 0.5),
        {"U": U, "V": V},
        lr=settings["lr"],
        steps=steps,
        runs=len(drawn),
        at=even_steps(steps, settings["points"]),
        record={"U": lambda p: p["U"], "V": lambda p: p["V"]},
        checkpoint=scratch / CHECKPOINT,
        every=max(1, steps // 20),
    )
    U, V = found.recorded["U"], found.recorded["V"]
    output = U @ (V / V.square().sum(-1, keepdim=True))
    return {
        "steps": found.steps,
        "residual": (2 * found.loss).sqrt() / Y.square().sum((1, 2)).sqrt(),
        "Q": U.square().sum((2, 3)) + V.square().sum((2, 3)),
        "values": torch.einsum("rmi,trmn,rin->tri", Phi, output, Psi),
        "targets": torch.linalg.svdvals(Y),
        "sizes": U[0].square().sum(1) + V[0].square().sum(2),
        "diverged_at": torch.as_tensor(found.diverged_at),
    }


@final
@dataclass(frozen=True, eq=False)
class Curves:
    """Training curves; runs are split into seeds and standard deviations.

    Attributes:
        seeds: Of the repetitions.
        steps: Recorded steps, `[T]`.
        residual: ‖Y − Ug(V)‖/‖Y‖, `[T, seeds, stds]`.
        Q: ‖U‖² + ‖V‖² at the start, `[seeds, stds]`.
        drift: Largest relative change of Q, not finite for a run that diverged.
        taken: Steps to a loss of `LEVEL`, infinite where it is not reached.
        violated: Of the components of stable runs, how many break the bound (102), and how many
            there are.
    """

    seeds: tuple[int, ...]
    steps: Tensor
    residual: Tensor
    Q: Tensor
    drift: Tensor
    taken: Tensor
    violated: tuple[int, int]


def curves_of(finished: Finished) -> Curves:
    """Read the task's arrays."""
    settings = finished.task.settings
    split = (len(settings["seeds"]), len(settings["stds"]))
    Q, steps, residual = finished["Q"], finished["steps"], finished["residual"]
    taken = steps_to(LEVEL, steps, residual.square())
    return Curves(
        tuple(settings["seeds"]),
        steps,
        residual.reshape(-1, *split),
        Q[0].reshape(split),
        ((Q - Q[0]).abs().amax(0) / Q[0]).reshape(split),
        taken.reshape(split),
        broken_bounds(finished, settings["lr"]),
    )


def broken_bounds(finished: Finished, lr: float) -> tuple[int, int]:
    """Components that break |σˣ − σʸ| ≤ |σˣ(0) − σʸ| e^{−t/λ} (eq. (102)), and all looked at.

    Looked at are the runs whose steps follow the flow in every component, ηλ⁻¹(σ² + 1)² ≤ `STABLE`
    all along; one that does not carries its rounding errors into the others. There the distance
    shrinks by 1 − ηr in a step, where the flow has e^{−ηr}: less by a share of ηr in the exponent
    at the most, if the rate falls on the way, and that is allowed.
    """
    values, targets, sizes = (finished[name] for name in ("values", "targets", "sizes"))
    rate = (values.square() + 1).square() / sizes * lr
    looked_at = (rate <= STABLE).all(0).all(-1, keepdim=True).expand_as(targets)
    t = finished["steps"].double()[:, None, None] * lr
    allowed = (values[0] - targets).abs() * torch.exp(-t / sizes * (1 - STABLE))
    rounding = 1e-12 * targets
    broken = ((values - targets).abs() > allowed + rounding).any(0) & looked_at
    return int(broken.sum()), int(looked_at.sum())


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """Findings, figure and tables."""
    (finished,) = results
    curves = curves_of(finished)
    return Summary(
        [faster(curves), bounded(curves), kept(curves)],
        {"figure": Drawing(draw(curves), CAPTION)},
        tables(curves),
    )


# -- findings --------------------------------------------------------------------------------------


def faster(curves: Curves) -> Finding:
    """Does a smaller Q go with fewer steps?"""
    pairs = zip(curves.Q, curves.taken, strict=True)
    value, interval = mean_interval([rank_correlation(q, t) for q, t in pairs])
    missed = [int(column.isinf().sum()) for column in curves.taken.T]
    each = ", ".join(f"{k} with std {std:g}" for std, k in zip(STDS, missed, strict=True))
    return Finding(
        "Convergence is faster when Q = Tr[UᵀU + VᵀV] is small.",
        REFERENCE,
        f"Kendall's τ of Q with the steps until ‖Y − Ug(V)‖² = {LEVEL:g} ‖Y‖², over the "
        f"{len(STDS)} standard deviations, mean over {len(curves.seeds)} seeds. Runs that do not "
        f"get there: {each}.",
        above_zero(interval),
        "the interval is above 0",
        value,
        interval,
        0.95,
    )


def bounded(curves: Curves) -> Finding:
    """Does the exponential bound hold?"""
    broken, count = curves.violated
    return Finding(
        "|σˣ − σʸ| ≤ |σˣ(0) − σʸ| e^{−t/λ} for each component.",
        "Proposition G.3, eq. (102)",
        f"{broken} of {count} components break it; only those are counted whose steps are short "
        "enough to follow the flow.",
        broken == 0 if count else None,
        "none breaks it",
        float(broken),
    )


def kept(curves: Curves) -> Finding:
    """Is Q conserved in these runs?"""
    medians = curves.drift.median(0).values
    each = ", ".join(f"{d:.0e} (std {std:g})" for std, d in zip(STDS, medians, strict=True))
    worst = float(medians.max())
    return Finding(
        "λ_i, and with them Q, keep their values in training (with the paper's learning rate).",
        "Proposition G.2",
        f"Largest relative change of Q on the way, median over seeds: {each}.",
        worst < 0.01,
        "the largest median is below 1 %",
        worst,
        note="With small Q the flow is stiff: a step of the paper's length leaves it.",
    )


# -- figure and tables -----------------------------------------------------------------------------

CAPTION = (
    "Left: training curves of Ug(V) with g(W)_i = W_i/‖W_i‖² from spectral initialisations of "
    "different size; medians over seeds, bands the middle half. Right: steps until the squared "
    "distance is 10 % of ‖Y‖², against Q at the start, a point for each run; points above the "
    "dotted line do not get there."
)

_COLORS = dict(zip(STDS, (BLUE, GREEN, RED, PURPLE), strict=True))


def draw(curves: Curves) -> Figure:
    """Curves on the left, steps against Q on the right."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        end = float(curves.steps[-1])
        for i, std in enumerate(STDS):
            label = f"Q ≈ {number(float(curves.Q[:, i].median()))}"
            band(left, curves.steps, curves.residual[..., i], _COLORS[std], label, share=0.5)
            taken = curves.taken[:, i].clamp(min=0.7, max=1.6 * end)
            right.scatter(curves.Q[:, i], taken, s=12, color=_COLORS[std], lw=0)
        left.set(xscale="log", yscale="log", xlabel="step", ylabel="‖Y − Ug(V)‖ / ‖Y‖")
        left.set_ylim(1e-8, 1e2)
        left.legend(loc="lower left")
        right.axhline(end, color=FAINT, lw=0.7, ls=":")
        right.set(xscale="log", yscale="log", xlabel="Q at the start", ylabel="steps to 10 %")
    return figure


def tables(curves: Curves) -> dict[str, Table]:
    """A row for each recorded step of each run, and a row for each run."""
    grid = [(s, i) for s in range(len(curves.seeds)) for i in range(len(STDS))]

    def known(s: int, i: int) -> dict[str, object]:
        return {"seed": curves.seeds[s], "std": STDS[i], "Q": float(curves.Q[s, i])}

    return {
        "data": curve_table(
            curves.steps,
            ((known(s, i), {"residual": curves.residual[:, s, i]}) for s, i in grid),
        ),
        "steps": row_table(
            {
                **known(s, i),
                "largest_change_of_Q": float(curves.drift[s, i]),
                "steps": float(curves.taken[s, i]),
            }
            for s, i in grid
        ),
    }


FIG7 = Experiment(
    "fig7",
    "Convergence of a radial network from different conserved quantities",
    REFERENCE,
    tasks,
    summarize,
    seeds={"quick": 20, "paper": 20},
    setup={
        "loss": "½‖Y − Ug(V)‖², g(W)_i = W_i/‖W_i‖²",
        "learning rate": f"{LR:g}",
        "initial": "U = Φ diag(u), V = diag(v) Ψᵀ, u and v ~ N(s, s²), Y = ΦΣΨᵀ ~ N(0, 1)",
        "converged": "‖Y − Ug(V)‖² ≤ 0.1 ‖Y‖²",
    },
)
