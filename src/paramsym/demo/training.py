"""Training the small network while following its conserved quantities beside the exact law."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from paramsym.data import Images
from paramsym.dynamics.drift import gradient_descent_step
from paramsym.symmetry import Symmetry

BATCH = 64


@final
@dataclass(frozen=True, eq=False)
class Training:
    """One run of stochastic gradient descent, in float64.

    Attributes:
        lr: Learning rate η.
        time: Training time η·step at every recorded step, `[steps + 1]`.
        loss: Loss of each minibatch, `[steps]`.
        accuracy: Share of the test images classified rightly after each epoch, `[epochs + 1]`.
        measured: {family: Q of the parameters}, `[steps + 1, …]`.
        predicted: {family: Q by the law}, from the Q at the start and the gradients alone.
        params: Parameters at the end.
    """

    lr: float
    time: Tensor
    loss: Tensor
    accuracy: Tensor
    measured: dict[str, Tensor]
    predicted: dict[str, Tensor]
    params: dict[str, Tensor]

    def residual(self) -> Tensor:
        """Distance of the law from the measurement, relative to the size of Q, `[steps + 1]`."""
        gap = stacked(self.measured) - stacked(self.predicted)
        return gap.norm(dim=1) / stacked(self.measured).norm(dim=1)

    def drift(self) -> Tensor:
        """Distance of Q from its start, relative to the size it started with, `[steps + 1]`."""
        Q = stacked(self.measured)
        return (Q - Q[0]).norm(dim=1) / Q[0].norm()


def stacked(Q: dict[str, Tensor]) -> Tensor:
    """The quantities of all families side by side, `[steps + 1, number]`."""
    return torch.cat([q.flatten(1) for q in Q.values()], dim=1)


def train(
    model: nn.Module,
    symmetry: Symmetry,
    data: Images,
    *,
    lr: float,
    epochs: int,
    generator: torch.Generator,
    advance: Callable[[], object] = lambda: None,
) -> Training:
    """Train `model` in place by minibatch gradient descent (torch.optim.SGD).

    Args:
        model: Classifier of `[batch, 1, 8, 8]` images, in float64.
        symmetry: Its symmetry.
        data: Images and labels, in float64.
        lr: Learning rate.
        epochs: Passes over the training images.
        generator: Source of the order of the images.
        advance: Called after each epoch.
    """
    params = dict(model.named_parameters())
    optimizer = torch.optim.SGD(params.values(), lr)
    Q = _conserved(symmetry, params)
    measured, predicted = [Q], [Q]
    losses: list[float] = []
    accuracies = [accuracy(model, data)]
    for _ in range(epochs):
        order = torch.randperm(len(data.train_images), generator=generator)
        for batch in order[: len(order) // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(
                model(data.train_images[batch]), data.train_labels[batch]
            )
            loss.backward()
            losses.append(loss.item())
            grads = {k: p.grad for k, p in params.items() if p.grad is not None}
            Q = {
                name: gradient_descent_step(symmetry[name], value, grads, lr)
                for name, value in predicted[-1].items()
            }
            predicted.append(Q)
            optimizer.step()
            measured.append(_conserved(symmetry, params))
        accuracies.append(accuracy(model, data))
        advance()
    return Training(
        lr,
        lr * torch.arange(len(measured), dtype=torch.float64),
        torch.tensor(losses, dtype=torch.float64),
        torch.tensor(accuracies, dtype=torch.float64),
        _by_family(measured),
        _by_family(predicted),
        {k: p.detach().clone() for k, p in params.items()},
    )


@torch.no_grad()
def accuracy(model: nn.Module, data: Images) -> float:
    """Share of the test images whose largest logit is the right one."""
    guesses = model(data.test_images).argmax(1)
    return float((guesses == data.test_labels).double().mean())


@torch.no_grad()
def _conserved(symmetry: Symmetry, params: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return symmetry.conserved(params)


def _by_family(steps: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([Q[name] for Q in steps]) for name in steps[0]}
