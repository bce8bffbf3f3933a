"""Rounding the weights of trained networks at several points of their orbits."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from paramsym.data import Images, load
from paramsym.discovery import discover
from paramsym.element import GroupElement
from paramsym.experiments.experiment import Arrays, Finished
from paramsym.experiments.measuring.image_training import train_classifier
from paramsym.groups import ComplexScaling, GeneralLinear, Orthogonal, PositiveScaling
from paramsym.nets import DigitsCNN
from paramsym.nets.image_transformer import ImageTransformer
from paramsym.orbit.minimising import minimise_on_orbit
from paramsym.orbit.objectives import QuantisationNoise, WeightNorm, WeightRange
from paramsym.orbit.objectives.outliers import Per
from paramsym.orbit.pulling_back import Objective
from paramsym.symmetry import Symmetry

Params = dict[str, Tensor]

NETS = ("cnn", "transformer")
BITS = (4, 8)
GROUPS: tuple[Per, ...] = ("tensor", "channel")
"""Weights that share a rounding step."""

METHODS = {
    "trained": "as trained",
    "balanced": "balanced",
    "range": "least range",
    "rotated": "rotated at random",
    "noise": "least predicted noise",
    "equalised": "torch's equaliser",
}
CALIBRATION = 128
"""Training images that the predicted noise is computed at."""
PROBES = 4


@final
@dataclass(frozen=True)
class Choice:
    """What decides a task: JSON values.

    Attributes:
        net: One of `NETS`.
        data: `"digits"`, or the folder of CIFAR-10.
        digest: Of the files in the folder.
        seed: Of the split, the initial parameters, the order of training, and the rotations.
        epochs: Of training.
        iterations: Most steps of each minimisation.
        images: Most test images.
    """

    net: str
    data: str
    digest: str
    seed: int
    epochs: int
    iterations: int
    images: int

    def as_settings(self) -> dict[str, Any]:
        """The values by name."""
        return asdict(self)


def trained_net(choice: Choice, scratch: Path) -> tuple[nn.Module, Images]:
    """A classifier, in float64 and evaluation mode, and its data."""
    images = load(choice.data, seed=choice.seed)
    generator = torch.Generator().manual_seed(choice.seed)
    make = ImageTransformer if choice.net == "transformer" else DigitsCNN
    model = make(images.shape, generator=generator)
    train_classifier(
        model, images, generator=generator, epochs=choice.epochs,
        checkpoint=scratch / "training.safetensors",
    )  # fmt: skip
    images = images.first(test=min(choice.images, len(images.test_labels)))
    return model.double().eval(), images


def quantise(settings: Mapping[str, Any], scratch: Path) -> Arrays:
    """Round the weights as trained, and after each way of moving them along the orbit.

    Returns:
        `error` `[methods, bits, groups]`, ‖F_rounded − F‖²/‖F‖² on the test images; `accuracy` of
        the same shape; `exact`, the accuracy before rounding; `drift` `[methods]`, the largest
        change of an output that the move itself made, relative to the largest output.
    """
    choice = Choice(**settings)
    model, images = trained_net(choice, scratch)
    x, labels = images.test_images.double(), images.test_labels
    outputs = functional_call(model, params_of(model), (x,)).detach()
    moved = ways(model, images, choice)
    error, accuracy, drift = [], [], []
    for params in moved.values():
        own = [functional_call(model, p, (x,)).detach() for p in params.values()]
        change = max(float((o - outputs).abs().max()) for o in own)
        drift.append(change / float(outputs.abs().max()))
        for bits in BITS:
            for per in GROUPS:
                found = functional_call(model, all_rounded(params[per], bits, per), (x,)).detach()
                error.append(float((found - outputs).square().sum() / outputs.square().sum()))
                accuracy.append(float((found.argmax(1) == labels).double().mean()))
    shape = (len(moved), len(BITS), len(GROUPS))
    return {
        "error": torch.tensor(error, dtype=torch.float64).reshape(shape),
        "accuracy": torch.tensor(accuracy, dtype=torch.float64).reshape(shape),
        "exact": (outputs.argmax(1) == labels).double().mean(),
        "drift": torch.tensor(drift, dtype=torch.float64),
    }


def params_of(model: nn.Module) -> Params:
    """The parameters, without their graph."""
    return {k: p.detach() for k, p in model.named_parameters()}


def all_rounded(params: Params, bits: int, per: str) -> Params:
    """The parameters, those of two axes or more rounded."""
    return {k: rounded(p, bits, per) if p.ndim >= 2 else p for k, p in params.items()}


def rounded(weight: Tensor, bits: int, per: str) -> Tensor:
    """Symmetric rounding to the nearest of 2^b − 1 equal steps; a step for the tensor or a row."""
    rows = weight.reshape(1 if per == "tensor" else len(weight), -1)
    top = 2 ** (bits - 1) - 1
    step = rows.abs().amax(1, keepdim=True) / top
    step = torch.where(step > 0, step, 1)
    return ((rows / step).round().clamp(-top, top) * step).reshape(weight.shape)


def ways(model: nn.Module, images: Images, choice: Choice) -> dict[str, Mapping[str, Params]]:
    """The parameters at each point of the orbit, in the order of `METHODS`, for each of `GROUPS`.

    What aims at rounding is minimised for the grouping that it is judged by.
    """
    x = images.train_images[:CALIBRATION].double()
    params = params_of(model)
    symmetry = discover(model, (x[:8],), seed=choice.seed)
    scalings, matrices = (
        [f.name for f in symmetry if isinstance(f.group, kinds) and not f.exactness.as_eps_vanishes]
        for kinds in (PositiveScaling, (GeneralLinear, ComplexScaling, Orthogonal))
    )
    given: dict[str, Any] = {"iterations": choice.iterations, "max_condition": 1e3}
    both = scalings + matrices

    def outputs(p: Params) -> Tensor:
        return functional_call(model, p, (x,))

    def least(objective: Objective, names: list[str]) -> Params:
        return minimise_on_orbit(symmetry, params, objective, names, **given).params

    generator = torch.Generator().manual_seed(choice.seed)
    turned = symmetry.act(rotation(symmetry, matrices, generator), params)
    alike = {
        "trained": params,
        "balanced": least(WeightNorm(), both),
        "rotated": turned,
        "equalised": equalised(model, choice.net),
    }
    aimed = {
        "range": {per: least(WeightRange(per), scalings) for per in GROUPS},
        "noise": {
            per: least(QuantisationNoise(outputs, per=per, probes=PROBES), both) for per in GROUPS
        },
    }
    found: dict[str, Mapping[str, Params]] = {
        **{name: dict.fromkeys(GROUPS, p) for name, p in alike.items()},
        **aimed,
    }
    return {name: found[name] for name in METHODS}


def rotation(symmetry: Symmetry, names: Sequence[str], generator: torch.Generator) -> GroupElement:
    """Random orthogonal matrices: uniform in GL(n); in O(n) far from the unit."""
    letters = []
    for name in names:
        group = symmetry[name].group
        if isinstance(group, Orthogonal):
            letters.append(group.sample(3.0, generator=generator, discrete=True))
            continue
        noise = torch.randn(group.shape, generator=generator, dtype=torch.float64)
        if isinstance(group, GeneralLinear):
            letters.append(torch.linalg.qr(noise).Q)
        else:
            letters.append(group.identity())
    groups = tuple(symmetry[name].group for name in names)
    return GroupElement(tuple(names), groups, tuple(letters))


def equalised(model: nn.Module, net: str) -> Params:
    """What `torch.ao.quantization`'s cross-layer equalisation makes of the layers it can pair.

    (Nagel et al., *Data-free quantization through weight equalization and bias correction*, ICCV
    2019, section 4.1.) It pairs layers of one width with a ReLU or nothing in between.
    """
    from torch.ao.quantization._equalize import equalize

    own = copy.deepcopy(model)
    names = dict(own.named_modules())
    if net == "transformer":
        pairs = [[k, k.replace(".up", ".down")] for k in names if k.endswith(".up")]
    else:
        pairs = [["conv1", "conv2"], ["fc", "bottleneck"], ["bottleneck", "head"]]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        for pair in pairs:  # they share no layer but one, and then converge one after the other
            equalize(own, [pair], threshold=1e-6, inplace=True)
    return params_of(own)


@final
@dataclass(frozen=True, eq=False)
class Rounding:
    """What one kind of network gives.

    Attributes:
        net: Its kind.
        seeds: Of the repetitions.
        error: `[seeds, methods, bits, groups]`.
        accuracy: `[seeds, methods, bits, groups]`.
        exact: `[seeds]`.
        drift: `[seeds, methods]`.
    """

    net: str
    seeds: tuple[int, ...]
    error: Tensor
    accuracy: Tensor
    exact: Tensor
    drift: Tensor

    def gain(self, method: str, bits: int, per: str, against: str = "trained") -> Tensor:
        """log₂ of the error over that of another method, `[seeds]`; negative is better."""
        names = list(METHODS)
        i, j = names.index(method), names.index(against)
        at = (BITS.index(bits), GROUPS.index(per))
        return (self.error[:, i, *at] / self.error[:, j, *at]).log2()


def rounding_of(results: Sequence[Finished], net: str) -> Rounding:
    """The results of one kind of network."""
    own = [f for f in results if f.task.settings["net"] == net]
    columns = (torch.stack([f[k] for f in own]) for k in ("error", "accuracy", "exact", "drift"))
    return Rounding(net, tuple(f.task.settings["seed"] for f in own), *columns)
