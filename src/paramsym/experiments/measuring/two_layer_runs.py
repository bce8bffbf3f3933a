"""Runs of gradient descent on the paper's two-layer networks, all in one tensor program.

The loss is s·‖Y − Uσ(V)‖², eq. (49) and (108) for s = 1; the public code divides by the number of
entries of Y. A task is all runs with one activation: every seed with every starting point and
learning rate, in the order of `Start.runs`.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

import paramsym as ps
from paramsym.dynamics.two_layer import TwoLayer
from paramsym.experiments.experiment import Arrays
from paramsym.laws.potentials import potential

CHECKPOINT = "descent.safetensors"

LABELS = {"identity": "linear", "relu": "ReLU", "tanh": "tanh", "sigmoid": "sigmoid"}
"""The paper's activations, and what they are called on a page."""


STEP_SECONDS, RUN_SECONDS = 12e-6, 4e-6
"""What a step costs, and what it costs more for each run, on one core of 2026."""


@final
@dataclass(frozen=True)
class Run:
    """Where a run starts, and its learning rate.

    Attributes:
        seed: Decides Y and the directions of U and V.
        std: Standard deviation of the entries of U and V, before `factor`.
        factor: c of the rescaling U/c, cV, which leaves U σ(V) alone where σ is homogeneous.
        lr: Learning rate of the loss with its factor s.
    """

    seed: int
    std: float
    factor: float
    lr: float


@final
@dataclass(frozen=True)
class Plan:
    """All choices of a task; JSON values.

    Attributes:
        activation: Name of σ.
        shape: (m, h, n): Y is m×n, U is m×h, V is h×n.
        steps: Steps of every run.
        points: How many steps are recorded, evenly in the logarithm.
        also: Steps recorded besides.
        scale: The factor s of the loss.
        dtype: `"float64"` or `"float32"`, that of the descent; Q is measured in float64.
        seeds: Seeds of the repetitions.
        stds: Standard deviations.
        factors: Rescalings.
        lrs: Learning rates.
        keep: Whether the parameters at the end are among the results.
    """

    activation: str
    shape: tuple[int, int, int]
    steps: int
    scale: float
    seeds: Sequence[int]
    stds: Sequence[float]
    lrs: Sequence[float]
    factors: Sequence[float] = (1.0,)
    points: int = 200
    also: Sequence[int] = ()
    dtype: str = "float64"
    keep: bool = False

    def runs(self) -> list[Run]:
        """Every run, in the order of the results."""
        grid = itertools.product(self.seeds, self.stds, self.factors, self.lrs)
        return [Run(*point) for point in grid]

    def cost(self) -> float:
        """About how many seconds the descent takes on one core."""
        return self.steps * (STEP_SECONDS + RUN_SECONDS * len(self.runs()))

    def as_settings(self) -> dict[str, Any]:
        """The plan as a task's settings."""
        return asdict(self)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Plan":
        """The plan from a task's settings, which may have been through JSON."""
        found: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()
        }
        return cls(**found)

    def recorded(self) -> list[int]:
        """The steps that are recorded, increasing, with 0 and the last."""
        return sorted({*even_steps(self.steps, self.points), *self.also})


def even_steps(steps: int, points: int) -> list[int]:
    """About `points` steps evenly in the logarithm, increasing, with 0 and the last."""
    even = torch.logspace(0, math.log10(steps), points, dtype=torch.float64).round()
    return sorted({0, steps, *(min(int(step), steps) for step in even)})


def start(plan: Plan) -> tuple[TwoLayer, dict[str, Tensor]]:
    """The objective and the initial parameters of all runs, in float64.

    Y ~ N(0, 1), U and V ~ N(0, std²). Runs of one seed share Y and the directions of U and V.
    """
    m, h, n = plan.shape
    drawn: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
    for seed in plan.seeds:
        rng = torch.Generator().manual_seed(seed)
        shapes = ((m, n), (m, h), (h, n))
        Y, U, V = (torch.randn(s, generator=rng, dtype=torch.float64) for s in shapes)
        drawn[seed] = (Y, U, V)
    runs = plan.runs()
    Y = torch.stack([drawn[run.seed][0] for run in runs])
    U = torch.stack([drawn[run.seed][1] * (run.std / run.factor) for run in runs])
    V = torch.stack([drawn[run.seed][2] * (run.std * run.factor) for run in runs])
    return TwoLayer(plan.activation, Y, plan.scale), {"U": U, "V": V}


def descend(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Run the plan, and measure Q beside the rate at which it should drift.

    Returns:
        `steps` `[T]`; `loss` `[T, runs]`, with its factor; `target` `[runs]`, ‖Y‖²; `readers` and
        `writers` `[T, runs]`, the two parts of Q = readers − writers = ½‖U‖² − ΣΦ(V) (eq. (53));
        `rate` `[T, runs]`, the leading change of Q a step (`drift_rate`); `diverged_at` `[runs]`;
        with `keep`, `U` and `V` at the end.
    """
    plan = Plan.from_settings(settings)
    objective, params = start(plan)
    dtype = getattr(torch, plan.dtype)
    runs = plan.runs()
    lr = torch.tensor([run.lr for run in runs], dtype=torch.float64)
    found = ps.gradient_descent(
        TwoLayer(plan.activation, objective.Y.to(dtype), plan.scale),
        {k: p.to(dtype) for k, p in params.items()},
        lr=lr.to(dtype),
        steps=plan.steps,
        runs=len(runs),
        at=plan.recorded(),
        record={"U": lambda p: p["U"], "V": lambda p: p["V"]},
        checkpoint=scratch / CHECKPOINT,
        every=max(1, plan.steps // 20),
    )
    U, V = (found.recorded[k].double() for k in ("U", "V"))
    rates = [drift_rate(objective, {"U": u, "V": v}, lr) for u, v in zip(U, V, strict=True)]
    arrays = {
        "steps": found.steps,
        "loss": found.loss.double(),
        "target": objective.Y.square().sum((1, 2)),
        "readers": U.square().sum((2, 3)) / 2,
        "writers": potential(plan.activation)(V).sum((2, 3)),
        "rate": torch.stack(rates),
        "diverged_at": torch.as_tensor(found.diverged_at),
    }
    if plan.keep:
        arrays |= {"U": U[-1].clone(), "V": V[-1].clone()}
    return arrays


def drift_rate(objective: TwoLayer, params: Mapping[str, Tensor], lr: Tensor) -> Tensor:
    """The leading change of Q = ½‖U‖² − ΣΦ(V) in a step, η²/2 ⟨g, ∇²Q g⟩, `[runs]`.

    The term linear in η is 0 because Q is conserved by gradient flow. For quadratic Q this is the
    whole change (docs/derivations.md §7).
    """
    gradient = {name: torch.empty_like(p) for name, p in params.items()}
    objective.gradient(params, gradient)()
    ratio = potential(objective.activation).ratio
    V = params["V"]
    second = torch.func.jvp(ratio, (V,), (torch.ones_like(V),))[1]
    squares = gradient["U"].square().sum((1, 2)) - (second * gradient["V"].square()).sum((1, 2))
    return lr**2 / 2 * squares
