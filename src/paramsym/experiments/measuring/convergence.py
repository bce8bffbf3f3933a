"""How long runs take to reach a given loss, and what that goes with."""

import math
from typing import Any

import torch
from scipy.stats import kendalltau
from torch import Tensor


def steps_to(level: float, steps: Tensor, loss: Tensor) -> Tensor:
    """Steps until the loss is at most `level` for the first time, `[runs]`; ∞ where it never is.

    Interpolated between recorded steps, linearly in the logarithms of loss and step.

    Args:
        level: The loss to reach, positive.
        steps: Recorded steps, `[T]`, increasing from 0.
        loss: Loss at each, `[T, runs]`; not finite once a run has diverged.
    """
    below = loss <= level
    reached = below.any(0)
    first = below.int().argmax(0)
    position = torch.log1p(steps.double())
    before = (first - 1).clamp(min=0)
    high, low = (loss.gather(0, i[None])[0].log() for i in (before, first))
    share = ((high - math.log(level)) / (high - low)).nan_to_num(0).clamp(0, 1)
    x = position[before] + share * (position[first] - position[before])
    return torch.where(reached, torch.where(first == 0, 0.0, torch.expm1(x)), math.inf)


def rank_correlation(x: Tensor, y: Tensor) -> float:
    """Kendall's τ_b of two vectors; infinities are ties at the end. 0 where one is constant."""
    found: Any = kendalltau(x.numpy(), y.numpy())
    tau = float(found.statistic)
    return 0.0 if math.isnan(tau) else tau
