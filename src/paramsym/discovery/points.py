"""Where a symmetry is checked: generic parameters and inputs, in float64.

The model's own ones, jittered, so that a zero bias or a constant input hides nothing; or random
ones, where the model's own are degenerate.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from paramsym.discovery.recording import Recording, rejected, replay, widen

VANISHING_EPS = 1e-60
"""Stands in for the limit ε → 0: far below rounding beside any variance, yet no division by 0."""


@final
@dataclass(frozen=True)
class Point:
    """Parameters, inputs, and the outputs there."""

    recording: Recording
    params: Mapping[str, Tensor]
    inputs: Mapping[int, Tensor]
    outputs: list[Tensor]

    @property
    def is_finite(self) -> bool:
        """Whether the outputs are."""
        return all(
            bool(torch.isfinite(y).all())
            for y in self.outputs
            if y.is_floating_point() or y.is_complex()
        )


def near_point(recording: Recording, generator: torch.Generator, seed: int) -> Point:
    """The model's parameters and inputs, jittered; as they are where that leaves the domain.

    Raises:
        ValueError: If the model does not run on these inputs, its outputs are not finite, or it has
            none.
    """
    params = {name: widen(p) for name, p in recording.state.items()}
    inputs = {i: widen(x) for i, x in recording.inputs.items()}
    jittered = {name: _jitter(p, generator) for name, p in params.items()}
    moved = {i: _jitter(x, generator) for i, x in inputs.items()}
    for ps, xs in ((jittered, moved), (jittered, inputs), (params, inputs)):
        point = _at(recording, ps, xs, seed)
        if sum(y.numel() for y in point.outputs) == 0:
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
    params = {
        name: torch.randn(p.shape, generator=generator, dtype=torch.float64)
        / math.sqrt(max(1, p[:1].numel()) if p.ndim > 1 else 1)
        if p.is_floating_point()
        else p
        for name, p in recording.state.items()
    }
    inputs = {i: _jitter(widen(x), generator) for i, x in recording.inputs.items()}
    point = _at(recording, params, inputs, seed)
    return point if point.is_finite else None


def _at(
    recording: Recording, params: Mapping[str, Tensor], inputs: Mapping[int, Tensor], seed: int
) -> Point:
    try:
        outputs = replay(recording, params, inputs, seed=seed)
    except RuntimeError as error:
        raise rejected(recording.inputs.values(), error) from error
    return Point(recording, params, inputs, outputs)


def without_eps(recording: Recording, vanishing: list[tuple[int, str]]) -> Recording:
    """The same run with normalisations that divide by nothing but what they measure."""
    records = list(recording.records)
    for i, argument in vanishing:
        records[i] = records[i].with_argument(argument, VANISHING_EPS)
    return replace(recording, records=tuple(records))


def _jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Entries multiplied by positive factors near 1; zeros replaced by small numbers."""
    if not x.is_floating_point() or x.numel() == 0:
        return x
    noise = torch.rand(x.shape, generator=generator, dtype=x.dtype)
    zero = x == 0
    if bool(zero.any()):
        typical = x.abs().mean()
        small = (noise - 0.5) * torch.where(typical > 0, typical, 1)
        return torch.where(zero, 0.3 * small, x * (0.8 + 0.5 * noise))
    return noise.mul_(0.5).add_(0.8).mul_(x)
