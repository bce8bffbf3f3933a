"""Where a symmetry is checked: generic parameters and inputs, in float64.

The model's own ones, jittered, so that a zero bias or a constant input hides nothing; or random
ones, where the model's own are degenerate.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from paramsym.discovery.point import Point
from paramsym.discovery.recording import Recording, rejected
from paramsym.discovery.replaying import widen

VANISHING_EPS = 1e-60
"""Stands in for the limit ε → 0: far below rounding beside any variance, yet no division by 0."""


@final
@dataclass(frozen=True)
class Points:
    """The points at which all that is found on one run is checked, each made when it is needed.

    Attributes:
        recording: The run.
        seed: Seed of the points, and of random ops.
    """

    recording: Recording
    seed: int

    @cached_property
    def near(self) -> Point:
        """As `near_point`."""
        return near_point(self.recording, torch.Generator().manual_seed(self.seed), self.seed)

    @cached_property
    def random(self) -> Point | None:
        """As `random_point`."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        return random_point(self.recording, generator, self.seed)


def near_point(recording: Recording, generator: torch.Generator, seed: int) -> Point:
    """The model's parameters and inputs, jittered; as they are where that leaves the domain.

    Raises:
        ValueError: If the model does not run on these inputs, its outputs are not finite, or it has
            none.
    """
    inputs = {i: widen(x) for i, x in recording.inputs.items()}
    jittered = {name: _jitter(p, generator) for name, p in recording.state.items()}
    moved = {i: _jitter(x, generator) for i, x in inputs.items()}
    for xs, is_last in ((moved, False), (inputs, False), (inputs, True)):
        if is_last:
            jittered = {name: widen(p) for name, p in recording.state.items()}
        point = Point(recording, jittered, xs, seed)
        if not is_last and not _runs(point):
            continue
        if sum(y.numel() for y in _outputs(point)) == 0:
            raise ValueError(
                "the model's outputs are empty, so that nothing can be checked. "
                "Pass at least one sample, or `verify=False`."
            )
        if point.is_finite:
            return point
    raise ValueError(
        "the model's outputs are not finite at the given inputs. "
        "Pass inputs for which it computes finite numbers."
    )


def random_point(recording: Recording, generator: torch.Generator, seed: int) -> Point | None:
    """Gaussian parameters of the usual size; `None` where the model is not finite there."""
    statistics = {p.name for p in recording.parameters if p.is_buffer}
    params = {
        name: torch.randn(p.shape, generator=generator, dtype=torch.float64)
        / math.sqrt(max(1, p[:1].numel()) if p.ndim > 1 else 1)
        if p.is_floating_point()
        else p
        for name, p in recording.state.items()
    }
    # A running variance is positive, a running mean may be.
    params |= {name: params[name].abs() for name in statistics}
    inputs = {i: _jitter(widen(x), generator) for i, x in recording.inputs.items()}
    point = Point(recording, params, inputs, seed)
    return point if _runs(point) and point.outputs and point.is_finite else None


def _runs(point: Point) -> bool:
    """Whether the recorded calls can be made there: where data decide how many tensors there are,
    as of experts with a token, they fit the data of the recording."""
    try:
        return point.outputs is not None
    except (RuntimeError, LookupError):
        return False


def _outputs(point: Point) -> list[Tensor]:
    """Those of a point, whatever they are; raises where the model does not run."""
    try:
        return point.outputs
    except (RuntimeError, LookupError) as error:
        raise rejected(point.recording.inputs.values(), error) from error


def without_eps(recording: Recording, vanishing: list[tuple[int, str]]) -> Recording:
    """The same run with normalisations that divide by nothing but what they measure."""
    records = list(recording.records)
    for i, argument in vanishing:
        records[i] = records[i].with_argument(argument, VANISHING_EPS)
    return replace(recording, records=tuple(records))


_PERIOD = 65521
"""Different factors that a jitter has, a prime number: neighbours along any axis get others."""


def _jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Entries in float64 multiplied by positive factors near 1; zeros replaced by small numbers."""
    if not x.is_floating_point() or x.numel() == 0:
        return widen(x)
    flat, size = x.detach().reshape(-1), x.numel()
    noise = torch.rand(min(size, _PERIOD), generator=generator, dtype=torch.float64)
    factors = 0.8 + 0.5 * noise
    jittered = torch.empty(size, dtype=torch.float64, device=x.device)
    for own, target in _periods(flat, jittered):
        torch.mul(own, factors[: own.shape[-1]].to(own.device), out=target)
    if int(torch.count_nonzero(flat)) < size:
        typical = flat.abs().mean(dtype=torch.float64)
        small = 0.3 * (noise - 0.5) * torch.where(typical > 0, typical, 1)
        for own, target in _periods(flat, jittered):
            target[...] = torch.where(own == 0, small[: own.shape[-1]].to(own.device), target)
    return jittered.reshape(x.shape)


def _periods(*flat: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Flat tensors of one size cut into rows of one period, and what is left."""
    size = flat[0].numel()
    whole = size // _PERIOD * _PERIOD
    if whole:
        yield tuple(x[:whole].reshape(-1, _PERIOD) for x in flat)
    if whole < size:
        yield tuple(x[whole:] for x in flat)
