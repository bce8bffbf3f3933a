"""How far conserved quantities drift at different learning rates, in equal training time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from paramsym.data import Digits
from paramsym.demo.training import accuracy
from paramsym.nets import DigitsCNN
from paramsym.symmetry import Symmetry


@final
@dataclass(frozen=True, eq=False)
class Drift:
    """Relative drift ‖Q(T) − Q(0)‖/‖Q(0)‖ of one optimizer.

    Attributes:
        optimizer: Its name.
        rates: Learning rates η, `[rates]`.
        steps: Steps taken at each, `[rates]`.
        drift: `[seeds, rates]`.
        loss: Training loss at the end, `[seeds, rates]`.
        loss_at_start: `[seeds]`.
    """

    optimizer: str
    rates: Tensor
    steps: Tensor
    drift: Tensor
    loss: Tensor
    loss_at_start: Tensor

    @property
    def slopes(self) -> Tensor:
        """For each seed the least-squares slope of log drift against log η, `[seeds]`."""
        x = self.rates.log2() - self.rates.log2().mean()
        y = self.drift.log2()
        return (y - y.mean(1, keepdim=True)) @ x / x.square().sum()
