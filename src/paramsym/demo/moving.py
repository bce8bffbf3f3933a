"""Moving a trained network far along its orbit, and measuring that its function stays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from paramsym.element import GroupElement
from paramsym.symmetry import Symmetry

DISTANCE = 2.0
"""How far to move, in units of the parameters' own norm."""


@final
@dataclass(frozen=True, eq=False)
class Path:
    """Points of a path that leaves the trained parameters.

    Attributes:
        distance: ‖θ' − θ‖/‖θ‖ of each point, `[points]`.
        change: Relative change of the outputs, ‖F(θ') − F(θ)‖/‖F(θ)‖, in float64.
        change_float32: The same, all in float32.
        accuracy: Test accuracy.
    """

    distance: Tensor
    change: Tensor
    change_float32: Tensor
    accuracy: Tensor


@final
@dataclass(frozen=True, eq=False)
class Move:
    """The network before the move and after it.

    Attributes:
        g: The group element; cast to float32 it moves the float32 network.
        before: Parameters θ.
        after: Parameters gθ.
        outputs_before: Logits of the test images, `[images, classes]`.
        outputs_after: Logits after the move.
        distance: ‖gθ − θ‖/‖θ‖.
        change: ‖F(gθ) − F(θ)‖/‖F(θ)‖ over the test images, in float64.
        change_float32: The same with parameters, element and images in float32.
        rounding_float32: What float32 alone does to the outputs, without any move.
        accuracy_before: Test accuracy.
        accuracy_after: Test accuracy after the move.
        orbit: The path along the orbit, to the move and a little beyond.
        straight: Steps of the same lengths in a random direction.
    """

    g: GroupElement
    before: dict[str, Tensor]
    after: dict[str, Tensor]
    outputs_before: Tensor
    outputs_after: Tensor
    distance: float
    change: float
    change_float32: float
    rounding_float32: float
    accuracy_before: float
    accuracy_after: float
    orbit: Path
    straight: Path


@torch.no_grad()
def move(
    model: nn.Module,
    symmetry: Symmetry,
    params: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    points: int = 16,
) -> Move:
    """Move `params` along the orbit by `DISTANCE` times their norm.

    The element is exp(tM) for a random generator M of all families at once; t is where the curve
    t ↦ exp(tM)θ first is that far from θ, so the element is no larger than it need be.

    Args:
        model: The network; its own parameters are left alone.
        symmetry: Its symmetry.
        params: Trained parameters, in float64.
        images: Test images, in float64.
        labels: Their labels.
        generator: Source of M and of the random direction.
        points: Points on each path.
    """
    before = dict(params)
    single, single_images = _cast(before), images.float()
    outputs = functional_call(model, before, (images,))
    outputs_single = functional_call(model, single, (single_images,))

    def measure(points: list[tuple[dict[str, Tensor], dict[str, Tensor]]]) -> Path:
        found = [functional_call(model, there, (images,)) for there, _ in points]
        found_single = [functional_call(model, there, (single_images,)) for _, there in points]
        return Path(
            torch.tensor([distance(there, before) for there, _ in points]),
            torch.tensor([_relative(F, outputs) for F in found]),
            torch.tensor([_relative(F, outputs_single) for F in found_single]),
            torch.tensor([_accuracy(F, labels) for F in found]),
        )

    M = symmetry.sample_algebra(generator=generator)
    t = _time_to(DISTANCE, lambda t: distance(symmetry.act(M.exp(t), before), before))
    g = M.exp(t)
    after = symmetry.act(g, before)
    elements = [M.exp(float(s) * t) for s in torch.linspace(0, 1, points + 1)[1:]]
    orbit = measure([(symmetry.act(h, before), symmetry.act(h, single)) for h in elements])
    direction = _random_direction(before, generator)
    lines = [_add(before, direction, float(r)) for r in orbit.distance]
    straight = measure([(there, _cast(there)) for there in lines])
    moved = functional_call(model, after, (images,))
    return Move(
        g,
        before,
        after,
        outputs,
        moved,
        distance(after, before),
        _relative(moved, outputs),
        _relative(
            functional_call(model, symmetry.act(g, single), (single_images,)), outputs_single
        ),
        _relative(outputs_single.double(), outputs),
        _accuracy(outputs, labels),
        _accuracy(moved, labels),
        orbit,
        straight,
    )


def distance(there: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> float:
    """‖θ' − θ‖/‖θ‖ over all parameters together."""
    return norm({k: there[k] - here[k] for k in here}) / norm(here)


def norm(params: Mapping[str, Tensor]) -> float:
    """Euclidean norm of all parameters together."""
    return float(torch.stack([p.double().norm() for p in params.values()]).norm())


def _time_to(target: float, length: Callable[[float], float]) -> float:
    """A t with length(t) = target, to about 1e-6: doubling, then bisection."""
    low, high = 0.0, 0.125
    while length(high) < target:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if length(middle) < target else (low, middle)
    return high


def _random_direction(
    params: Mapping[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """A Gaussian direction as long as the parameters."""
    noise = {k: torch.randn(p.shape, generator=generator, dtype=p.dtype) for k, p in params.items()}
    return {k: v * (norm(params) / norm(noise)) for k, v in noise.items()}


def _add(here: Mapping[str, Tensor], step: Mapping[str, Tensor], r: float) -> dict[str, Tensor]:
    return {k: p + r * step[k] for k, p in here.items()}


def _cast(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: p.float() for k, p in params.items()}


def _relative(moved: Tensor, reference: Tensor) -> float:
    return float((moved - reference).norm() / reference.norm())


def _accuracy(outputs: Tensor, labels: Tensor) -> float:
    return float((outputs.argmax(1) == labels).double().mean())
