"""Points of an orbit that can be named: balanced, canonical, with chosen Q, small in some sense, or
random."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from paramsym.element import GroupElement
from paramsym.orbit.canonical_point import Canonical, canonical
from paramsym.orbit.minimising import Step, minimise_on_orbit
from paramsym.orbit.objectives import Kurtosis, WeightNorm, WeightRange
from paramsym.orbit.target import element_reaching
from paramsym.symmetry import Symmetry
from paramsym.transform.weight_files import read_header

Choice = Callable[[Symmetry, Mapping[str, Tensor]], GroupElement]
"""Where on the orbit to go: from the symmetry and the parameters to a group element."""

OBJECTIVES: dict[str, Callable[[dict[str, Tensor]], Tensor]] = {
    "weight-norm": WeightNorm(),
    "channel-range": WeightRange(),
    "tensor-range": WeightRange(per="tensor"),
    "kurtosis": Kurtosis(),
}
"""What can be made small without data."""


def balanced() -> Choice:
    """Where every family with a law has Q = 0."""
    return lambda symmetry, params: element_reaching(symmetry, params, 0.0)


def at_canonical_point(tell: Callable[[Canonical], object]) -> Choice:
    """The point that stands for the orbit: two checkpoints of one orbit become equal there.

    All parameters are in memory in float64 for it.

    Args:
        tell: Is given the point, to say whether it is unique.
    """

    def choose(symmetry: Symmetry, params: Mapping[str, Tensor]) -> GroupElement:
        point = canonical(symmetry, params)
        tell(point)
        return point.element

    return choose


def towards(path: Path) -> Choice:
    """Where families have the conserved quantities that a file gives them.

    Args:
        path: JSON, `{family name: q or the array Q}`, or safetensors named by family.

    Raises:
        ValueError: If the file is neither.
    """
    target = _target(path)
    return lambda symmetry, params: element_reaching(symmetry, params, target)


def smallest(objective: str, advance: Callable[[Step], object]) -> Choice:
    """Where one of `OBJECTIVES` is small; `advance` is told of every step.

    Raises:
        ValueError: If there is no such objective.
    """
    if objective not in OBJECTIVES:
        raise ValueError(
            f"there is no objective {objective!r}. Choose one of {', '.join(OBJECTIVES)}."
        )
    wanted = OBJECTIVES[objective]
    return lambda symmetry, params: minimise_on_orbit(symmetry, params, wanted, advance=advance).g


def at_random(seed: int, scale: float, *, discrete: bool) -> Choice:
    """A random point, as `Symmetry.sample` draws it.

    Raises:
        ValueError: If the scale is negative.
    """
    if not scale >= 0:
        raise ValueError(f"`scale` must be 0 or more; got {scale}.")
    generator = torch.Generator().manual_seed(seed)
    return lambda symmetry, params: symmetry.sample(scale, generator=generator, discrete=discrete)


def _target(path: Path) -> dict[str, float | Tensor]:
    if not path.is_file():
        raise ValueError(f"there is no target file {str(path)!r}.")
    if path.suffix == ".safetensors":
        read_header(path)
        return dict(load_file(path))
    try:
        given = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"the target {str(path)!r} is no JSON: {error}.") from error
    if not isinstance(given, dict):
        raise ValueError(
            f'the target {str(path)!r} must be an object, as {{"fc1 → fc2": 0.5}}; '
            f"got {type(given).__name__}."
        )
    try:
        return {
            name: float(q) if isinstance(q, int | float) else torch.tensor(q, dtype=torch.float64)
            for name, q in given.items()
        }
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the target {str(path)!r} must give numbers or arrays of numbers: {error}."
        ) from error
