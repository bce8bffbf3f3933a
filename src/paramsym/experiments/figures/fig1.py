"""Figure 1: the valley of a two-layer linear network of numbers, and Q along its minimum."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
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
    Task,
)
from paramsym.experiments.figures.valley_surface import SHOWN, draw, interactive
from paramsym.experiments.measuring.valley import (
    PRECISION,
    RANDOM,
    SPREAD,
    Valley,
    act,
    drift,
    joined,
    missed,
    position,
    split,
    starts_on,
    tasks,
)

REFERENCE = "Section 5, Figure 1"
VALLEY = Valley(Y=1.0, X=1.0, a=1.0)
LEVELS = (-5.0, -3.0, -1.5, -0.5, 0.0, 0.5, 1.5, 3.0, 5.0)
"""Q of the flows that are drawn."""

RIMS = (0.02, 2.0)
"""UV where they start: on both slopes of the valley."""

CONSTANT = 1e-10
"""Relative change of Q below which it counts as constant along a flow."""

Flows = Mapping[str, Tensor]


def plan(settings: Settings) -> list[Task]:
    """Flows in the quadrant that is drawn, and random ones in all of them."""
    return tasks(VALLEY, [(u, v) for u, v in starts_on(VALLEY, LEVELS, RIMS) if u > 0], settings)


def summarize(settings: Settings, results: Sequence[Finished]) -> Summary:
    """The valley, and what Q says of its points."""
    drawn, random = split(list(results))
    flows, every = joined(random), joined([drawn, *random])
    caption = (
        "The loss ‖Y − UVX‖² of two numbers, for X = Y = 1, where UV ≥ 0 (left). Thin lines are "
        "orbits of U → Ug⁻¹, V → gV; coloured lines are gradient flows, each with its Q = U² − V², "
        "which end at points of the minimum UV = 1. Right: the sharpness of the end of every flow, "
        f"those drawn and {len(flows['Q'])} random ones (grey; where |Q| < {SHOWN:g}), and "
        "2√(Q² + 4) (line). Colours are Q in both."
    )
    return Summary(
        findings=[
            constant(flows),
            related(VALLEY, every),
            parametrise(VALLEY, flows),
            least_sharp(VALLEY, every),
            eigenvalue(VALLEY, every),
        ],
        drawings={"figure": Drawing(draw(VALLEY, drawn.arrays, flows), caption)},
        tables={"data": paths(drawn), "ends": ends(VALLEY, every)},
        interactive=interactive(VALLEY, drawn.arrays),
    )


# -- findings --------------------------------------------------------------------------------------


def constant(flows: Flows) -> Finding:
    """Is Q constant along every flow?"""
    worst = float(drift(flows).max())
    return Finding(
        "Q is conserved along gradient flow.",
        "Proposition 5.1, Figure 1",
        f"Largest change of Q = U² − V² along {len(flows['Q'])} flows from random starts, relative "
        f"to U² + V² at the start: {worst:.1e}. UV itself changes by up to {_moved(flows):.1f}.",
        worst <= CONSTANT,
        f"at most {CONSTANT:.0e}",
        worst,
    )


def _moved(flows: Flows) -> float:
    product = flows["U"] * flows["V"]
    return float((product[:, -1] - product[:, 0]).abs().max())


def related(valley: Valley, flows: Flows) -> Finding:
    """Does a scaling carry every end to every other, and no start to another?"""
    residual = scaling_residual(flows["U"][:, -1], flows["V"][:, -1])
    starts = scaling_residual(flows["U"][:, 0], flows["V"][:, 0])
    gap = float((flows["U"][:, -1] * flows["V"][:, -1] / valley.product - 1).abs().max())
    worst = float(residual.max())
    return Finding(
        "Points along the minima are related by the scaling symmetry U → Ug⁻¹, V → gV.",
        "Figure 1",
        "With g = V'/V, the distance of g·(U, V) to (U', V') over all pairs on a branch of "
        f"{len(flows['U'])} ends is at most {worst:.1e}, relative; the ends are on UV = Y/X to "
        f"{gap:.1e}. Between the starts it is {float(starts.median()):.2f} in the median.",
        worst <= PRECISION,
        f"at most {PRECISION:.0e}, the precision of the flows",
        worst,
        note="g > 0 within a branch; the two branches, U > 0 and U < 0, are related by g = −1.",
    )


def scaling_residual(up: Tensor, v: Tensor) -> Tensor:
    """Distance of (U_i/g, gV_i) to (U_j, V_j) with g = V_j/V_i > 0, relative, for all pairs."""
    i, j = torch.nonzero(v[:, None] * v > 0, as_tuple=True)
    moved = act(v[j] / v[i], up[i], v[i])
    return torch.hypot(moved[0] - up[j], moved[1] - v[j]) / torch.hypot(up[j], v[j])


def parametrise(valley: Valley, flows: Flows) -> Finding:
    """Do different Q belong to different points of the minimum, in order?"""
    orders: list[float] = []
    for sign in (1, -1):
        on = flows["U"][:, -1].sign() == sign
        place = position(flows["U"][on, -1], flows["V"][on, -1])
        if len(place) > 1:
            orders.append(_order(place, flows["Q"][on, 0]))
    worst = min(orders, default=float("nan"))
    gap = float(missed(valley, flows).max())
    return Finding(
        "The conserved quantity Q parametrises the points along the minimum.",
        "Figure 1",
        f"On each branch the ends are in the order of their Q at the start (Kendall's τ = "
        f"{worst:.3f}), and they are at the point U = √((Q + √(Q² + 4))/2) that Q gives to "
        f"{gap:.1e}, relative.",
        worst >= 1 - 1e-12 and gap <= PRECISION,
        f"τ = 1, and the points agree to {PRECISION:.0e}",
        worst,
        note="Up to the sign: (U, V) and (−U, −V) have the same Q.",
    )


def _order(x: Tensor, y: Tensor) -> float:
    """Kendall's τ."""
    found: Any = stats.kendalltau(x, y)
    return float(found.statistic)


def least_sharp(valley: Valley, flows: Flows) -> Finding:
    """Is no end less sharp than that of the flow with Q = 0?"""
    Q = flows["Q"][:, 0]
    balanced = Q.abs() < CONSTANT
    claim = "The minimum of the Q = 0 trajectory lies at the least sharp point of the valley."
    bound = f"no ratio is below 1 by more than {PRECISION:.0e}"
    if not bool(balanced.any()) or bool(balanced.all()):
        nothing = "There are not both flows with Q = 0 and others."
        return Finding(claim, "Appendix H.1, Figure 1", nothing, None, bound, float("nan"))
    least = flows["sharpness"][balanced].min()
    ratio = flows["sharpness"][~balanced] / least
    nearest = Q[~balanced].abs().min()
    return Finding(
        claim,
        "Appendix H.1, Figure 1",
        f"Sharpness at the end of the flow with Q = 0: {float(least):.6f}; at the others it is "
        f"{float(ratio.min()):.6f} to {float(ratio.max()):.2f} times that, for |Q| from "
        f"{float(nearest):.2f} to {float(Q.abs().max()):.1f}.",
        float(ratio.min()) >= 1 - PRECISION,
        bound,
        float(ratio.min()),
    )


def eigenvalue(valley: Valley, flows: Flows) -> Finding:
    """Eq. (111), which is for the loss with a factor ½."""
    Q, half = flows["Q"][:, -1], flows["sharpness"] / (2 * valley.a)
    printed = half / (2 * torch.hypot(Q, torch.tensor(2.0).to(Q)))
    corrected = float((half / valley.sharpness(Q) * 2 * valley.a - 1).abs().max())
    ratio = float(printed.mean())
    return Finding(
        "The eigenvalue of the Hessian at the minimum of ½‖Y − UVX‖², X = Y = 1, is 2√(Q² + 4).",
        "Appendix H.1, eq. (111)",
        f"Measured over printed at {len(Q)} ends: {float(printed.min()):.6f} to "
        f"{float(printed.max()):.6f}. √(Q² + 4) agrees to {corrected:.1e}.",
        bool((printed - 1).abs().max() <= PRECISION),
        "all ratios are 1",
        ratio,
        note="With the ½ it is √(Q² + 4). The printed value is that of the loss without it, which "
        "Figure 1 shows.",
    )


# -- tables ----------------------------------------------------------------------------------------


def paths(drawn: Finished) -> Table:
    """A row for each time of each flow that is drawn."""
    count, steps = drawn["U"].shape
    return {
        "flow": torch.arange(count).repeat_interleave(steps).tolist(),
        "time": drawn["times"].repeat(count).tolist(),
        **{name: drawn[name].flatten().tolist() for name in ("U", "V", "Q", "loss")},
    }


def ends(valley: Valley, flows: Flows) -> Table:
    """A row for each flow, drawn and random."""
    first, last = partial(_column, flows, 0), partial(_column, flows, -1)
    return {
        "U_start": first("U"),
        "V_start": first("V"),
        "Q": first("Q"),
        "U_end": last("U"),
        "V_end": last("V"),
        "loss_end": last("loss"),
        "sharpness": flows["sharpness"].tolist(),
        "drift": drift(flows).tolist(),
        "missed": missed(valley, flows).tolist(),
    }


def _column(flows: Flows, index: int, name: str) -> list[float]:
    return flows[name][:, index].tolist()


FIG1 = Experiment(
    "fig1",
    "The valley of a two-layer linear network, and Q along its minimum",
    REFERENCE,
    plan,
    summarize,
    setup={
        "loss": "‖Y − UVX‖² of two numbers, X = Y = 1",
        "flow": "gradient flow to rtol 1e-12, float64, both scales alike",
        "random starts": f"{RANDOM} a seed, U, V ~ N(0, {SPREAD:g}²)",
        "Q": "U² − V²",
    },
)
