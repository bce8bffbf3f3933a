"""Gradient descent that moves once along its orbit, to where the gradient is larger."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from paramsym.data import load
from paramsym.discovery import discover
from paramsym.experiments.experiment import Arrays, Finished
from paramsym.nets import DigitsCNN
from paramsym.orbit.minimising import minimise_on_orbit
from paramsym.orbit.objectives import GradientNorm, WeightNorm
from paramsym.symmetry import Symmetry

Params = dict[str, Tensor]

KINDS = ("full", "sgd")
METHODS = {
    "plain": "gradient descent",
    "teleported": "teleported",
    "balanced": "balanced at the start",
}
OBJECTIVE_COST = 3
"""Gradients that one evaluation of ‖∇L‖² with its own gradient costs: the pass back through the
graph of a gradient costs about two."""


@final
@dataclass(frozen=True)
class Run:
    """What decides a task: JSON values.

    Attributes:
        kind: `"full"` batches or `"sgd"`.
        data: `"digits"`, or the folder of CIFAR-10.
        digest: Of the files in the folder.
        seed: Of the split, the initial parameters and the order of the images.
        epochs: Compute that every run has, in gradients of one image, by the number of images.
        batch: Images of a step of SGD.
        train: Most training images.
        lrs: Learning rates to choose from.
        when: Share of the compute after which to teleport.
        ascents: Most steps of the teleportation.
        condition: Largest condition number of its group element.
    """

    kind: str
    data: str
    digest: str
    seed: int
    epochs: int
    batch: int
    train: int
    lrs: tuple[float, ...]
    when: float
    ascents: int
    condition: float

    def as_settings(self) -> dict[str, Any]:
        """The values by name."""
        return {**asdict(self), "lrs": list(self.lrs)}


def teleport(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Train by every method at every learning rate, with the same compute.

    Returns:
        `loss` `[methods, lrs]`, of all training images at the end, infinite where it diverged;
        `accuracy` `[methods, lrs]`, on the test images; `seconds` `[methods, lrs]`; `growth`
        `[lrs]`, by what ‖∇L‖² was multiplied; `share` `[lrs]`, of the compute, for the move.
    """
    run = Run(**{**settings, "lrs": tuple(settings["lrs"])})
    images = load(run.data, seed=run.seed)
    images = images.first(train=min(run.train, len(images.train_labels)))
    generator = torch.Generator().manual_seed(run.seed)
    model: nn.Module = DigitsCNN(images.shape, generator=generator)
    x, y = images.train_images, images.train_labels
    symmetry = discover(model, (x[:8],), seed=run.seed)
    shape = (len(METHODS), len(run.lrs))
    loss, accuracy, seconds = (torch.full(shape, math.inf, dtype=torch.float64) for _ in range(3))
    growth, share = (torch.ones(len(run.lrs), dtype=torch.float64) for _ in range(2))
    for j, lr in enumerate(run.lrs):
        for i, method in enumerate(METHODS):
            begun = time.perf_counter()
            params, grown, spent = _train(model, symmetry, (x, y), run, lr, method)
            seconds[i, j] = time.perf_counter() - begun
            with torch.no_grad():
                end = _loss(model, params, x, y)
                logits = functional_call(model, params, (images.test_images,))
            loss[i, j] = float(end) if bool(end.isfinite()) else math.inf
            accuracy[i, j] = float((logits.argmax(1) == images.test_labels).double().mean())
            if method == "teleported":
                growth[j], share[j] = grown, spent
    return {
        "loss": loss,
        "accuracy": accuracy,
        "seconds": seconds,
        "growth": growth,
        "share": share,
    }


def _loss(model: nn.Module, params: Params, x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(functional_call(model, params, (x,)), y)


def _train(
    model: nn.Module,
    symmetry: Symmetry,
    data: tuple[Tensor, Tensor],
    run: Run,
    lr: float,
    method: str,
) -> tuple[Params, float, float]:
    """The parameters when the compute is spent, by what teleporting multiplied ‖∇L‖², and its share
    of the compute."""
    x, y = data
    params = {k: p.detach().clone() for k, p in model.named_parameters()}
    if method == "balanced":
        # No loss is computed for it; what it takes shows in the seconds.
        params = minimise_on_orbit(symmetry, params, WeightNorm()).params
    generator = torch.Generator().manual_seed(run.seed)
    budget, spent, growth, share = run.epochs * len(y), 0, 1.0, 0.0
    waiting = method == "teleported"
    batch = len(y) if run.kind == "full" else run.batch
    order = torch.empty(0, dtype=torch.int64)
    while spent < budget:
        if len(order) < batch:
            order = torch.randperm(len(y), generator=generator)
        rows, order = order[:batch], order[batch:]
        if waiting and spent >= run.when * budget:
            waiting = False
            # Of SGD at a larger batch, or the noise of the gradient would be what grows.
            chosen = torch.cat([rows, order])[: max(batch, 4 * run.batch)]
            found = _teleported(model, symmetry, params, (x[chosen], y[chosen]), run)
            params, growth = found.params, found.value / found.values[0]
            cost = OBJECTIVE_COST * (found.evaluations + 1) * len(chosen)
            spent, share = spent + cost, cost / budget
            continue
        leaves = {k: p.requires_grad_() for k, p in params.items()}
        grads = torch.autograd.grad(_loss(model, leaves, x[rows], y[rows]), list(leaves.values()))
        with torch.no_grad():
            params = {k: p - lr * g for (k, p), g in zip(leaves.items(), grads, strict=True)}
        spent += len(rows)
    return params, growth, share


def _teleported(
    model: nn.Module,
    symmetry: Symmetry,
    params: Params,
    data: tuple[Tensor, Tensor],
    run: Run,
) -> Any:
    return minimise_on_orbit(
        symmetry,
        params,
        GradientNorm(lambda p: _loss(model, p, *data)),
        maximise=True,
        iterations=run.ascents,
        max_condition=run.condition,
        double=False,
    )


@final
@dataclass(frozen=True, eq=False)
class Teleported:
    """What one kind of descent gives.

    Attributes:
        kind: One of `KINDS`.
        lrs: Learning rates.
        seeds: Of the repetitions.
        loss: `[seeds, methods, lrs]`.
        accuracy: `[seeds, methods, lrs]`.
        seconds: `[seeds, methods, lrs]`.
        growth: `[seeds, lrs]`.
        share: `[seeds, lrs]`.
    """

    kind: str
    lrs: tuple[float, ...]
    seeds: tuple[int, ...]
    loss: Tensor
    accuracy: Tensor
    seconds: Tensor
    growth: Tensor
    share: Tensor

    def best(self, method: str) -> Tensor:
        """log₁₀ of the training loss at the method's best learning rate, `[seeds]`."""
        return self.loss[:, list(METHODS).index(method)].amin(1).log10()

    def at_equal_lr(self, method: str) -> Tensor:
        """log₁₀ of the loss over that of plain descent, at the learning rate best for plain."""
        best = self.loss[:, 0].argmin(1)
        rows = torch.arange(len(self.seeds))
        own = self.loss[rows, list(METHODS).index(method), best]
        return (own / self.loss[rows, 0, best]).log10()


def teleported_of(results: Sequence[Finished], kind: str) -> Teleported:
    """The results of one kind of descent."""
    own = [f for f in results if f.task.settings["kind"] == kind]
    columns = (
        torch.stack([f[k] for f in own]) for k in ("loss", "accuracy", "seconds", "growth", "share")
    )
    settings = own[0].task.settings
    seeds = tuple(f.task.settings["seed"] for f in own)
    return Teleported(kind, tuple(settings["lrs"]), seeds, *columns)
