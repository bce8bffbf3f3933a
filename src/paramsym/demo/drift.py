"""How far conserved quantities drift at different learning rates, in equal training time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from paramsym.data import Images
from paramsym.nets import DigitsCNN
from paramsym.symmetry import Symmetry


@final
@dataclass(frozen=True, eq=False)
class Drift:
    """Relative drift ‖Q(T) − Q(0)‖/‖Q(0)‖ of one optimizer.

    Attributes:
        optimizer: Its name.
        rates: Learning rates η in falling order, `[rates]`.
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
        x = self.rates.log() - self.rates.log().mean()
        return self.drift.log() @ x / x.square().sum()

    @property
    def last_slopes(self) -> Tensor:
        """For each seed the same slope between the two smallest rates, `[seeds]`."""
        high, low = self.drift[:, -2].log(), self.drift[:, -1].log()
        return (high - low) / (self.rates[-2] / self.rates[-1]).log()


OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], tuple[float, ...], float]] = {
    "SGD": (torch.optim.SGD, (0.02, 0.01, 0.005, 0.0025), 2.0),
    "Adam": (torch.optim.Adam, (0.004, 0.002, 0.001, 0.0005), 0.1),
}
"""By name: the optimizer, its learning rates η, and the training time η·steps of each."""


def count_steps(rates: Sequence[float], time: float) -> list[int]:
    """Steps that take each rate to the same training time."""
    return [round(time / rate) for rate in rates]


def drift(
    name: str,
    symmetry: Symmetry,
    data: Images,
    seeds: Sequence[int],
    rates: Sequence[float],
    time: float,
    *,
    batch: int = 64,
    advance: Callable[[], object] = lambda: None,
) -> Drift:
    """Train a fresh network at every seed and rate, and measure Q at both ends.

    Args:
        name: An entry of `OPTIMIZERS`.
        symmetry: The symmetry of `DigitsCNN`.
        data: Images and labels, in float64.
        seeds: Decide the initial parameters and the order of the images.
        rates: Learning rates.
        time: Training time η·steps.
        batch: Images of a minibatch.
        advance: Called after each step.
    """
    rule = OPTIMIZERS[name][0]
    drifts, losses, starts = [], [], []
    for seed in seeds:
        starts.append(_loss(_fresh(seed)[0], data))
        for rate, steps in zip(rates, count_steps(rates, time), strict=True):
            model, rng = _fresh(seed)
            optimizer = rule(model.parameters(), lr=rate)  # pyright: ignore[reportCallIssue]
            start = _Q(symmetry, model)
            for _ in range(steps):
                rows = torch.randint(len(data.train_labels), (batch,), generator=rng)
                optimizer.zero_grad()
                nn.functional.cross_entropy(
                    model(data.train_images[rows]), data.train_labels[rows]
                ).backward()
                optimizer.step()
                advance()
            drifts.append(float((_Q(symmetry, model) - start).norm() / start.norm()))
            losses.append(_loss(model, data))
    shape = (len(seeds), len(rates))
    return Drift(
        name,
        torch.tensor(rates, dtype=torch.float64),
        torch.tensor(count_steps(rates, time)),
        torch.tensor(drifts, dtype=torch.float64).reshape(shape),
        torch.tensor(losses, dtype=torch.float64).reshape(shape),
        torch.tensor(starts, dtype=torch.float64),
    )


def _fresh(seed: int) -> tuple[DigitsCNN, torch.Generator]:
    rng = torch.Generator().manual_seed(seed)
    return DigitsCNN(dtype=torch.float64, generator=rng), rng


@torch.no_grad()
def _Q(symmetry: Symmetry, model: nn.Module) -> Tensor:
    Q = symmetry.conserved(dict(model.named_parameters()))
    return torch.cat([q.flatten() for q in Q.values()])


@torch.no_grad()
def _loss(model: nn.Module, data: Images) -> float:
    return float(nn.functional.cross_entropy(model(data.train_images), data.train_labels))
