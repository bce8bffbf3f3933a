"""One function at many points of its orbit, and how sharp the loss is at each."""

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
from paramsym.experiments.measuring.image_training import train_classifier
from paramsym.landscape import extreme_eigenvalues
from paramsym.nets import DigitsCNN
from paramsym.orbit.minimising import minimise_on_orbit
from paramsym.orbit.objectives import HessianTrace, LargestEigenvalue, WeightNorm

PROBES = 32
"""Sign vectors of a trace. It is not what is minimised: a descent fits them where they are few."""
TOLERANCE = 1e-4
"""Of eigenvectors, relative to the norm of the Hessian."""


@final
@dataclass(frozen=True)
class Walk:
    """What decides a task: JSON values.

    Attributes:
        data: `"digits"`, or the folder of CIFAR-10.
        digest: Of the files in the folder.
        seed: Of the split, the initial parameters, the order of training and the draws.
        lr: Of Adam.
        batch: Of Adam.
        epochs: Of training.
        points: Random points of the orbit.
        scale: Spread of their generators.
        images: Training images at which the Hessian is taken.
        iterations: Most steps of the minimisation.
    """

    data: str
    digest: str
    seed: int
    lr: float
    batch: int
    epochs: int
    points: int
    scale: float
    images: int
    iterations: int

    def as_settings(self) -> dict[str, Any]:
        """The values by name."""
        return asdict(self)


def walk(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Train, and measure the network at its own point, the flattest found, and random ones.

    Returns:
        `trace` and `largest` `[2 + points]`, of the Hessian of the training loss; `accuracy` and
        `test_loss` of the same shape; `train_loss`, a scalar; `drift` `[2 + points]`.
    """
    choice = Walk(**settings)
    images = load(choice.data, seed=choice.seed)
    generator = torch.Generator().manual_seed(choice.seed)
    model: nn.Module = DigitsCNN(images.shape, generator=generator)
    train_classifier(
        model, images, generator=generator, epochs=choice.epochs, batch=choice.batch, lr=choice.lr,
        checkpoint=scratch / "training.safetensors",
    )  # fmt: skip
    model = model.double().eval()
    x, y = images.train_images[: choice.images].double(), images.train_labels[: choice.images]
    test = images.test_images.double()
    params = {k: p.detach() for k, p in model.named_parameters()}

    def loss(p: dict[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(functional_call(model, p, (x,)), y)

    symmetry = discover(model, (x[:8],), seed=choice.seed)
    # Shifts apart, which change biases alone.
    symmetry = symmetry.select(*(f.name for f in symmetry if f.ports))
    balanced = minimise_on_orbit(symmetry, params, WeightNorm()).params
    flat = minimise_on_orbit(
        symmetry, params, LargestEigenvalue(loss, TOLERANCE), iterations=choice.iterations,
        max_condition=100,
    ).params  # fmt: skip
    draws = [
        symmetry.act(symmetry.sample(choice.scale, generator=generator), balanced)
        for _ in range(choice.points)
    ]
    outputs = functional_call(model, params, (test,)).detach()
    rows: dict[str, list[float]] = {
        k: [] for k in ("trace", "largest", "accuracy", "test_loss", "drift")
    }
    for point in (params, flat, *draws):
        own = functional_call(model, point, (test,)).detach()
        rows["trace"].append(float(HessianTrace(loss, PROBES)(point).detach()))
        found = extreme_eigenvalues(loss, point, tolerance=TOLERANCE)
        rows["largest"].append(float(found.values[0]))
        rows["accuracy"].append(float((own.argmax(1) == images.test_labels).double().mean()))
        rows["test_loss"].append(float(nn.functional.cross_entropy(own, images.test_labels)))
        rows["drift"].append(float((own - outputs).abs().max() / outputs.abs().max()))
    arrays = {k: torch.tensor(values, dtype=torch.float64) for k, values in rows.items()}
    return {**arrays, "train_loss": loss(params).detach()}


@final
@dataclass(frozen=True, eq=False)
class Sharpnesses:
    """What all networks give; split into seeds and ways of training.

    Attributes:
        seeds: Of the repetitions.
        ways: (batch, learning rate) of each way of training.
        trace: `[seeds, ways, 2 + points]`.
        largest: `[seeds, ways, 2 + points]`.
        accuracy: `[seeds, ways, 2 + points]`.
        test_loss: `[seeds, ways, 2 + points]`.
        drift: `[seeds, ways, 2 + points]`.
        train_loss: `[seeds, ways]`.
    """

    seeds: tuple[int, ...]
    ways: tuple[tuple[int, float], ...]
    trace: Tensor
    largest: Tensor
    accuracy: Tensor
    test_loss: Tensor
    drift: Tensor
    train_loss: Tensor


def sharpnesses_of(results: Sequence[Finished]) -> Sharpnesses:
    """All results."""
    settings = [f.task.settings for f in results]
    seeds = tuple(dict.fromkeys(s["seed"] for s in settings))
    ways = tuple(dict.fromkeys((s["batch"], s["lr"]) for s in settings))
    at = {(s["seed"], s["batch"], s["lr"]): f for s, f in zip(settings, results, strict=True)}
    names = ("trace", "largest", "accuracy", "test_loss", "drift", "train_loss")
    columns = (
        torch.stack([torch.stack([at[seed, *way][k] for way in ways]) for seed in seeds])
        for k in names
    )
    return Sharpnesses(seeds, ways, *columns)
