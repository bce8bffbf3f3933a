"""Training one function from several points of its orbit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from paramsym.data import load
from paramsym.experiments.experiment import Arrays, Finished
from paramsym.experiments.measuring.initialisers import INITIALISERS
from paramsym.experiments.measuring.reached_q import imbalanced, params_of, symmetry_of
from paramsym.nets import MLP
from paramsym.orbit.initialising import init_conserved_

HIDDEN = 64
STARTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
"""Imbalances ½ log(writers²/readers²) of every neuron at the start; the last run is as drawn."""

_NAMES = ("layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias")


def train(settings: Mapping[str, Any], folder: Path) -> Arrays:
    """Train a ReLU network on digits from one function at several points of its orbit.

    All runs see the same images in the same order. Settings: `optimiser` (`"sgd"` or `"adam"`),
    `seed`, `epochs`, `batch`, `lrs`.

    Returns:
        Of shape `[starts + 1, lrs]`: `loss` of all training images at the end, not finite where it
        diverged, `test_loss`, `accuracy` on the test images, and `turned`, the mean over neurons of
        1 − cos of the angle between the writers at the start and at the end; `curve`
        `[epochs, starts + 1, lrs]`, the mean training loss of each epoch; `drift` `[starts + 1]`,
        of the logits at the start, relative to the largest.
    """
    images = load("digits", seed=settings["seed"], dtype=torch.float64)
    x, y = images.train_images.flatten(1), images.train_labels
    tests = images.test_images.flatten(1)
    generator = torch.Generator().manual_seed(settings["seed"])
    nets = starts(x.shape[1], len(images.classes), generator)
    before = torch.stack([net(tests).detach() for net in nets])
    drift = (before - before[-1]).abs().amax((1, 2)) / before[-1].abs().max()
    lrs, count = settings["lrs"], len(nets)
    first = {k: torch.stack([params_of(net)[k] for net in nets]) for k in _NAMES}
    # One copy a learning rate, all runs in one batch.
    params = [{k: p.clone().requires_grad_() for k, p in first.items()} for _ in lrs]
    groups = [{"params": list(own.values()), "lr": lr} for own, lr in zip(params, lrs, strict=True)]
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimiser = kinds[settings["optimiser"]](groups)
    curve = []
    for _ in range(settings["epochs"]):
        total = torch.zeros(len(lrs), count, dtype=torch.float64)
        for rows in torch.randperm(len(y), generator=generator).split(settings["batch"]):
            losses = _losses(_joined(params), x[rows], y[rows])
            optimiser.zero_grad()
            # The gradient of a run is of its own loss; one that diverges leaves the others alone.
            losses.sum().backward()
            optimiser.step()
            total += losses.detach().reshape(len(lrs), count) * len(rows)
        curve.append(total.T / len(y))
    with torch.no_grad():
        end = _joined(params)
        logits = _forward(end, tests)
        writers = torch.nn.functional.cosine_similarity(
            end["layers.0.weight"], first["layers.0.weight"].repeat(len(lrs), 1, 1), dim=-1
        )

        def table(values: Tensor) -> Tensor:
            return values.reshape(len(lrs), count).T.contiguous()

        return {
            "loss": table(_losses(end, x, y)),
            "test_loss": table(_losses(end, tests, images.test_labels)),
            "accuracy": table((logits.argmax(-1) == images.test_labels).double().mean(-1)),
            "turned": table(1 - writers.mean(-1)),
            "curve": torch.stack(curve),
            "drift": drift,
        }


def starts(inputs: int, classes: int, generator: torch.Generator) -> list[MLP]:
    """One network by Kaiming's initialiser, at each of `STARTS` and as drawn."""
    kaiming, widths = INITIALISERS["kaiming"], (inputs, HIDDEN, classes)
    symmetry = symmetry_of(widths, "relu")
    (family,) = symmetry
    state = generator.get_state()
    nets = []
    for s in (*STARTS, None):
        generator.set_state(state)
        net = kaiming.draw(widths, "relu", generator)
        if s is not None:
            init_conserved_(net, symmetry, {family.name: imbalanced(params_of(net), s)})
        nets.append(net)
    return nets


def _joined(params: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {k: torch.cat([own[k] for own in params]) for k in _NAMES}


def _forward(params: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Logits of all runs, `[runs, batch, classes]`."""
    V, b, U, c = (params[k] for k in _NAMES)
    hidden = torch.relu(x @ V.mT + b[:, None])
    return hidden @ U.mT + c[:, None]


def _losses(params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of each run."""
    logs = _forward(params, x).log_softmax(-1)
    return -logs[:, torch.arange(len(y)), y].mean(-1)


@final
@dataclass(frozen=True, eq=False)
class FromQ:
    """What one optimiser gives, `[seeds, starts + 1, lrs]` each.

    Attributes:
        optimiser: Its name.
        seeds: Of the repetitions.
        lrs: Learning rates.
        loss: Of training, at the end; infinite where it diverged.
        accuracy: On the test images.
        turned: 1 − cos of the angle by which writers turned.
        drift: `[seeds, starts + 1]`.
    """

    optimiser: str
    seeds: tuple[int, ...]
    lrs: tuple[float, ...]
    loss: Tensor
    accuracy: Tensor
    turned: Tensor
    drift: Tensor

    def best(self, values: Tensor) -> Tensor:
        """Values at each start's best learning rate, by the training loss, `[seeds, starts]`."""
        return values.gather(2, self.loss.argmin(2)[..., None])[..., 0]

    def at_common(self, values: Tensor) -> Tensor:
        """Values at the learning rate that is best as drawn, `[seeds, starts]`."""
        best = self.loss[:, -1].argmin(1)[:, None, None]
        return values.gather(2, best.expand(-1, values.shape[1], 1))[..., 0]


def from_q_of(results: Sequence[Finished], optimiser: str) -> FromQ:
    """The results of one optimiser."""
    own = [
        f for f in results if f.task.compute is train and f.task.settings["optimiser"] == optimiser
    ]
    loss, accuracy, turned, drift = (
        torch.stack([f[k] for f in own]) for k in ("loss", "accuracy", "turned", "drift")
    )
    loss = loss.nan_to_num(nan=torch.inf, posinf=torch.inf)
    settings = own[0].task.settings
    seeds = tuple(f.task.settings["seed"] for f in own)
    return FromQ(optimiser, seeds, tuple(settings["lrs"]), loss, accuracy, turned, drift)
