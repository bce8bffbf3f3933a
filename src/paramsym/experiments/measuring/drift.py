"""How far the conserved quantity of a descent moves, beside the law of its drift."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from paramsym.experiments.experiment import (
    Finished,
)
from paramsym.experiments.measuring.two_layer_runs import Plan

CONVERGED = 1e-3
"""A run has converged where this share of the loss that it loses in all is left to lose."""

LRS = (0.1, 0.01, 0.001)


@final
@dataclass(frozen=True, eq=False)
class Drift:
    """What one activation does in one precision; runs are split into seeds and learning rates.

    Attributes:
        activation: Its name.
        dtype: Precision of the descent.
        seeds: Of the repetitions.
        steps: Recorded steps, `[T]`.
        residual: ‖Y − Uσ(V)‖, without the square, as the paper plots it, `[T, seeds, lrs]`.
        change: |ΔQ̃|, eq. (48), `[T, seeds, lrs]`.
        predicted: |ΔQ̃| by the law η²/2 ⟨g, ∇²Q g⟩ a step, summed over the path.
    """

    activation: str
    dtype: str
    seeds: tuple[int, ...]
    steps: Tensor
    residual: Tensor
    change: Tensor
    predicted: Tensor

    def at_equal_time(self) -> tuple[Tensor, Tensor]:
        """Change and prediction when every run has trained for as long, `[seeds, lrs]`."""
        last = int(self.steps[-1])
        rows = [int((self.steps == round(last * min(LRS) / lr)).nonzero()) for lr in LRS]
        columns = range(len(LRS))
        return tuple(
            torch.stack([what[row, :, i] for row, i in zip(rows, columns, strict=True)], dim=1)
            for what in (self.change, self.predicted)
        )  # pyright: ignore[reportReturnType]

    def after_convergence(self) -> Tensor:
        """Largest change of Q̃ after convergence, as a share of the change until then.

        For the runs that converge well before their end, `[runs]`.
        """
        shares = []
        loss = self.residual.square().flatten(1)
        change = self.change.flatten(1)
        for run in range(loss.shape[1]):
            left = loss[:, run] - loss[-1, run]
            done = int((left <= CONVERGED * left[0]).nonzero()[0])
            if self.steps[done] > self.steps[-1] / 2:
                continue
            later = (change[done:, run] - change[done, run]).abs().max()
            shares.append(later / change[: done + 1, run].max())
        return torch.stack(shares) if shares else torch.empty(0, dtype=torch.float64)


def drift_of(finished: Finished) -> Drift:
    """Read a task's arrays."""
    plan = Plan.from_settings(finished.task.settings)
    split = (-1, len(plan.seeds), len(plan.lrs))
    m, _, n = plan.shape
    Q = finished["readers"] - finished["writers"]
    size = finished["readers"][0] + finished["writers"][0].abs()
    steps = finished["steps"]
    predicted = summed(finished["rate"], steps)
    # Q̃ is |Q| by its size at the start, so its change has the sign of Q besides.
    return Drift(
        plan.activation,
        plan.dtype,
        tuple(plan.seeds),
        steps,
        (finished["loss"] * (m * n)).sqrt().reshape(split),
        ((Q.abs() - Q[0].abs()) / size).abs().reshape(split),
        (((Q[0] + predicted).abs() - Q[0].abs()) / size).abs().reshape(split),
    )


def summed(rate: Tensor, steps: Tensor) -> Tensor:
    """Sum of a rate over all steps before each recorded one, `[T, runs]`.

    Exact where every step is recorded. Between others the rate is taken to be smooth in the
    logarithm of the step: the trapezoid rule, and half a step's rate at either end.
    """
    gap = steps.diff().double()[:, None]
    log = torch.log1p(steps.double())[:, None]
    scaled = rate * (1 + steps.double())[:, None]
    integral = (scaled[1:] + scaled[:-1]) / 2 * log.diff(dim=0)
    within = torch.where(gap == 1, rate[:-1], integral + (rate[:-1] - rate[1:]) / 2)
    return torch.cat([torch.zeros_like(rate[:1]), within.cumsum(0)])
